//! The lab's own certificate authority, and the secrets by which clients and server know each other.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::Rng;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

const AUTHORITY_NAME: &str = "canary-lab";
/// Names by which pods of a real cluster would know the server.
const SERVER_NAMES: [&str; 5] =
    ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"];

/// Why keys or certificates could not be had.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file could not be read or written.
    #[error("`{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A key or certificate could not be made or read.
    #[error("the lab's certificates cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The TLS library refused them.
    #[error("the lab's certificates cannot be used: {0}")]
    Tls(#[from] rustls::Error),
}

/// A certificate authority that only this lab's clients trust. Its key stays in its directory, readable by the owner.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// The authority kept in `directory` (`ca.crt`, `ca.key`), made if it is not there yet.
    ///
    /// # Errors
    /// When files cannot be read or written, or hold no key.
    pub fn load_or_create(directory: &Path) -> Result<Self, PkiError> {
        fs::create_dir_all(directory).map_err(|source| PkiError::Io { path: directory.to_owned(), source })?;
        let key_path = directory.join("ca.key");
        let certificate_path = directory.join("ca.crt");
        let params = authority_params()?;
        if let (Some(key), Some(certificate)) = (read(&key_path)?, read(&certificate_path)?) {
            let key = KeyPair::from_pem(&key)?;
            return Ok(Self { certificate, issuer: Issuer::new(params, key) });
        }
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        write_secret(&key_path, &key.serialize_pem())?;
        write_secret(&certificate_path, &certificate)?;
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// The authority's certificate in PEM, for kubeconfigs and `kube-root-ca.crt`.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate
    }

    /// A server's TLS configuration with a fresh certificate for these addresses, for HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub fn server_config(&self, addresses: &[IpAddr]) -> Result<Arc<rustls::ServerConfig>, PkiError> {
        let mut params = CertificateParams::new(SERVER_NAMES.map(str::to_owned).to_vec())?;
        params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
        params.distinguished_name = name("kube-apiserver");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// The token kept in `directory/token`, made if it is not there yet.
///
/// # Errors
/// When the file cannot be read or written.
pub fn load_or_create_token(directory: &Path) -> Result<String, PkiError> {
    fs::create_dir_all(directory).map_err(|source| PkiError::Io { path: directory.to_owned(), source })?;
    let path = directory.join("token");
    if let Some(token) = read(&path)?.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()) {
        return Ok(token);
    }
    let mut random = rand::rng();
    let token: String = (0..32).map(|_| char::from_digit(random.random_range(0..16), 16).unwrap_or('0')).collect();
    write_secret(&path, &token)?;
    Ok(token)
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

fn authority_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = name(AUTHORITY_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    Ok(params)
}

fn read(path: &Path) -> Result<Option<String>, PkiError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PkiError::Io { path: path.to_owned(), source }),
    }
}

/// Writes a file that only its owner may read, whole or not at all.
fn write_secret(path: &Path, text: &str) -> Result<(), PkiError> {
    let partial = path.with_extension("partial");
    let writing = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    writing().map_err(|source| PkiError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn secrets_are_kept_and_private() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let directory = home.path().join("pki");
        let first = Authority::load_or_create(&directory).expect("made");
        let again = Authority::load_or_create(&directory).expect("read");
        assert_eq!(first.certificate_pem(), again.certificate_pem());
        again.server_config(&[IpAddr::from([127, 64, 0, 2])]).expect("usable");
        let token = load_or_create_token(&directory).expect("made");
        assert_eq!((load_or_create_token(&directory).expect("read"), token.len()), (token, 32));
        for file in ["ca.key", "token"] {
            let mode = fs::metadata(directory.join(file)).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }
}
