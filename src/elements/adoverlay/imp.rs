//! The element: pads, negotiation, properties. The drawing is in `draw`.

use super::super::crop;
use super::super::missing::Missing;
use super::draw::{Drawing, Painter, Settings};
use super::negotiation::{self, Mode};
use super::qos::Qos;
use super::{Colormap, Range, Show};
use crate::meta::AnomalyMeta;
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_video::{VideoFrameRef, VideoInfo, VideoOverlayComposition, VideoOverlayCompositionMeta};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("adoverlay", gst::DebugColorFlags::empty(), Some("Anomaly overlay"))
});

/// What the stream has settled on, and the painter with its surfaces. Used by the streaming thread alone.
#[derive(Default)]
struct State {
    /// The caps that came in, with what they say.
    input: Option<(gst::Caps, VideoInfo)>,
    mode: Mode,
    painter: Painter,
    /// Set where a frame was left out.
    discont: bool,
    missing: Missing,
}

/// Implementation of the element.
pub struct AdOverlay {
    sinkpad: gst::Pad,
    srcpad: gst::Pad,
    settings: Mutex<Settings>,
    state: Mutex<State>,
    qos: Mutex<Qos>,
}

/// A panic while drawing leaves nothing half done that matters.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[glib::object_subclass]
impl ObjectSubclass for AdOverlay {
    const NAME: &'static str = "GstAdOverlay";
    type Type = super::AdOverlay;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let sinkpad = gst::Pad::builder_from_template(&class.pad_template("sink").expect("template"))
            .chain_function(|pad, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |this| this.chain(pad, buffer),
                )
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink_event(pad, event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.query(pad, query))
            })
            .flags(gst::PadFlags::PROXY_ALLOCATION)
            .build();
        let srcpad = gst::Pad::builder_from_template(&class.pad_template("src").expect("template"))
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.src_event(pad, event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.query(pad, query))
            })
            .build();
        Self { sinkpad, srcpad, settings: Mutex::default(), state: Mutex::default(), qos: Mutex::default() }
    }
}

impl ObjectImpl for AdOverlay {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let default = Settings::default();
            vec![
                glib::ParamSpecDouble::builder("opacity")
                    .nick("Opacity")
                    .blurb("Opacity of the heat map where the picture is anomalous")
                    .minimum(0.0)
                    .maximum(1.0)
                    .default_value(default.opacity)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("colormap", default.colormap)
                    .nick("Colour map")
                    .blurb("Colours of the heat map")
                    .mutable_playing()
                    .build(),
                glib::ParamSpecFlags::builder::<Show>("show")
                    .nick("Show")
                    .blurb("What is drawn")
                    .default_value(default.show)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecBoolean::builder("only-anomalous")
                    .nick("Only anomalous")
                    .blurb("Draw on anomalous frames alone, leave good ones as they are")
                    .default_value(default.only_anomalous)
                    .mutable_playing()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("range", default.range)
                    .nick("Range")
                    .blurb("What the ends of the colour map stand for")
                    .mutable_playing()
                    .build(),
            ]
        });
        PROPERTIES.as_ref()
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = lock(&self.settings);
        let checked = "the type was checked by GObject";
        match pspec.name() {
            "opacity" => settings.opacity = value.get().expect(checked),
            "colormap" => settings.colormap = value.get::<Colormap>().expect(checked),
            "show" => settings.show = value.get::<Show>().expect(checked),
            "only-anomalous" => settings.only_anomalous = value.get().expect(checked),
            "range" => settings.range = value.get::<Range>().expect(checked),
            _ => unimplemented!(),
        }
        gst::debug!(CAT, imp = self, "settings are now {:?}", *settings);
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = lock(&self.settings);
        match pspec.name() {
            "opacity" => settings.opacity.to_value(),
            "colormap" => settings.colormap.to_value(),
            "show" => settings.show.to_value(),
            "only-anomalous" => settings.only_anomalous.to_value(),
            "range" => settings.range.to_value(),
            _ => unimplemented!(),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        for pad in [&self.sinkpad, &self.srcpad] {
            element.add_pad(pad).expect("a new element has no pads yet");
        }
    }
}

impl GstObjectImpl for AdOverlay {}

impl ElementImpl for AdOverlay {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Anomaly overlay",
                "Filter/Effect/Video",
                "Draws heat map, outlines, regions and verdict of the anomaly detection onto the picture",
                "gst-plugin-anomaly developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = negotiation::template();
            [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)]
                .into_iter()
                .filter_map(|(name, side)| {
                    gst::PadTemplate::new(name, side, gst::PadPresence::Always, &caps).ok()
                })
                .collect()
        });
        TEMPLATES.as_ref()
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        let success = self.parent_change_state(transition)?;
        if transition == gst::StateChange::PausedToReady {
            *lock(&self.state) = State::default();
            lock(&self.qos).reset();
        }
        Ok(success)
    }
}

impl AdOverlay {
    fn chain(&self, _pad: &gst::Pad, mut buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let mut state = lock(&self.state);
        if self.srcpad.check_reconfigure() {
            self.renegotiate(&mut state)?;
        }
        if let Some(late) = lock(&self.qos).check(&buffer) {
            gst::debug!(CAT, imp = self, "leaving out a late frame: {late:?}");
            let _ = self.obj().post_message(late.message(&*self.obj(), &buffer));
            state.discont = true;
            return Ok(gst::FlowSuccess::Ok);
        }
        if std::mem::take(&mut state.discont) {
            buffer.make_mut().set_flags(gst::BufferFlags::DISCONT);
        }
        match AnomalyMeta::get(&buffer) {
            Some(meta) => {
                state.missing.check_places(&*self.obj(), &buffer);
                self.draw(&mut state, meta, &mut buffer)?;
            }
            None => state.missing.result(&*self.obj(), &buffer, "drawn: adoverlay"),
        }
        drop(state);
        self.srcpad.push(buffer)
    }

