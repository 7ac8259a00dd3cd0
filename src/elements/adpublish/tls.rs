//! TLS towards a broker, by rustls.

use super::trouble::Refusal;
use crate::{Error, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;

/// A client that trusts the authority `ca`, or the system's where there is none, and shows its own certificate (with its key)
/// if it has one. Why it refuses the broker's is noted in `refusal`.
///
/// # Errors
/// If a file can't be read, has no certificate or key in PEM form, or key and certificate don't belong together.
pub(super) fn client(
    ca: Option<&Path>,
    own: Option<(&Path, &Path)>,
    refusal: Refusal,
) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let problem_of = |e: &dyn std::fmt::Display| Error::Setting(format!("TLS: {e}"));
    let checks = WebPkiServerVerifier::builder_with_provider(Arc::new(authorities(ca)?), provider.clone())
        .build()
        .map_err(|e| problem_of(&e))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| problem_of(&e))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { checks, refusal }));
    let config = match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let private = PrivateKeyDer::from_pem_file(key).map_err(|e| problem(key, "private key", &e))?;
            builder
                .with_client_auth_cert(certificates(certificate)?, private)
                .map_err(|e| Error::file(certificate, format!("does not work with {}: {e}", key.display())))?
        }
    };
    Ok(Arc::new(config))
}

/// Checks as rustls does by itself, and notes why a certificate was refused: what comes back through the clients' errors is text with a
/// running number.
#[derive(Debug)]
struct Verifier {
    checks: Arc<WebPkiServerVerifier>,
    refusal: Refusal,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let checked =
            self.checks.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        checked.inspect_err(|error| self.refusal.note(error))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.checks.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.checks.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.checks.supported_verify_schemes()
    }
}

fn authorities(ca: Option<&Path>) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    match ca {
        Some(path) => {
            for certificate in certificates(path)? {
                store
                    .add(certificate)
                    .map_err(|e| Error::file(path, format!("not usable as an authority: {e}")))?;
            }
        }
        None => {
            let system = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(system.certs);
            if store.is_empty() {
                return Err(Error::Setting(
                    "TLS: this system has no certificate authorities (Debian package ca-certificates); name one in \
                     ssl_CA_certificate"
                        .into(),
                ));
            }
        }
    }
    Ok(store)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(problem(path, "certificate", &rustls::pki_types::pem::Error::NoItemsFound))
        }
        Ok(certificates) => Ok(certificates),
        Err(e) => Err(problem(path, "certificate", &e)),
    }
}

fn problem(path: &Path, what: &str, error: &rustls::pki_types::pem::Error) -> Error {
    match error {
        rustls::pki_types::pem::Error::NoItemsFound => {
            Error::file(path, format!("no {what} in PEM form in it"))
        }
        e => Error::file(path, e.to_string()),
    }
}
