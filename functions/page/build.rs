//! Bundles the files of the page and compresses them, to be embedded in the binary.

#[path = "src/bundle.rs"]
mod bundle;
#[path = "src/site.rs"]
mod site;

use std::path::PathBuf;

use zopfli::{Format, Options};

/// The files that are served; `src/files.rs` lists them too.
const NAMES: [&str; 3] = ["index.html", "style.css", "main.js"];

fn main() {
    let variable = |name| PathBuf::from(std::env::var_os(name).expect("cargo sets it"));
    let package = variable("CARGO_MANIFEST_DIR");
    let out = variable("OUT_DIR");
    for folder in site::FOLDERS {
        println!("cargo::rerun-if-changed={folder}");
    }
    for name in NAMES {
        let text = site::text(name, &package).unwrap_or_else(|problem| panic!("{problem}"));
        let mut compressed = Vec::new();
        zopfli::compress(
            Options::default(),
            Format::Gzip,
            text.as_bytes(),
            &mut compressed,
        )
        .expect("memory can be written");
        let write = |name: &str, bytes: &[u8]| std::fs::write(out.join(name), bytes);
        write(&format!("{name}.gz"), &compressed)
            .and_then(|()| write(name, text.as_bytes()))
            .expect("the folder is writable");
    }
}
