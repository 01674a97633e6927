//! TLS of the local gateway: clients that trust its certificate authority.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use local_gateway::process::cache;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Returns a configuration that trusts the authority of the gateways that this user starts, and no other.
///
/// # Errors
///
/// No gateway has been started yet.
pub fn authority() -> Result<Arc<ClientConfig>> {
    trusting(&cache::folder()?.join("tls/authority.pem"))
}

/// Returns a configuration that trusts the authorities of a file, and no others.
///
/// # Errors
///
/// It is no file with certificates.
pub fn trusting(file: &Path) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file)? {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Connects to an address (`127.0.0.1:3001`) as the server `name`.
///
/// # Errors
///
/// The certificate is not of that name, or the handshake fails.
pub async fn connect(
    address: &str,
    name: &str,
    authorities: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned())?;
    Ok(TlsConnector::from(authorities)
        .connect(name, stream)
        .await?)
}
