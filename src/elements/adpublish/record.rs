//! What a message says; `docs/publish.schema.json` describes it.

use super::super::Cut;
use super::events::{Event, State};
use super::queue::Message;
use crate::meta::RegionInfo;
use crate::methods::Level;
use serde::Serialize;

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A message before it is JSON. Times but `time` are nanoseconds; sizes and places are pixels of the frame.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Record {
    /// Wall-clock time at which the frame came, ISO 8601 in UTC.
    pub(super) time: String,
    pub(super) camera: Option<String>,
    /// The stream that the frame came from.
    pub(super) source: String,
    /// Number of the frame since the start.
    pub(super) frame: u64,
    pub(super) running_time: Option<u64>,
    pub(super) stream_time: Option<u64>,
    pub(super) pts: Option<u64>,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) state: State,
    /// With the state `end`, what has cut the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<Cut>,
    pub(super) anomalous: bool,
    pub(super) level: Level,
    pub(super) fresh: bool,
    /// Frames before this one that came too late and were left out.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) skipped: u64,
    pub(super) score: f64,
    pub(super) normalized: f64,
    pub(super) threshold: f64,
    pub(super) warn: Option<f64>,
    pub(super) model: String,
    pub(super) method: String,
    pub(super) regions: Vec<RegionInfo>,
    pub(super) event: Option<Event>,
}

impl Record {
    /// The message, made at `time` (microseconds since 1970).
    pub(super) fn message(&self, time: i64) -> serde_json::Result<Message> {
        Ok(Message { json: serde_json::to_vec(self)?, time })
    }
}

/// A time in microseconds since 1970 as ISO 8601 in UTC.
pub(super) fn iso_time(microseconds: i64) -> Result<String, glib::BoolError> {
    let whole = glib::DateTime::from_unix_utc(microseconds.div_euclid(1_000_000))?;
    let fraction = microseconds.rem_euclid(1_000_000);
    Ok(format!("{}.{fraction:06}Z", whole.format("%Y-%m-%dT%H:%M:%S")?))
}

#[cfg(test)]
mod tests {
    use super::iso_time;

    #[test]
    fn times_are_in_utc_with_microseconds() {
        assert_eq!(iso_time(1_700_000_000_123_456).unwrap(), "2023-11-14T22:13:20.123456Z");
        assert_eq!(iso_time(0).unwrap(), "1970-01-01T00:00:00.000000Z");
    }
}
