//! The certificate authority of the user, and the certificates that it signs.
//!
//! It is made once, and lies in the user's cache; only the user can read its key. No system and no
//! browser is told to trust it.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, GeneralSubtree, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, NameConstraints, date_time_ymd,
};
use tokio_rustls::rustls::crypto::ring::sign;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::process::cache;

/// The names and addresses that each certificate has.
const OWN_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Domains that no certificate of the authority can stand for: whoever gets its key cannot pose as AWS
/// before the functions that trust it.
const EXCLUDED_DOMAINS: [&str; 4] = ["amazonaws.com", "api.aws", "amazon.com", "on.aws"];

/// Limit of the certificates that are kept. Further names take the place of the others.
const MAX_CERTIFICATES: usize = 64;

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// The file of its certificate.
    pub path: PathBuf,
    /// Its certificate in PEM.
    pub certificate: String,
}

impl Authority {
    /// Reads the authority of the user; makes it if there is none. Of several gateways, one makes it.
    ///
    /// # Errors
    ///
    /// The cache is not writable, or the files are broken.
    pub async fn open() -> Result<Self> {
        let folder = cache::folder()?.join("tls");
        let _lock = cache::lock(&folder, "authority").await?;
        let (path, key_path) = (folder.join("authority.pem"), folder.join("authority.key"));
        if !path.is_file() || !key_path.is_file() {
            let key = KeyPair::generate()?;
            let certificate = parameters()?.self_signed(&key)?;
            write_secret(&key_path, key.serialize_pem().as_bytes())?;
            cache::write(&path, certificate.pem().as_bytes())?;
        }
        let key = std::fs::read_to_string(&key_path)?;
        let key = KeyPair::from_pem(&key);
        let key = key.with_context(|| format!("{} is broken: delete it", key_path.display()))?;
        Ok(Self {
            issuer: Issuer::new(parameters()?, key),
            certificate: std::fs::read_to_string(&path)?,
            path,
        })
    }
}

/// Returns what its certificate says.
fn parameters() -> Result<CertificateParams> {
    let mut parameters = CertificateParams::new(Vec::new())?;
    let name = &mut parameters.distinguished_name;
    name.push(DnType::CommonName, "local-gateway on this machine");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let excluded = EXCLUDED_DOMAINS.map(|domain| GeneralSubtree::DnsName(domain.to_owned()));
    parameters.name_constraints = Some(NameConstraints {
        permitted_subtrees: Vec::new(),
        excluded_subtrees: excluded.to_vec(),
    });
    never_expire(&mut parameters);
    Ok(parameters)
}

/// Sets the first and the last day of a certificate. None is ever renewed.
fn never_expire(parameters: &mut CertificateParams) {
    parameters.not_before = date_time_ymd(2020, 1, 1);
    parameters.not_after = date_time_ymd(2120, 1, 1);
}

/// Writes a file that only the user can read.
fn write_secret(path: &Path, text: &[u8]) -> Result<()> {
    let new = path.with_added_extension(format!("{:016x}", fastrand::u64(..)));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(text)?;
    std::fs::rename(&new, path).with_context(|| format!("cannot write {}", path.display()))
}

/// Certificates by the name that a client asks for. All have the addresses of this machine.
pub struct Certificates {
    authority: Authority,
    key: KeyPair,
    signed: Mutex<BTreeMap<String, Arc<CertifiedKey>>>,
}

impl Certificates {
    /// Returns certificates of an authority, with a key that is kept in memory only.
    ///
    /// # Errors
    ///
    /// There is no key.
    pub fn new(authority: Authority) -> Result<Self> {
        Ok(Self {
            authority,
            key: KeyPair::generate()?,
            signed: Mutex::default(),
        })
    }

    /// Returns the certificate for a name.
    ///
    /// # Errors
    ///
    /// It is not the name of a host.
    fn certificate(&self, name: &str) -> Result<Arc<CertifiedKey>> {
        let mut signed = self.signed.lock();
        if let Some(known) = signed.get(name) {
            return Ok(Arc::clone(known));
        }
        let certificate = Arc::new(self.sign(name)?);
        if signed.len() >= MAX_CERTIFICATES {
            signed.clear();
        }
        signed.insert(name.to_owned(), Arc::clone(&certificate));
        Ok(certificate)
    }

    fn sign(&self, name: &str) -> Result<CertifiedKey> {
        let mut names = OWN_NAMES.map(str::to_owned).to_vec();
        if !OWN_NAMES.contains(&name) {
            names.push(name.to_owned());
        }
        let mut parameters = CertificateParams::new(names)?;
        let subject = &mut parameters.distinguished_name;
        subject.push(DnType::CommonName, "local-gateway");
        parameters.use_authority_key_identifier_extension = true;
        never_expire(&mut parameters);
        let certificate = parameters.signed_by(&self.key, &self.authority.issuer)?;
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        let key = sign::any_supported_type(&key)?;
        Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the key.
        formatter.write_str("Certificates")
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // A client that connects to an address sends no name.
        let name = hello.server_name().unwrap_or(OWN_NAMES[0]);
        let certificate = self.certificate(&name.to_ascii_lowercase());
        certificate
            .inspect_err(|why| tracing::debug!("no certificate for {name}: {why:#}"))
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the certificates of a new authority.
    fn certificates() -> Certificates {
        let key = KeyPair::generate().expect("a key");
        let authority = Authority {
            issuer: Issuer::new(parameters().expect("valid"), key),
            path: PathBuf::new(),
            certificate: String::new(),
        };
        Certificates::new(authority).expect("a key")
    }

    #[test]
    fn few_certificates_are_kept_and_each_is_signed_once() {
        let certificates = certificates();
        for number in 0..3 * MAX_CERTIFICATES {
            let name = format!("host-{number}.example");
            let first = certificates.certificate(&name).expect("signed");
            let again = certificates.certificate(&name).expect("signed");
            assert!(Arc::ptr_eq(&first, &again));
            assert!(certificates.signed.lock().len() <= MAX_CERTIFICATES);
        }
        assert!(certificates.certificate("höst").is_err());
    }

    #[test]
    fn the_debug_format_has_no_key() {
        let certificates = certificates();
        assert_eq!(format!("{certificates:?}"), "Certificates");
    }
}
