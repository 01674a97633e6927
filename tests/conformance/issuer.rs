//! The token issuer of the guarded stage. Its key is an RSA key: API Gateway accepts no other.

use std::sync::OnceLock;

use tests::issuer::{Issuer, Key};

use crate::target;

/// Returns the issuer of this run: that of the deployed stages, or one that is started here.
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
