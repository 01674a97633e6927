//! The text of a template, from a developer. It is read, or rejected with a reason, within seconds.

#![no_main]

use std::collections::BTreeMap;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use local_gateway::template::Document;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let template = Document::parse(text, Path::new(""))
        .and_then(|document| document.evaluate(&BTreeMap::new()));
    if let Err(error) = template {
        assert!(!format!("{error:#}").is_empty());
    }
});
