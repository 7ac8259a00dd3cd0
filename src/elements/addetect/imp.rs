use super::super::{adfeatures, adretrieve, adscore, raw_video_pads};
use gst::prelude::*;
use gst::subclass::prelude::*;
use std::sync::LazyLock;

/// Frames that may wait between two of the elements: enough for them to overlap, too few to add latency.
const WAITING: u32 = 2;

/// The bin's children, made with it.
pub struct AdDetect {
    features: adfeatures::AdFeatures,
    retrieve: adretrieve::AdRetrieve,
    score: adscore::AdScore,
    sink: gst::GhostPad,
    src: gst::GhostPad,
}

#[glib::object_subclass]
impl ObjectSubclass for AdDetect {
    const NAME: &'static str = "GstAdDetect";
    type Type = super::AdDetect;
    type ParentType = gst::Bin;

    fn with_class(class: &Self::Class) -> Self {
        let pad = |name: &str| {
            let template = class.pad_template(name).expect("both templates are declared below");
            gst::GhostPad::builder_from_template(&template).name(name).build()
        };
        Self {
            features: glib::Object::builder().property("name", "features").build(),
            retrieve: glib::Object::builder().property("name", "retrieve").build(),
            score: glib::Object::builder().property("name", "score").build(),
            sink: pad("sink"),
            src: pad("src"),
        }
    }
}

impl AdDetect {
    /// The child that a property belongs to.
    fn owner(&self, property: &str) -> &gst::Element {
        let children: [&gst::Element; 3] =
            [self.features.upcast_ref(), self.retrieve.upcast_ref(), self.score.upcast_ref()];
        children
            .into_iter()
            .find(|child| child.find_property(property).is_some())
            .expect("every property of the bin is a child's")
    }

    fn assemble(&self) -> Result<(), glib::BoolError> {
        let queue = || {
            gst::ElementFactory::make("queue")
                .property("max-size-buffers", WAITING)
                .property("max-size-bytes", 0u32)
                .property("max-size-time", 0u64)
                .build()
        };
        let (first, second) = (queue()?, queue()?);
        let chain: [&gst::Element; 5] = [
            self.features.upcast_ref(),
            &first,
            self.retrieve.upcast_ref(),
            &second,
            self.score.upcast_ref(),
        ];
        let bin = self.obj();
        bin.add_many(chain)?;
        gst::Element::link_many(chain)?;
        let pad = |element: &gst::Element, name: &str| {
            element
                .static_pad(name)
                .ok_or_else(|| glib::bool_error!("{} has no pad '{name}'", element.name()))
        };
        self.sink.set_target(Some(&pad(self.features.upcast_ref(), "sink")?))?;
        self.src.set_target(Some(&pad(self.score.upcast_ref(), "src")?))?;
        bin.add_pad(&self.sink)?;
        bin.add_pad(&self.src)
    }
}

impl ObjectImpl for AdDetect {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let mut properties = adfeatures::properties();
            properties.push(adretrieve::neighbours_property());
            properties.extend(adscore::properties());
            properties
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        self.owner(pspec.name()).set_property_from_value(pspec.name(), value);
        if pspec.name() == "device" {
            self.retrieve.set_property_from_value("device", value);
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        self.owner(pspec.name()).property_value(pspec.name())
    }

    fn constructed(&self) {
        self.parent_constructed();
        if let Err(e) = self.assemble() {
            gst::element_imp_error!(
                self,
                gst::CoreError::MissingPlugin,
                ("addetect cannot be put together: {e}")
            );
        }
    }
}

impl GstObjectImpl for AdDetect {}

impl ElementImpl for AdDetect {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Anomaly detection",
                "Filter/Analyzer/Video",
                "adfeatures, adretrieve and adscore in one bin: finds defects, learned from good parts alone",
                super::super::AUTHORS,
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(raw_video_pads);
        &TEMPLATES
    }
}

impl BinImpl for AdDetect {}
