//! TLS towards a broker, by rustls.

use crate::{Error, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;

/// A client that trusts the authority `ca`, or the system's where there is none, and shows its own certificate (with its key)
/// if it has one.
///
/// # Errors
/// If a file can't be read, has no certificate or key in PEM form, or key and certificate don't belong together.
pub(super) fn client(ca: Option<&Path>, own: Option<(&Path, &Path)>) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Setting(format!("TLS: {e}")))?
        .with_root_certificates(authorities(ca)?);
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
