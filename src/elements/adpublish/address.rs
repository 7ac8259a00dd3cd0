//! Addresses of brokers.

use crate::{Error, Result};
use std::fmt;
use std::net::Ipv6Addr;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// A name or a number; IPv6 without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What a protocol's addresses look like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scheme {
    /// Before `://`, without TLS.
    pub(super) plain: &'static [&'static str],
    /// The same with TLS.
    pub(super) secure: &'static [&'static str],
    pub(super) port: u16,
    pub(super) secure_port: u16,
}

impl Scheme {
    /// Reads `HOST`, `HOST:PORT` or `SCHEME://HOST:PORT`; also says whether the address itself asks for TLS.
    ///
    /// # Errors
    /// If it is none of these.
    pub(super) fn parse(&self, text: &str, tls: bool) -> Result<(Address, bool)> {
        let fail = |problem: &str| {
            let (plain, secure) = (self.plain[0], self.secure[0]);
            Error::Setting(format!(
                "address '{text}': {problem}; give HOST:PORT, {plain}://HOST:PORT or, for TLS, {secure}://HOST:PORT"
            ))
        };
        let (scheme, rest) = text.split_once("://").unwrap_or((self.plain[0], text));
        let secure = self.secure.contains(&scheme);
        if !secure && !self.plain.contains(&scheme) {
            return Err(fail(&format!("'{scheme}' is not known here")));
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            return Err(fail("user and password belong in the configuration file"));
        }
        let (host, port) = match rest.strip_prefix('[') {
            Some(number) => {
                let (number, port) =
                    number.split_once(']').ok_or_else(|| fail("there is a '[' without ']'"))?;
                number.parse::<Ipv6Addr>().map_err(|e| fail(&e.to_string()))?;
                (
                    number,
                    Some(port)
                        .filter(|port| !port.is_empty())
                        .map(|port| port.strip_prefix(':').unwrap_or(port)),
                )
            }
            None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        let good = |c: char| c.is_alphanumeric() || "-._".contains(c);
        if host.is_empty() || !(rest.starts_with('[') || host.chars().all(good)) {
            return Err(fail("there is no host in it"));
        }
        let port = match port {
            None if secure || tls => self.secure_port,
            None => self.port,
            Some(port) => {
                port.parse().ok().filter(|&port| port > 0).ok_or_else(|| fail("the port is not one"))?
            }
        };
        Ok((Address { host: host.into(), port }, secure))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MQTT: Scheme =
        Scheme { plain: &["mqtt", "tcp"], secure: &["mqtts", "ssl"], port: 1883, secure_port: 8883 };

    fn read(text: &str) -> Result<(String, bool)> {
        MQTT.parse(text, false).map(|(address, secure)| (address.to_string(), secure))
    }

    #[test]
    fn addresses_have_a_host_and_perhaps_a_scheme_and_a_port() {
        for (text, address, secure) in [
            ("localhost", "localhost:1883", false),
            ("127.0.0.1:99", "127.0.0.1:99", false),
            ("tcp://broker.example:1884", "broker.example:1884", false),
            ("mqtts://broker.example", "broker.example:8883", true),
            ("ssl://broker.example:1/", "broker.example:1", true),
            ("[::1]:1885", "[::1]:1885", false),
        ] {
            assert_eq!(read(text).unwrap(), (address.into(), secure), "{text}");
        }
        assert_eq!(MQTT.parse("broker", true).unwrap().0.port, 8883);
    }

    #[test]
    fn malformed_addresses_are_refused_by_name() {
        for text in [
            "",
            ":1883",
            "localhost:",
            "localhost:0",
            "localhost:65536",
            "localhost:mqtt",
            "http://localhost",
            "user:secret@localhost",
            "localhost/topic",
            "local host",
            "mqtt://",
            "::1",
            "a,b",
            "host:1?x",
            "host:1#x",
            "[::1",
            "host:-1",
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(&format!("'{text}'")), "{error}");
        }
    }
}
