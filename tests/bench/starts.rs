//! Start of a function, beside the samples: from the spawn of a process to its first poll for an event, with
//! its connection to the database open. And start of the gateway with a template of 50 resources.

use std::fmt::Write;
use std::time::{Duration, Instant};

use tests::baseline::Language;
use tests::function::Function;
use tests::launch::Launch;
use tests::relay::Relay;
use tests::{programs, server};
use tokio::process::Command;

use crate::figures::{Report, Samples};

/// Starts of each function.
const STARTS: usize = 30;

/// Starts of the gateway.
const GATEWAY_STARTS: usize = 10;

/// Functions of its template. Each has an integration and a route; with an API and its stage there are 50 resources.
const GATEWAY_FUNCTIONS: usize = 16;

/// Prints the starts with the database itself, and with a [`Relay`] whose connections are open already:
/// the embedded database makes new ones wait.
pub async fn run(uri: &str) {
    let send_message = Command::new(programs::deployed().join("send-message"));
    let mut functions = vec![("send-message".to_owned(), send_message)];
    for language in Language::ALL {
        match language.sample().await {
            Ok(sample) => functions.push((format!("{language} sample"), sample.command())),
            Err(error) => eprintln!("the start of the {language} sample is left out: {error:#}"),
        }
    }
    starts(&mut functions, uri, "spawn to first poll").await;
    let relay = Relay::start(uri).await;
    let figure = "spawn to first poll, no wait for the database";
    starts(&mut functions, &relay.uri, figure).await;
}

async fn starts(functions: &mut [(String, Command)], uri: &str, figure: &str) {
    let mut starts: Vec<_> = functions.iter().map(|_| Samples::default()).collect();
    for _ in 0..STARTS {
        for ((_, command), samples) in functions.iter_mut().zip(&mut starts) {
            samples.add(spawn_to_first_poll(command, uri).await);
        }
    }
    let ours = starts[0].median_ms();
    for ((name, _), samples) in functions.iter().zip(&starts) {
        let (summary, ratio) = (samples.summary(), samples.median_ms() / ours);
        let value = format!("{summary}, {ratio:.1} times ours at p50");
        Report::EITHER_MODE.row(format_args!("{figure}, {name}"), value);
    }
}

async fn spawn_to_first_poll(command: &mut Command, uri: &str) -> Duration {
    let start = Instant::now();
    let function = Function::start(command, uri, "meetme", "http://127.0.0.1:9/prod").await;
    let elapsed = start.elapsed();
    function.kill().await;
    elapsed
}

/// Prints the starts of the gateway, from its spawn until it is ready, with functions in Python.
pub async fn gateway() {
    let folder = server::scratch_folder().join("fifty-resources");
    std::fs::create_dir_all(&folder).expect("a folder");
    let template = folder.join("template.yaml");
    std::fs::write(&template, fifty_resources()).expect("a template");
    let mut starts = Samples::default();
    for _ in 0..GATEWAY_STARTS {
        let start = Instant::now();
        let gateway = Launch::template(&template)
            .start()
            .await
            .expect("it starts");
        starts.add(start.elapsed());
        gateway.stop().await.expect("it stops");
    }
    let figure = "gateway: spawn to ready, 50 resources, 16 functions in Python";
    Report::EITHER_MODE.row(figure, starts.summary());
}

/// Returns a template of 50 resources.
fn fifty_resources() -> String {
    let mut template = String::from(
        "Resources:
  Web: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: HTTP}}
  Stage: {Type: AWS::ApiGatewayV2::Stage, Properties: {ApiId: !Ref Web, StageName: $default}}
",
    );
    for number in 0..GATEWAY_FUNCTIONS {
        write!(
            template,
            "  F{number}: {{Type: AWS::Lambda::Function, Properties: {{Runtime: python3.11, Handler: index.handler,
    Code: {{ZipFile: 'def handler(event, context): return {{}}'}}}}}}
  I{number}: {{Type: AWS::ApiGatewayV2::Integration, Properties: {{ApiId: !Ref Web, IntegrationType: AWS_PROXY,
    PayloadFormatVersion: '2.0', IntegrationUri: !GetAtt F{number}.Arn}}}}
  R{number}: {{Type: AWS::ApiGatewayV2::Route, Properties: {{ApiId: !Ref Web, RouteKey: GET /{number},
    Target: !Sub 'integrations/${{I{number}}}'}}}}
"
        )
        .expect("a text grows");
    }
    template
}
