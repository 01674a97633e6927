//! The web page, loaded as a browser does it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::Read;

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap};
use hyper::{Request, StatusCode};

/// What begins a reference to another file, in the page and in its modules; the name ends with a quote.
const REFERENCES: [&str; 5] = ["src=\"", "href=\"", "from \"", "import \"", "import(\""];

/// The settings, which the page asks for when it runs.
pub const CONFIG: &str = "page/config.json";

/// A file that has come with status 200.
#[derive(Debug)]
pub struct File {
    /// The headers of its response.
    pub headers: HeaderMap,
    /// Its text, decompressed.
    pub text: String,
}

impl File {
    /// A header as text; empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().expect("ASCII"))
    }
}

/// Loads the page at `url`, which ends with a slash, its settings, and every file that one of the
/// files refers to. The names are relative to `url`; that of the page is empty.
///
/// # Errors
///
/// A file cannot be loaded; the error names it.
pub async fn load(url: &str) -> Result<BTreeMap<String, File>> {
    let mut files = BTreeMap::new();
    let mut waiting = vec![String::new(), CONFIG.to_owned()];
    while let Some(name) = waiting.pop() {
        let Entry::Vacant(vacant) = files.entry(name) else {
            continue;
        };
        let file = fetch(&format!("{url}{}", vacant.key())).await?;
        waiting.extend(references(vacant.key(), &file.text));
        vacant.insert(file);
    }
    Ok(files)
}

async fn fetch(url: &str) -> Result<File> {
    let request = Request::get(url).header(ACCEPT_ENCODING, "gzip");
    let response = local_gateway::http::client::send(request.body(Default::default())?).await;
    let response = response.with_context(|| url.to_owned())?;
    let (parts, body) = response.into_parts();
    ensure!(parts.status == StatusCode::OK, "{url}: {}", parts.status);
    let mut text = String::new();
    match parts.headers.get(CONTENT_ENCODING) {
        Some(_) => GzDecoder::new(&*body).read_to_string(&mut text),
        None => (&*body).read_to_string(&mut text),
    }
    .with_context(|| format!("{url} is no text"))?;
    Ok(File {
        headers: parts.headers,
        text,
    })
}

/// The files that the text of the file `name` refers to.
fn references(name: &str, text: &str) -> Vec<String> {
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    let pieces = REFERENCES
        .iter()
        .flat_map(|start| text.split(start).skip(1));
    pieces
        .filter_map(|rest| rest.split_once('"'))
        .map(|(target, _)| target)
        .filter(|target| target.contains('.') && !target.contains([':', '#']))
        .map(|target| join(folder, target))
        .collect()
}

/// The name that `target` means in a file of `folder`.
fn join(folder: &str, target: &str) -> String {
    let mut segments: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for segment in target.split('/') {
        match segment {
            "." => {}
            ".." => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    segments.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_relative_to_the_file_that_has_them() {
        let html = r##"<link href="page/style.css"><a href="#top"><script src="page/main.js">"##;
        assert_eq!(references("", html), ["page/main.js", "page/style.css"]);
        let module =
            r#"import { Chat } from "./client/index.js"; import "../x.js"; import("./y.js")"#;
        assert_eq!(
            references("page/main.js", module),
            ["page/client/index.js", "x.js", "page/y.js"]
        );
    }
}
