//! The files of the page, which are embedded in the binary.

use std::hash::{DefaultHasher, Hash, Hasher};

/// A file as it is served.
#[derive(Debug, Clone)]
pub struct File {
    /// The header `content-type`.
    pub content_type: &'static str,
    /// The header `etag`: weak, since it is the same for both forms.
    pub etag: String,
    /// The text.
    pub text: String,
    /// The text compressed by gzip. A file that is not part of the build has no such form.
    pub gzip: Option<&'static [u8]>,
}

impl File {
    /// Returns a file, whose content type follows from its name.
    pub fn new(name: &str, text: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Self {
            content_type: content_type(name),
            etag: format!("W/\"{:016x}\"", hasher.finish()),
            text: text.to_owned(),
            gzip: None,
        }
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        _ => "application/json",
    }
}

/// Returns the name, the text and the compressed form of a file that `build.rs` has made.
macro_rules! built {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!(env!("OUT_DIR"), "/", $name)),
            include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".gz")),
        )
    };
}

/// The files of the build.
static BUILT: [(&str, &str, &[u8]); 3] =
    [built!("index.html"), built!("style.css"), built!("main.js")];

/// Returns the file of a name below `/page/`.
pub fn find(name: &str) -> Option<File> {
    let (name, text, gzip) = BUILT.iter().find(|(known, ..)| *known == name)?;
    Some(edited(name, text).unwrap_or_else(|| File {
        gzip: Some(gzip),
        ..File::new(name, text)
    }))
}

/// Returns the file of the checkout, if it differs from the built one: an edit shows with the next
/// reload. A mistake in a source shows in the browser's console. A release has only the files of its
/// build.
#[cfg(debug_assertions)]
fn edited(name: &str, built: &str) -> Option<File> {
    let package = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    if !package.exists() {
        return None;
    }
    let text = crate::site::text(name, package)
        .unwrap_or_else(|problem| format!("throw new Error({problem:?});"));
    (text != built).then(|| File::new(name, &text))
}

#[cfg(not(debug_assertions))]
fn edited(_: &str, _: &str) -> Option<File> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Size limit of the page and all that it loads, compressed, in bytes.
    const MAX_COMPRESSED_BYTES: usize = 44 * 1024;

    #[test]
    fn the_page_with_all_that_it_loads_is_within_its_size_limit() {
        let sizes = BUILT.map(|(name, _, gzip)| (name, gzip.len()));
        let sum: usize = sizes.iter().map(|(_, size)| size).sum();
        assert!(sum <= MAX_COMPRESSED_BYTES, "{sum} bytes: {sizes:?}");
    }

    #[test]
    fn an_unknown_name_is_no_file() {
        for name in [
            "",
            "config.json",
            "../Cargo.toml",
            "client/index.js",
            "/index.html",
        ] {
            assert!(find(name).is_none(), "{name}");
        }
        assert!(find("index.html").is_some());
    }

    /// Tests are debug builds, and run where the sources are.
    #[test]
    fn a_file_that_was_edited_since_the_build_is_served_as_it_is_now() {
        let (name, text, _) = BUILT[1];
        assert!(edited(name, text).is_none(), "nothing was edited");
        let now = edited(name, "what an older build had").expect("it differs");
        assert_eq!((now.text.as_str(), now.gzip), (text, None));
    }

    #[test]
    fn another_text_has_another_etag() {
        let [one, other] = ["a", "b"].map(|text| File::new("x.js", text).etag);
        assert_ne!(one, other);
    }
}
