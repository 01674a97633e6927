//! `$connect` puts the connection into the store, `$disconnect` takes it out, `sendmessage` posts to all in it.
//! The store is a folder here. On AWS it is a table of DynamoDB.

use std::path::PathBuf;

use aws_sdk_apigatewaymanagement::Client;
use aws_sdk_apigatewaymanagement::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_apigatewaymanagement::primitives::Blob;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(handle)).await
}

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let context = &event.payload["requestContext"];
    let id = context["connectionId"].as_str().unwrap_or_default();
    let store = PathBuf::from(variable("STORE"));
    let file = store.join(utf8_percent_encode(id, NON_ALPHANUMERIC).to_string());
    match context["routeKey"].as_str() {
        Some("$connect") => {
            std::fs::create_dir_all(&store)?;
            std::fs::write(file, "")?;
        }
        Some("$disconnect") => std::fs::remove_file(file)?,
        _ => {
            let body = event.payload["body"].as_str().unwrap_or_default();
            let body: Value = serde_json::from_str(body)?;
            let client = client(context);
            for entry in std::fs::read_dir(store)? {
                let name = entry?.file_name();
                let id = percent_decode_str(&name.to_string_lossy())
                    .decode_utf8_lossy()
                    .into_owned();
                let data = Blob::new(body["data"].as_str().unwrap_or_default());
                client
                    .post_to_connection()
                    .connection_id(id)
                    .data(data)
                    .send()
                    .await?;
            }
        }
    }
    Ok(json!({"statusCode": 200}))
}

/// Returns a client for the API that an event has come from. `aws_config` does the same with fewer lines.
fn client(context: &Value) -> Client {
    let domain = context["domainName"].as_str().unwrap_or_default();
    let stage = context["stage"].as_str().unwrap_or_default();
    let credentials = Credentials::new(
        variable("AWS_ACCESS_KEY_ID"),
        variable("AWS_SECRET_ACCESS_KEY"),
        Some(variable("AWS_SESSION_TOKEN")),
        None,
        "environment",
    );
    let ring = tls::Provider::Rustls(CryptoMode::Ring);
    let http = aws_smithy_http_client::Builder::new().tls_provider(ring);
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(variable("AWS_REGION")))
        .credentials_provider(credentials)
        .endpoint_url(format!("https://{domain}/{stage}"))
        .http_client(http.build_https());
    Client::from_conf(config.build())
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}
