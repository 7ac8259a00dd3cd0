//! What is wrong with a broker, in words that say what to do and are the same as long as the reason is.

use super::super::lock;
use rustls::CertificateError;
use rustls::pki_types::UnixTime;
use std::sync::{Arc, Mutex};

/// Said of a broker that ends a connection.
pub(super) const GONE: &str = "has closed the connection";

/// Parts of what libraries say, and what is meant.
const WORDS: [(&str, &str); 12] = [
    (
        "received fatal alert: CertificateRequired",
        "TLS: wants a certificate of this client; set ssl_client_certificate and ssl_private_key",
    ),
    ("received fatal alert: CertificateExpired", "TLS: says that this client's certificate has expired"),
    ("received fatal alert: CertificateRevoked", "TLS: says that this client's certificate was revoked"),
    ("received fatal alert: UnknownCA", "TLS: does not trust the authority of this client's certificate"),
    ("received fatal alert: BadCertificate", "TLS: refuses this client's certificate, or misses one"),
    ("received fatal alert: CertificateUnknown", "TLS: refuses this client's certificate"),
    ("received fatal alert: HandshakeFailure", "TLS: has no method of encryption in common with us"),
    ("received fatal alert: ProtocolVersion", "TLS: has no version in common with us (1.2 and 1.3)"),
    (
        "received corrupt message of type InvalidContentType",
        "does not answer in TLS; check the port, or do without TLS",
    ),
    ("tls handshake eof", GONE),
    ("early eof", GONE),
    ("onnection reset by peer", GONE),
];

/// A library's `text`, or what is meant by it.
pub(super) fn plain(text: &str) -> String {
    let known = WORDS.iter().find(|(part, _)| text.contains(part));
    known.map_or_else(|| text.to_owned(), |(_, words)| (*words).to_owned())
}

/// What an operating system says of a connection.
pub(super) fn io(error: &std::io::Error) -> String {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    match error.kind() {
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => GONE.into(),
        _ => plain(&error.to_string()),
    }
}

/// Why the broker's certificate was refused last; shared by who checks it and who tells.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusal(Arc<Mutex<Option<String>>>);

impl Refusal {
    pub(super) fn note(&self, error: &rustls::Error) {
        if let rustls::Error::InvalidCertificate(error) = error {
            *lock(&self.0) = Some(certificate(error));
        }
    }

    /// The reason, once.
    pub(super) fn take(&self) -> Option<String> {
        lock(&self.0).take()
    }
}

fn certificate(error: &CertificateError) -> String {
    let problem = match error {
        CertificateError::ExpiredContext { not_after, .. } => format!(
            "it expired on {}; renew it, or set the clock of this machine right",
            date(*not_after)
        ),
        CertificateError::Expired => {
            "it has expired; renew it, or set the clock of this machine right".into()
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("it is valid from {} on; set the clock of this machine right", date(*not_before))
        }
        CertificateError::NotValidYet => {
            "it is not valid yet; set the clock of this machine right".into()
        }
        CertificateError::NotValidForNameContext { expected, presented } => format!(
            "it is not for '{}' but for {}; give the broker's address as its certificate has it",
            expected.to_str(),
            if presented.is_empty() { "no name".into() } else { presented.join(", ") }
        ),
        CertificateError::NotValidForName => {
            "it is for another name; give the broker's address as its certificate has it".into()
        }
        CertificateError::UnknownIssuer => {
            "its authority is not trusted; name that authority in ssl_CA_certificate".into()
        }
        CertificateError::BadSignature => {
            "its authority has not signed it, although it has the name of one that is trusted; name the right one in ssl_CA_certificate"
                .into()
        }
        CertificateError::Revoked => "it was revoked".into(),
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "it is that of an authority; make one for the broker (basicConstraints=CA:FALSE)".into()
        }
        other => other.to_string(),
    };
    format!("TLS: invalid peer certificate: {problem}")
}

/// A time that does not run.
fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let text = glib::DateTime::from_unix_utc(seconds).and_then(|time| time.format("%Y-%m-%d %H:%M UTC"));
    text.map_or_else(|_| format!("second {seconds} since 1970"), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::ServerName;
    use std::time::Duration;

    #[test]
    fn a_reason_has_the_same_words_whenever_it_is_given() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let expired = |now| CertificateError::ExpiredContext { time: at(now), not_after: at(1_700_000_000) };
        let text = certificate(&expired(1_800_000_000));
        assert!(text.contains("expired on 2023-11-14 22:13 UTC; renew it"), "{text}");
        assert_eq!(text, certificate(&expired(1_800_000_001)));
        let early = CertificateError::NotValidYetContext { time: at(0), not_before: at(1_700_000_000) };
        assert!(certificate(&early).contains("valid from 2023-11-14 22:13 UTC on"));
        let name = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("broker.plant").unwrap(),
            presented: vec!["a".into(), "b".into()],
        };
        assert!(certificate(&name).contains("not for 'broker.plant' but for a, b;"));
        let refusal = Refusal::default();
        refusal.note(&rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer));
        assert!(refusal.clone().take().is_some_and(|text| text.contains("ssl_CA_certificate")));
        assert_eq!(refusal.take(), None);
    }

    #[test]
    fn what_libraries_say_is_put_into_words() {
        for text in
            ["tls handshake eof", "Cannot read data: early eof", "Connection reset by peer (os error 104)"]
        {
            assert_eq!(plain(text), GONE);
        }
        assert!(plain("received fatal alert: CertificateRequired").contains("set ssl_client_certificate"));
        assert_eq!(plain("Connection refused (os error 111)"), "Connection refused (os error 111)");
        assert_eq!(io(&std::io::ErrorKind::BrokenPipe.into()), GONE);
    }
}
