//! Caps with and without the overlay composition, as GStreamer's own overlays negotiate them.

use gst::prelude::*;
use gst::{Caps, CapsFeaturesRef};
use gst_video::CAPS_FEATURE_META_GST_VIDEO_OVERLAY_COMPOSITION as COMPOSITION;
use gst_video::VideoOverlayCompositionMeta;

/// Whether compositions are attached or blended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// Downstream draws the composition.
    Attach,
    /// It is blended into the frame here.
    #[default]
    Blend,
}

/// Every raw video: what is not in main memory passes with an attached composition only.
pub(super) fn template() -> Caps {
    let mut caps = gst_video::VideoCapsBuilder::new().build();
    caps.merge(gst_video::VideoCapsBuilder::new().any_features().build());
    caps
}

/// Whether frames of these caps can be mapped and blended here.
pub(super) fn can_blend(caps: &gst::CapsRef) -> bool {
    caps.features(0).is_none_or(in_main_memory)
}

fn in_main_memory(features: &CapsFeaturesRef) -> bool {
    let memory = gst::CAPS_FEATURE_MEMORY_SYSTEM_MEMORY;
    let others = |feature: &glib::GStr| feature.starts_with("memory:") && feature != memory.as_str();
    !features.is_any() && !features.iter().any(others)
}

/// Whether the caps carry the composition already.
pub(super) fn has_composition(caps: &gst::CapsRef) -> bool {
    caps.features(0).is_some_and(|features| features.contains(COMPOSITION))
}

/// The same caps with the composition.
pub(super) fn with_composition(caps: &gst::CapsRef) -> Caps {
    caps.iter_with_features()
        .map(|(structure, features)| {
            let mut features = features.to_owned();
            if !features.is_any() {
                features.add(COMPOSITION);
            }
            (structure.to_owned(), features)
        })
        .collect()
}

/// What can come in, given what downstream takes: with the composition and, as it can be added here, without.
pub(super) fn upstream_of(downstream: &gst::CapsRef) -> Caps {
    if downstream.is_any() {
        return template();
    }
    let mut caps = Caps::new_empty();
    let writable = caps.make_mut();
    for (structure, features) in downstream.iter_with_features() {
        if features.contains(COMPOSITION) {
            writable.append_structure_full(structure.to_owned(), Some(features.to_owned()));
            let mut plain = features.to_owned();
            plain.remove(COMPOSITION);
            writable.append_structure_full(structure.to_owned(), Some(plain));
        } else if features.is_any() || in_main_memory(features) {
            writable.append_structure_full(structure.to_owned(), Some(features.to_owned()));
        }
    }
    caps
}

/// What can go out, given what upstream has.
pub(super) fn downstream_of(upstream: &gst::CapsRef) -> Caps {
    if upstream.is_any() {
        return template();
    }
    let mut caps = with_composition(upstream);
    caps.merge(upstream.to_owned());
    caps
}

/// Sets the caps of the source pad and finds out who draws. `None` if downstream refuses the caps.
pub(super) fn negotiate(source: &gst::Pad, caps: &Caps) -> Option<Mode> {
    let given = has_composition(caps);
    let extended = with_composition(caps);
    let chosen = if given || !source.peer_query_accept_caps(&extended) { caps } else { &extended };
    if !source.push_event(gst::event::Caps::new(chosen)) {
        return None;
    }
    let mut query = gst::query::Allocation::new(Some(chosen), false);
    let answered = source.peer_query(&mut query);
    if answered
        && has_composition(chosen)
        && query.find_allocation_meta::<VideoOverlayCompositionMeta>().is_some()
    {
        return Some(Mode::Attach);
    }
    // Some elements take any caps, but say nothing of the composition when asked: back to the plain caps.
    if chosen != caps && !source.push_event(gst::event::Caps::new(caps)) {
        return None;
    }
    can_blend(caps).then_some(Mode::Blend)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(text: &str) -> Caps {
        gst::init().unwrap();
        text.parse().unwrap()
    }

    #[test]
    fn composition_is_optional_upstream_where_downstream_takes_it() {
        let downstream = caps(
            "video/x-raw(memory:GLMemory, meta:GstVideoOverlayComposition), width=7; \
             video/x-raw(memory:DMABuf), width=8; video/x-raw, width=9",
        );
        let upstream = upstream_of(&downstream);
        for (expected, accepted) in [
            ("video/x-raw(memory:GLMemory, meta:GstVideoOverlayComposition), width=7", true),
            ("video/x-raw(memory:GLMemory), width=7", true),
            ("video/x-raw(memory:DMABuf), width=8", false),
            ("video/x-raw, width=9", true),
        ] {
            assert_eq!(caps(expected).can_intersect(&upstream), accepted, "{expected}");
        }
    }

    #[test]
    fn only_main_memory_is_blended() {
        assert!(can_blend(&caps("video/x-raw, format=NV12")));
        assert!(can_blend(&caps("video/x-raw(meta:GstVideoOverlayComposition), format=NV12")));
        assert!(!can_blend(&caps("video/x-raw(memory:GLMemory), format=RGBA")));
    }

    #[test]
    fn outgoing_caps_have_both_forms() {
        let outgoing = downstream_of(&caps("video/x-raw, format=RGB"));
        assert_eq!(outgoing.size(), 2);
        assert!(has_composition(&outgoing));
        assert!(!downstream_of(&Caps::new_any()).is_empty());
    }
}
