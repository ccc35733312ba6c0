//! TLS to a server, and what is wrong with its certificate.
//!
//! rustls with ring: aws-lc, the other choice, needs a C compiler and `CMake` on some machines and
//! brings algorithms that no check needs.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::connect::Stream;
use super::{Aside, Doing, read, words};

/// More than any collection of certificates has; the system's own is a fifth of it.
const LONGEST: u64 = 1 << 20;

/// How long the system's certificates are kept: reading some 140 of them takes milliseconds, and
/// they change when a package is upgraded.
const KEPT: Duration = Duration::from_secs(600);

/// The system's certificates, and when they were read.
static SYSTEM: Mutex<Option<(Instant, Arc<RootCertStore>)>> = Mutex::new(None);

/// Whose certificates are valid.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trust<'a> {
    /// Those of the authorities that the system trusts.
    System,
    /// Those of the authorities in this file (PEM).
    File(&'a Path),
    /// Everybody's.
    Anyone,
}

/// TLS over a connection, with the server of this name or address.
///
/// # Errors
/// What is wrong, for people, to follow the name of the server.
pub(crate) async fn wrap<S: Stream>(
    stream: S,
    name: &str,
    trust: Trust<'_>,
    doing: &Doing,
) -> Result<TlsStream<S>, String> {
    doing.set("reading the certificates to trust");
    let connector = TlsConnector::from(Arc::new(config(trust).await?));
    doing.set(format!("TLS handshake with {name}"));
    connector.connect(server(name)?, stream).await.map_err(|error| handshake(&error, name))
}

/// A server as certificates name it.
///
/// # Errors
/// That none could.
pub(crate) fn server(name: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(name.to_owned())
        .map_err(|_| format!("'{name}' is no name that a certificate could have"))
}

async fn config(trust: Trust<'_>) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match trust {
        Trust::System => builder.with_root_certificates(system().await?),
        Trust::File(path) => builder.with_root_certificates(file(path).await?),
        Trust::Anyone => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        }
    };
    Ok(builder.with_no_client_auth())
}

async fn system() -> Result<Arc<RootCertStore>, String> {
    let kept = SYSTEM.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some((read, roots)) = kept
        && read.elapsed() < KEPT
    {
        return Ok(roots);
    }
    let found = Aside::shared("the system's certificates")
        .run(|| Ok(rustls_native_certs::load_native_certs().certs))
        .await;
    let mut roots = RootCertStore::empty();
    // Single certificates that rustls does not know how to read are no reason to trust none.
    roots.add_parsable_certificates(found.map_err(|error| words::system(&error))?);
    if roots.is_empty() {
        return Err("this machine has no certificates to trust (ca-certificates)".to_owned());
    }
    let roots = Arc::new(roots);
    let kept = Some((Instant::now(), Arc::clone(&roots)));
    *SYSTEM.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    Ok(roots)
}

async fn file(path: &Path) -> Result<RootCertStore, String> {
    let pem = read::beginning(path, LONGEST).await?;
    let unreadable = |why: String| format!("{} cannot be used: {why}", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unreadable("there is no certificate (PEM) in it".to_owned()));
    }
    Ok(roots)
}

/// What went wrong in a handshake.
fn handshake(error: &io::Error, name: &str) -> String {
    match cause(error) {
        Some(error) => words_of(error, name),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "closed the connection instead of a TLS handshake".to_owned()
        }
        None => format!("TLS: {}", words::system(error)),
    }
}

/// What TLS says within an error of a stream.
pub(crate) fn cause(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// What TLS says, to follow the name of the server.
pub(crate) fn words_of(error: &Error, name: &str) -> String {
    match error {
        Error::InvalidCertificate(reason) => certificate(reason, name),
        Error::InvalidMessage(_) => "does not speak TLS".to_owned(),
        other => format!("TLS: {other}"),
    }
}

fn certificate(reason: &CertificateError, name: &str) -> String {
    match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet".to_owned()
        }
        CertificateError::UnknownIssuer => "its certificate is from an unknown issuer".to_owned(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("its certificate is not for {name}")
        }
        CertificateError::Revoked => "its certificate is revoked".to_owned(),
        other => format!("its certificate is invalid: {other}"),
    }
}

/// Takes every certificate; that the server has its key is checked all the same.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
