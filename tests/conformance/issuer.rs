//! The issuer whose tokens the guarded stage takes. API Gateway takes only RSA keys.

use std::sync::OnceLock;

use tests::issuer::{Issuer, Key};

use crate::target;

/// The issuer of this run: the one that the stages were deployed with, or one of our own.
pub fn of_run() -> &'static Issuer {
    static ISSUER: OnceLock<Issuer> = OnceLock::new();
    ISSUER.get_or_init(|| {
        let Some(file) = target::deployed() else {
            return Issuer::start(Key::rsa("first"));
        };
        let text = |key: &str| file["issuer"][key].as_str().unwrap_or_default();
        let key = std::fs::read_to_string(text("key_file")).expect("key_file names a PEM file");
        let key = Key::of_rsa(text("key_id"), &key);
        Issuer::at(text("url"), text("audience"), key)
    })
}
