//! The rule of this machine and that of the template agree.

use std::collections::BTreeMap;
use std::path::Path;

use local_gateway::template::Document;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rquickjs::{Context, Function, Object, Runtime};
use serde_json::Value;

use super::*;

/// A stage that is not the default one, so that its name must come from the parameter.
const STAGE: &str = "beta";

/// A handshake, and the query that it means; `None` is a rejection.
struct Case {
    path: String,
    query: Option<String>,
    means: Option<Pairs>,
}

fn cases() -> Vec<Case> {
    let cases: Vec<Value> = serde_json::from_str(include_str!("cases.json")).expect("JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let pair = |pair: &Value| (text(&pair[0]), text(&pair[1]));
    let case = |case: &Value| Case {
        path: text(&case["path"]),
        query: case.get("query").map(text),
        means: case["means"]
            .as_array()
            .map(|pairs| pairs.iter().map(pair).collect()),
    };
    cases.iter().map(case).collect()
}

/// Returns a resource of the chat's template, with the edge switched on.
fn properties(resource: &str) -> Value {
    let parameters = [
        ("MongodbUri", "mongodb://db"),
        ("StageName", STAGE),
        ("Edge", "cloudfront"),
    ];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let template = Document::read(Path::new("../template.yaml")).expect("our template");
    template
        .properties(resource, &BTreeMap::from(parameters))
        .expect("it is there")
}

/// The function of the template in a JavaScript engine.
struct EdgeFunction(Context);

impl EdgeFunction {
    fn load() -> Self {
        let runtime = Runtime::new().expect("an engine");
        let context = Context::full(&runtime).expect("a context");
        let code = properties("EdgeFunction")["FunctionCode"].clone();
        context.with(|js| {
            // CloudFront runs everything in strict mode.
            let code = format!("'use strict';{}", code.as_str().expect("a text"));
            js.eval::<(), _>(code).expect("it is JavaScript");
        });
        Self(context)
    }

    /// Returns the query that `$connect` gets of a request; `None` if the function rejects it.
    ///
    /// # Panics
    ///
    /// The function throws, or what it returns is neither a rejection nor a request for the stage.
    fn rewrite(&self, path: &str, query: Option<&str>) -> Option<Pairs> {
        self.0.with(|js| {
            let request = Object::new(js.clone()).expect("an object");
            request.set("uri", path).expect("set");
            let query = query.map(str::to_owned);
            let raw = Function::new(js.clone(), move || query.clone()).expect("a function");
            request.set("rawQueryString", raw).expect("set");
            let event = Object::new(js.clone()).expect("an object");
            event.set("request", request).expect("set");
            let handler: Function = js.globals().get("handler").expect("it has a handler");
            let response: Object = handler.call((event,)).expect("it does not throw");
            if let Some(status) = response
                .get::<_, Option<u16>>("statusCode")
                .expect("a status")
            {
                assert_eq!(status, 400, "{path}");
                return None;
            }
            let uri: String = response.get("uri").expect("a path");
            assert_eq!(uri, format!("/{STAGE}"));
            let query: String = response.get("querystring").expect("a query");
            assert!(query.bytes().all(|byte| byte.is_ascii_graphic()), "{query}");
            Some(query_pairs(&query))
        })
    }
}

#[test]
fn the_edge_function_and_this_program_agree_with_the_table() {
    let function = EdgeFunction::load();
    for Case { path, query, means } in cases() {
        let edge = function.rewrite(&path, query.as_deref());
        assert_eq!(edge, means, "the function: {path} {query:?}");
        let here = old_query(&path, query.as_deref().unwrap_or_default());
        assert_eq!(here, means, "this machine: {path} {query:?}");
    }
}

#[test]
fn any_id_is_the_same_user_in_the_path_and_in_the_query() {
    let function = EdgeFunction::load();
    for _ in 0..2_000 {
        let letters = 1..=fastrand::usize(1..=60);
        let id: String = letters.map(|_| letter()).collect();
        let encoded = utf8_percent_encode(&id, NON_ALPHANUMERIC).to_string();
        let path = format!("{OLD_PATH}{encoded}");
        let in_query = Some(query_pairs(&format!("user_id={encoded}")));
        assert_eq!(function.rewrite(&path, None), in_query, "{id:?}");
        assert_eq!(old_query(&path, ""), in_query, "{id:?}");
    }
}

/// Returns a letter of any script, often one that means something in a URL.
fn letter() -> char {
    if fastrand::bool() {
        fastrand::char(..)
    } else {
        char::from(fastrand::choice(*b"+%/&=?#; \0").expect("there are some"))
    }
}

#[test]
fn any_path_has_the_same_meaning_at_the_edge_and_here() {
    let function = EdgeFunction::load();
    let mut let_in = 0;
    for _ in 0..5_000 {
        // Pieces of what is good, so that much of it is nearly good.
        let pieces = [
            "a",
            "+",
            "%",
            "/",
            "%C3",
            "%A9",
            "%2F",
            "%E5%AD%B8",
            "2",
            "F",
        ];
        let id = (0..fastrand::usize(0..6)).map(|_| pieces[fastrand::usize(..pieces.len())]);
        let path = format!("{OLD_PATH}{}", id.collect::<String>());
        let here = old_query(&path, "");
        assert_eq!(function.rewrite(&path, None), here, "{path}");
        let_in += usize::from(here.is_some());
    }
    assert!((500..4_500).contains(&let_in), "{let_in} of 5,000");
}

/// The limits of CloudFront for a function hold, and handshakes go through it.
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html#limits-functions>
#[test]
fn the_function_is_one_that_cloudfront_takes() {
    let function = properties("EdgeFunction");
    let name = function["Name"].as_str().expect("a text");
    let is_good = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    assert!(name.len() <= 64 && name.chars().all(is_good), "{name}");
    let code = function["FunctionCode"].as_str().expect("a text");
    assert!(code.len() <= 10_000, "{}", code.len());

    let distribution = properties("EdgeDistribution");
    let handshakes = &distribution["DistributionConfig"]["CacheBehaviors"][0];
    assert_eq!(handshakes["PathPattern"], format!("{OLD_PATH}*"));
    let associated = &handshakes["FunctionAssociations"][0];
    assert_eq!(associated["EventType"], "viewer-request");
    let arn = format!("arn:aws:cloudfront::123456789012:function/{name}");
    assert_eq!(associated["FunctionARN"], arn);
}
