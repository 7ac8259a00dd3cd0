//! What is needed to talk to a broker: properties, and a JSON file with the keys of DL Streamer's `mqtt-config`.

use super::address::{Address, Scheme};
use super::tls;
use super::trouble::{Refusal, plain};
use crate::{Error, Result};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a Kafka broker is told who we are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) enum Mechanism {
    #[default]
    #[serde(rename = "PLAIN")]
    Plain,
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

/// The file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    address: Option<String>,
    topic: Option<String>,
    #[serde(rename = "state-topic")]
    pub(super) state_topic: Option<String>,
    #[serde(rename = "client-id")]
    pub(super) client_id: Option<String>,
    username: Option<String>,
    password: Option<String>,
    #[serde(rename = "sasl-mechanism")]
    pub(super) mechanism: Option<Mechanism>,
    #[serde(rename = "TLS")]
    tls: Option<bool>,
    ssl_verify: Option<i64>,
    ssl_enable_server_cert_auth: Option<i64>,
    #[serde(rename = "ssl_CA_certificate")]
    ca_certificate: Option<PathBuf>,
    #[serde(rename = "ssl_client_certificate")]
    client_certificate: Option<PathBuf>,
    #[serde(rename = "ssl_private_key")]
    private_key: Option<PathBuf>,
}

/// A broker, and how to talk to it.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) addresses: Vec<Address>,
    pub(super) topic: String,
    pub(super) tls: Option<Arc<rustls::ClientConfig>>,
    refusal: Refusal,
    /// Name and password.
    pub(super) credentials: Option<(String, String)>,
}

impl Endpoint {
    /// The addresses, for messages.
    pub(super) fn name(&self) -> String {
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        addresses.join(",")
    }

    /// Why a connection has failed: the broker's certificate, where that was it, or else what its client says.
    pub(super) fn explain(&self, text: &str) -> String {
        self.refusal.take().unwrap_or_else(|| plain(text))
    }
}

impl Config {
    /// Reads a file; no file is an empty one.
    ///
    /// # Errors
    /// If it can't be read or isn't what it should be.
    pub(super) fn load(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path.filter(|path| !path.as_os_str().is_empty()) else {
            return Ok(Self::default());
        };
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        serde_json::from_str(&text).map_err(|e| Error::file(path, e.to_string()))
    }

    /// The broker at the address and topic of the file or, where it has none, of the properties.
    ///
    /// # Errors
    /// If something is missing, malformed, or can't be read.
    pub(super) fn endpoint(
        &self,
        scheme: &Scheme,
        address: Option<&str>,
        topic: Option<&str>,
    ) -> Result<Endpoint> {
        let given = |file: &Option<String>, property: Option<&str>| {
            file.as_deref().or(property).filter(|text| !text.is_empty()).map(ToOwned::to_owned)
        };
        let address = given(&self.address, address)
            .ok_or_else(|| Error::Setting("address is not set; give the broker's HOST:PORT".into()))?;
        let topic = given(&self.topic, topic)
            .ok_or_else(|| Error::Setting("topic is not set; give the topic of the messages".into()))?;
        let read = |tls: bool| -> Result<Vec<(Address, bool)>> {
            address.split(',').map(|address| scheme.parse(address, tls)).collect()
        };
        let wanted = self.tls.unwrap_or(false);
        let secure = wanted || read(wanted)?.iter().any(|(_, secure)| *secure);
        // Once more: what one address asks for holds for all, and for the ports that they do not name.
        let addresses: Vec<Address> = read(secure)?.into_iter().map(|(address, _)| address).collect();
        if secure && let Some(number) = addresses.iter().find(|address| address.host.contains(':')) {
            return Err(Error::Setting(format!(
                "address '{number}': with TLS an IPv6 broker must be given by its name"
            )));
        }
        let refusal = Refusal::default();
        let tls = self.tls(secure, refusal.clone())?;
        Ok(Endpoint { addresses, topic, tls, refusal, credentials: self.credentials()? })
    }

    fn tls(&self, secure: bool, refusal: Refusal) -> Result<Option<Arc<rustls::ClientConfig>>> {
        let named = [&self.ca_certificate, &self.client_certificate, &self.private_key];
        if !secure {
            return match named.into_iter().flatten().next() {
                None => Ok(None),
                Some(file) => Err(Error::Setting(format!(
                    "{} is given, yet TLS is off; set \"TLS\": true",
                    file.display()
                ))),
            };
        }
        if self.ssl_verify == Some(0) || self.ssl_enable_server_cert_auth == Some(0) {
            return Err(Error::Setting(
                "the broker's certificate is always checked: remove ssl_verify and ssl_enable_server_cert_auth, and name \
                 the authority that signed it, or the certificate itself, in ssl_CA_certificate"
                    .into(),
            ));
        }
        let client = match (&self.client_certificate, &self.private_key) {
            (Some(certificate), Some(key)) => Some((certificate.as_path(), key.as_path())),
            (None, None) => None,
            _ => {
                return Err(Error::Setting(
                    "ssl_client_certificate and ssl_private_key belong together: give both or none".into(),
                ));
            }
        };
        tls::client(self.ca_certificate.as_deref(), client, refusal).map(Some)
    }

    fn credentials(&self) -> Result<Option<(String, String)>> {
        match (&self.username, &self.password) {
            (None, None) => Ok(None),
            (Some(name), password) => Ok(Some((name.clone(), password.clone().unwrap_or_default()))),
            (None, Some(_)) => Err(Error::Setting("there is a password, but no username".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KAFKA: Scheme = Scheme { plain: &["kafka"], secure: &["kafkas"], port: 9092, secure_port: 9093 };

    #[test]
    fn tls_that_one_address_asks_for_holds_for_all() {
        for (addresses, expected) in [
            ("kafkas://a,b,c:1", ["a:9093", "b:9093", "c:1"]),
            ("a,kafkas://b,c:1", ["a:9093", "b:9093", "c:1"]),
            ("a,b:2,c", ["a:9092", "b:2", "c:9092"]),
        ] {
            let endpoint = Config::default().endpoint(&KAFKA, Some(addresses), Some("topic")).unwrap();
            let found: Vec<String> = endpoint.addresses.iter().map(ToString::to_string).collect();
            assert_eq!(found, expected);
            assert_eq!(endpoint.tls.is_some(), addresses.contains("kafkas"));
        }
    }
}
