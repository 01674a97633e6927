//! An event of the HTTP API, as JSON. Whatever `Host`, query, path and headers it holds, the history accepts or
//! rejects its query, and the page responds with a file or 404.

#![no_main]

use std::sync::LazyLock;

use chat_lambda::config::Auth;
use chat_lambda::http_event::HttpEvent;
use libfuzzer_sys::fuzz_target;
use page::files::File;
use serde_json::Value;

static PAGE: LazyLock<page::Deps> = LazyLock::new(|| page::Deps {
    config: File::new("config.json", "{}"),
    policy: "default-src 'none'".to_owned(),
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(event) = serde_json::from_slice::<HttpEvent>(bytes) else {
        return;
    };
    check_history(&event);
    check_page(&event);
});

fn check_history(event: &HttpEvent) {
    let open = history::permitted_query(event, Auth::Open);
    match history::permitted_query(event, Auth::Jwt) {
        Ok((query, reader)) => {
            let caller = event.identity().expect("a caller").user_id;
            assert_eq!(reader, caller);
            assert_eq!(open.ok(), Some((query, reader)));
        }
        Err(rejection) => {
            let sentence = rejection.message;
            assert!(sentence.len() < 100 && sentence.is_ascii(), "{sentence}");
        }
    }
}

fn check_page(event: &HttpEvent) {
    let response = page::respond(event, &PAGE);
    assert!([200, 304, 404].contains(&response.status_code));
    let response = serde_json::to_value(&response).expect("JSON");
    let headers = response["headers"].as_object().expect("headers");
    // Nothing of the request is in a header, so each is valid.
    let is_plain = |value: &Value| value.as_str().is_some_and(|text| text.is_ascii());
    assert!(headers.values().all(is_plain));
}
