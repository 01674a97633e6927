//! TLS for functions: they post to `https://{domainName}/{stage}`, which is this machine.
//!
//! - [`authority`]: the certificate authority of the user, and the certificates that it signs
//! - [`bundle`]: the files that tell functions to trust it

pub mod authority;
pub mod bundle;

use std::sync::Arc;

use anyhow::Result;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;

use authority::{Authority, Certificates};
use bundle::Bundle;

/// What the listeners and the functions need for TLS.
pub struct Tls {
    /// Accepts connections.
    pub acceptor: TlsAcceptor,
    /// The files for functions.
    pub bundle: Bundle,
}

impl Tls {
    /// Reads the certificate authority of the user; makes it if there is none.
    ///
    /// # Errors
    ///
    /// The user's cache is not writable, or its files are broken.
    pub async fn open() -> Result<Self> {
        let authority = Authority::open().await?;
        let bundle = Bundle::write(&authority)?;
        let certificates = Certificates::new(authority)?;
        let mut config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(certificates));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            bundle,
        })
    }
}
