//! Makes the files that are served of the sources.

use std::path::Path;

use crate::bundle::{bundle, without_comments, without_indentation};

/// The folders of the sources in the package: the page's own, and the client library's.
pub const FOLDERS: [&str; 2] = ["site", "../../shared/client/src"];

/// The name of the client library's folder in the imports of the page.
const CLIENT: &str = "client/";

/// Returns the text of a file that is served, made of the sources around the folder `package`.
///
/// # Errors
///
/// A source cannot be read or used; the sentence names it.
pub fn text(name: &str, package: &Path) -> Result<String, String> {
    let read = |name: &str| source(name, package);
    match name.rsplit_once('.') {
        Some((_, "js")) => bundle(name, &read),
        Some((_, "css")) => Ok(without_indentation(&without_comments(&read(name)?))),
        _ => read(name),
    }
}

fn source(name: &str, package: &Path) -> Result<String, String> {
    let [page, client] = FOLDERS.map(|folder| package.join(folder));
    let path = match name.strip_prefix(CLIENT) {
        Some(module) => client.join(module),
        None => page.join(name),
    };
    std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}
