//! The bus message `anomaly`.

use super::super::Cut;
use crate::meta::RegionInfo;
use crate::methods::Level;

/// Which messages are posted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstAnomalyMessages")]
#[repr(i32)]
pub enum Messages {
    /// None.
    #[enum_value(name = "No messages", nick = "none")]
    None,
    /// When an anomaly begins and when it ends.
    #[default]
    #[enum_value(name = "When an anomaly begins and ends", nick = "transitions")]
    Transitions,
    /// For every inspected frame.
    #[enum_value(name = "For every inspected frame", nick = "all")]
    All,
    /// As with `Transitions`, and when the level changes between normal and warn.
    #[enum_value(
        name = "When an anomaly begins and ends, and when the level changes between normal and warn",
        nick = "levels"
    )]
    Levels,
}

/// What a message tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// An anomaly begins.
    Enter,
    /// It ends.
    Leave,
    /// The decision is as before.
    Update,
    /// The decision is as before, and the level has changed between normal and warn.
    Level,
    /// The stream was cut while an anomaly was on; the message repeats its last frame.
    End,
}

impl Transition {
    /// The value of the field `state`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enter => "enter",
            Self::Leave => "leave",
            Self::Update => "update",
            Self::Level => "level",
            Self::End => "end",
        }
    }
}

/// The content of a message.
#[derive(Clone, Debug)]
pub struct AnomalyMessage {
    /// Running time of the frame.
    pub running_time: Option<gst::ClockTime>,
    /// Stream time of the frame.
    pub stream_time: Option<gst::ClockTime>,
    /// Time stamp of the frame.
    pub pts: Option<gst::ClockTime>,
    /// Image score, raw.
    pub score: f64,
    /// Image score, 0 to 1.
    pub normalized: f64,
    /// The threshold that decided, raw.
    pub threshold: f64,
    /// The warn level in use, raw; none where there is none.
    pub warn: Option<f64>,
    /// The decision.
    pub anomalous: bool,
    /// What has changed.
    pub state: Transition,
    /// With [`Transition::End`], what has cut the stream.
    pub reason: Option<Cut>,
    /// The anomalous regions, worst first.
    pub regions: Vec<RegionInfo>,
    /// The stream that the frame came from.
    pub source: String,
}

/// Name of the message's structure.
const NAME: &str = "anomaly";

impl AnomalyMessage {
    /// What the frame comes to.
    pub fn level(&self) -> Level {
        Level::of(self.anomalous, self.score, self.warn)
    }

    /// As the structure of an element message.
    pub fn to_structure(&self) -> gst::Structure {
        gst::Structure::builder(NAME)
            .field("running-time", self.running_time)
            .field("stream-time", self.stream_time)
            .field("pts", self.pts)
            .field("score", self.score)
            .field("normalized", self.normalized)
            .field("threshold", self.threshold)
            .field_if_some("warn", self.warn)
            .field("anomalous", self.anomalous)
            .field("level", self.level().name())
            .field("state", self.state.name())
            .field_if_some("reason", self.reason.map(Cut::name))
            .field("regions", crate::meta::region_list(&self.regions))
            .field("source", &self.source)
            .build()
    }

    /// Reads a message's structure; `None` if it is another message.
    pub fn from_structure(structure: &gst::StructureRef) -> Option<Self> {
        if structure.name() != NAME {
            return None;
        }
        let state = crate::meta::text(structure, "state")?;
        Some(Self {
            running_time: structure.get("running-time").ok()?,
            stream_time: structure.get("stream-time").ok()?,
            pts: structure.get("pts").ok()?,
            score: structure.get("score").ok()?,
            normalized: structure.get("normalized").ok()?,
            threshold: structure.get("threshold").ok()?,
            warn: structure.get("warn").ok(),
            anomalous: structure.get("anomalous").ok()?,
            state: [
                Transition::Enter,
                Transition::Leave,
                Transition::Update,
                Transition::Level,
                Transition::End,
            ]
            .into_iter()
            .find(|s| s.name() == state)?,
            reason: match crate::meta::text(structure, "reason") {
                None => None,
                Some(reason) => Some(
                    [Cut::EndOfStream, Cut::Seek, Cut::NewStream, Cut::Interrupted, Cut::Stop]
                        .into_iter()
                        .find(|cut| cut.name() == reason)?,
                ),
            },
            regions: crate::meta::regions_of(structure)?,
            source: crate::meta::text(structure, "source")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_the_structure() {
        gst::init().unwrap();
        let mut message = AnomalyMessage {
            running_time: Some(gst::ClockTime::from_mseconds(40)),
            stream_time: None,
            pts: Some(gst::ClockTime::from_mseconds(41)),
            score: 12.5,
            normalized: 0.75,
            threshold: 10.0,
            warn: None,
            anomalous: true,
            state: Transition::Enter,
            reason: None,
            regions: vec![RegionInfo { x: 1, y: 2, width: 3, height: 4, score: 0.9, area: 11.0 }],
            source: "camera".into(),
        };
        for (warn, anomalous, state, level, reason) in [
            (None, true, Transition::Enter, "reject", None),
            (None, false, Transition::Leave, "normal", None),
            (Some(9.0), false, Transition::Level, "warn", None),
            (Some(9.0), true, Transition::Update, "reject", None),
            (Some(9.0), true, Transition::End, "reject", Some(Cut::NewStream)),
            (Some(9.0), true, Transition::End, "reject", Some(Cut::Interrupted)),
            (None, true, Transition::End, "reject", Some(Cut::EndOfStream)),
        ] {
            message = AnomalyMessage { warn, anomalous, state, reason, ..message };
            let structure = message.to_structure();
            assert_eq!(structure.get::<&str>("level").unwrap(), level);
            let read = AnomalyMessage::from_structure(&structure).unwrap();
            assert_eq!(format!("{message:?}"), format!("{read:?}"));
        }
        assert!(AnomalyMessage::from_structure(&gst::Structure::new_empty("other")).is_none());
    }
}
