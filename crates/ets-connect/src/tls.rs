//! TLS to the database, with libpq's meaning of `sslmode` and `sslrootcert`.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres::config::{Config, Host};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::parameters::{SslMode, TlsParameters};

/// How the driver shall connect: none without TLS. A socket in a file has none, as with libpq.
///
/// # Errors
/// A message for the user: a file cannot be read or holds no certificate, or the mode
/// needs one that is not named.
pub fn connector(config: &mut Config, tls: &TlsParameters) -> Result<Option<MakeRustlsConnect>, String> {
    use tokio_postgres::config::SslMode as Driver;
    let mode = tls.mode.unwrap_or_default();
    let is_local = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
    if is_local || mode == SslMode::Disable {
        config.ssl_mode(Driver::Disable);
        return Ok(None);
    }
    config.ssl_mode(if mode == SslMode::Prefer { Driver::Prefer } else { Driver::Require });
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match (mode, &tls.root) {
        (SslMode::VerifyCa | SslMode::VerifyFull, None) => {
            return Err("sslmode verify-ca and verify-full need sslrootcert, a file of certificates".into());
        }
        (_, None) => Arc::new(Lenient { provider: provider.clone(), root: None }),
        (mode, Some(file)) => {
            let verifier = WebPkiServerVerifier::builder_with_provider(roots(file)?, provider.clone())
                .build()
                .map_err(|error| format!("{} is of no use: {error}", file.display()))?;
            match mode {
                SslMode::VerifyFull => verifier,
                // With a root certificate libpq verifies it, though not the name.
                _ => Arc::new(Lenient { provider: provider.clone(), root: Some(verifier) }),
            }
        }
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let client = match (&tls.certificate, &tls.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(certificate), Some(key)) => {
            let secret = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| format!("cannot read a secret key from {}: {error}", key.display()))?;
            builder
                .with_client_auth_cert(certificates(certificate)?, secret)
                .map_err(|error| format!("{} is of no use: {error}", certificate.display()))?
        }
        _ => return Err("sslcert and sslkey go together".into()),
    };
    Ok(Some(MakeRustlsConnect::new(client)))
}

fn roots(file: &Path) -> Result<Arc<RootCertStore>, String> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(file)? {
        store.add(certificate).map_err(|error| format!("{} is of no use: {error}", file.display()))?;
    }
    Ok(Arc::new(store))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed =
        |error: &dyn std::fmt::Display| format!("cannot read certificates from {}: {error}", file.display());
    let read: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(file).map_err(|error| failed(&error))?.collect();
    let certificates = read.map_err(|error| failed(&error))?;
    if certificates.is_empty() { Err(failed(&"there is none")) } else { Ok(certificates) }
}

/// Less than the whole of a certificate: one of the root's for whatever name, or any at
/// all. That protects from who listens, not from who stands between.
#[derive(Debug)]
struct Lenient {
    provider: Arc<CryptoProvider>,
    /// None: nobody vouches for the certificate.
    root: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(root) = &self.root else { return Ok(ServerCertVerified::assertion()) };
        // The name is looked at last, when all else was found right.
        match root.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            answer => answer,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
