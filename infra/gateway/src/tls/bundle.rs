//! The files that tell functions to trust the authority.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::authority::Authority;
use crate::process::cache;

/// Files of certificates in PEM.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The authority alone.
    pub authority: PathBuf,
    /// The authority, and those that this machine trusts: calls to AWS itself go on.
    pub all: PathBuf,
}

impl Bundle {
    /// Writes the files of an authority.
    ///
    /// # Errors
    ///
    /// The cache is not writable.
    pub fn write(authority: &Authority) -> Result<Self> {
        let mut text = authority.certificate.clone();
        let trusted = rustls_native_certs::load_native_certs();
        if trusted.certs.is_empty() {
            tracing::warn!(
                "this machine has no root certificates, so functions reach no other server by https"
            );
        }
        for certificate in trusted.certs {
            text += &pem(&certificate);
        }
        let all = authority.path.with_file_name("bundle.pem");
        cache::write(&all, text.as_bytes())?;
        Ok(Self {
            authority: authority.path.clone(),
            all,
        })
    }

    /// Returns the variables that tell it: OpenSSL (Python) and the SDK for Rust, boto3 and the AWS CLI,
    /// the library requests, and Node, which adds the file to its own list.
    pub fn variables(&self) -> [(&'static str, &PathBuf); 4] {
        [
            ("SSL_CERT_FILE", &self.all),
            ("AWS_CA_BUNDLE", &self.all),
            ("REQUESTS_CA_BUNDLE", &self.all),
            ("NODE_EXTRA_CA_CERTS", &self.authority),
        ]
    }
}

/// Returns a certificate in PEM.
fn pem(der: &[u8]) -> String {
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let encoded = STANDARD.encode(der);
    for line in encoded.as_bytes().chunks(64) {
        let _ = writeln!(text, "{}", String::from_utf8_lossy(line));
    }
    text + "-----END CERTIFICATE-----\n"
}
