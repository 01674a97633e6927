//! The web page, loaded as a browser does it.

use std::collections::BTreeMap;
use std::io::Read;

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use hyper::{Request, StatusCode};

use crate::client::{Http, HttpResponse};

/// Attributes by which the page refers to another file; the name ends with a quote.
const REFERENCES: [&str; 2] = ["src=\"", "href=\""];

/// The settings, which the page requests when it runs.
pub const CONFIG: &str = "page/config.json";

/// Loads the page at `url`, which ends with a slash, its settings, and every file that the page refers
/// to. The names are relative to `url`; that of the page is empty. Bodies are decompressed.
///
/// # Errors
///
/// A file cannot be loaded; the error names it.
pub async fn load(url: &str) -> Result<BTreeMap<String, HttpResponse>> {
    let http = Http::default();
    let page = fetch(&http, url).await?;
    let mut names = references(&String::from_utf8_lossy(&page.body));
    names.push(CONFIG.to_owned());
    let mut files = BTreeMap::from([(String::new(), page)]);
    for name in names {
        let file = fetch(&http, &format!("{url}{name}")).await?;
        files.insert(name, file);
    }
    Ok(files)
}

async fn fetch(http: &Http, url: &str) -> Result<HttpResponse> {
    let request = Request::get(url).header(ACCEPT_ENCODING, "gzip");
    let response = http.send(request.body(Default::default())?).await;
    let mut response = response.with_context(|| url.to_owned())?;
    ensure!(
        response.status == StatusCode::OK,
        "{url}: {}",
        response.status
    );
    if response.headers.contains_key(CONTENT_ENCODING) {
        let mut text = Vec::new();
        let read = GzDecoder::new(&*response.body).read_to_end(&mut text);
        read.with_context(|| format!("{url} is not compressed as it says"))?;
        response.body = text.into();
    }
    Ok(response)
}

/// Returns the files that the page refers to.
fn references(html: &str) -> Vec<String> {
    let pieces = REFERENCES
        .iter()
        .flat_map(|start| html.split(start).skip(1));
    pieces
        .filter_map(|rest| rest.split_once('"'))
        .map(|(target, _)| target)
        .filter(|target| target.contains('.') && !target.contains([':', '#']))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_relative_to_the_file_that_has_them() {
        let html = r##"<link href="page/style.css"><a href="#top"><script src="page/main.js">"##;
        assert_eq!(references(html), ["page/main.js", "page/style.css"]);
    }
}