    fn draw(
        &self,
        state: &mut State,
        meta: AnomalyMeta,
        buffer: &mut gst::Buffer,
    ) -> Result<(), gst::FlowError> {
        let settings = *lock(&self.settings);
        let Some((_, info)) = &state.input else {
            gst::element_imp_error!(self, gst::CoreError::Negotiation, ("a frame came before its caps"));
            return Err(gst::FlowError::NotNegotiated);
        };
        let drawing = state.painter.draw(meta, settings, (info.width(), info.height()));
        let Drawing { composition, refused } = drawing.unwrap_or_else(|error| {
            gst::warning!(CAT, imp = self, "this frame stays without an overlay: {error}");
            Drawing::default()
        });
        if let Some(reason) = refused {
            gst::warning!(CAT, imp = self, "the map of the metadata cannot be drawn: {reason}");
        }
        let Some(composition) = composition else { return Ok(()) };
        match state.mode {
            Mode::Attach => attach(buffer.make_mut(), composition),
            Mode::Blend => {
                *buffer = crop::cut_out(buffer.clone(), info).map_err(|e| {
                    gst::element_imp_error!(self, gst::StreamError::Format, ("{e}"));
                    gst::FlowError::Error
                })?;
                self.blend(buffer.make_mut(), info, &composition)?;
            }
        }
        Ok(())
    }

    fn blend(
        &self,
        buffer: &mut gst::BufferRef,
        info: &VideoInfo,
        composition: &VideoOverlayComposition,
    ) -> Result<(), gst::FlowError> {
        let Ok(mut frame) = VideoFrameRef::from_buffer_ref_writable(buffer, info) else {
            let (size, needed) = (buffer.size(), info.size());
            gst::element_imp_error!(
                self,
                gst::StreamError::Format,
                ("cannot map a frame for writing: {size} bytes, its caps need {needed}")
            );
            return Err(gst::FlowError::Error);
        };
        if composition.blend(&mut frame).is_err() {
            gst::warning!(CAT, imp = self, "cannot draw on {}", info.format());
        }
        Ok(())
    }

    fn set_caps(&self, caps: gst::Caps) -> bool {
        let info = match VideoInfo::from_caps(&caps) {
            Ok(info) => info,
            Err(error) => {
                gst::error!(CAT, imp = self, "{caps} are no video: {error}");
                return false;
            }
        };
        let mut state = lock(&self.state);
        state.input = Some((caps, info));
        // Asked for by a link made meanwhile, done with this.
        let _ = self.srcpad.check_reconfigure();
        self.renegotiate(&mut state).is_ok()
    }

    fn renegotiate(&self, state: &mut State) -> Result<(), gst::FlowError> {
        let Some((caps, _)) = &state.input else { return Ok(()) };
        match negotiation::negotiate(&self.srcpad, caps) {
            Some(mode) => {
                gst::debug!(CAT, imp = self, "{mode:?} with {caps}");
                state.mode = mode;
                Ok(())
            }
            None => {
                self.srcpad.mark_reconfigure();
                let flushing = self.srcpad.pad_flags().contains(gst::PadFlags::FLUSHING);
                gst::debug!(CAT, imp = self, "downstream refuses {caps}, flushing: {flushing}");
                Err(if flushing { gst::FlowError::Flushing } else { gst::FlowError::NotNegotiated })
            }
        }
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Caps(caps) => return self.set_caps(caps.caps_owned()),
            gst::EventView::Segment(segment) => lock(&self.qos).set_segment(segment.segment()),
            gst::EventView::FlushStop(_) => lock(&self.qos).reset(),
            _ => (),
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    fn src_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        if let gst::EventView::Qos(qos) = event.view() {
            lock(&self.qos).update(qos);
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    fn query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        if query.type_() == gst::QueryType::Allocation && *pad == self.sinkpad {
            let answered = gst::Pad::query_default(pad, Some(&*self.obj()), query);
            if let gst::QueryViewMut::Allocation(allocation) = query.view_mut() {
                crop::refuse(allocation);
            }
            return answered;
        }
        let gst::QueryViewMut::Caps(caps) = query.view_mut() else {
            return gst::Pad::query_default(pad, Some(&*self.obj()), query);
        };
        let template = pad.pad_template_caps();
        let found = if *pad == self.sinkpad {
            negotiation::upstream_of(&self.srcpad.peer_query_caps(None))
        } else {
            negotiation::downstream_of(&self.sinkpad.peer_query_caps(None))
        };
        let found = found.intersect_with_mode(&template, gst::CapsIntersectMode::First);
        let result = match caps.filter() {
            Some(filter) => filter.intersect_with_mode(&found, gst::CapsIntersectMode::First),
            None => found,
        };
        caps.set_result(&result);
        true
    }
}

/// Adds a composition to a frame, on top of what may be there from an overlay upstream.
fn attach(buffer: &mut gst::BufferRef, composition: VideoOverlayComposition) {
    let Some(mut meta) = buffer.meta_mut::<VideoOverlayCompositionMeta>() else {
        VideoOverlayCompositionMeta::add(buffer, &composition);
        return;
    };
    let joined: VideoOverlayComposition = meta.overlay().iter().chain(composition.iter()).collect();
    meta.set_overlay(&joined);
}
