//! Private metadata: features and retrievals on their way from one element to the next.
//!
//! They are handles on shared data, so that a copy of a buffer costs nothing.

use crate::methods::Retrieval;
use crate::network::Features;
use gst::meta::CustomMeta;
use std::sync::Arc;

/// The field of the metadata's structure that holds the handle.
const FIELD: &str = "handle";

/// A handle with the information whether it was computed on this very frame.
#[derive(Debug)]
pub struct Carried<T> {
    /// The shared result.
    pub result: Arc<T>,
    /// False where `interval` made a frame carry an earlier result.
    pub fresh: bool,
    /// Frames that were left out since the one before.
    pub skipped: u64,
}

macro_rules! carried_meta {
    ($(#[$doc:meta])* $name:ident, $boxed:ident, $gtype:literal, $result:ty) => {
        #[derive(Clone, Debug, glib::Boxed)]
        #[boxed_type(name = $gtype)]
        struct $boxed(Arc<Carried<$result>>);

        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl $name {
            const NAME: &'static str = concat!($gtype, "Meta");

            pub(super) fn register() {
                if !CustomMeta::is_registered(Self::NAME) {
                    CustomMeta::register_simple(Self::NAME);
                }
            }

            /// Puts a result on a buffer, in the place of one that may be there.
            ///
            /// # Errors
            /// If GStreamer refuses the metadata.
            pub fn attach(
                buffer: &mut gst::BufferRef,
                result: Arc<$result>,
                fresh: bool,
                skipped: u64,
            ) -> Result<(), glib::BoolError> {
                Self::remove(buffer);
                let mut meta = CustomMeta::add(buffer, Self::NAME)?;
                meta.mut_structure().set(FIELD, $boxed(Arc::new(Carried { result, fresh, skipped })));
                Ok(())
            }

            /// The result on a buffer.
            pub fn get(buffer: &gst::BufferRef) -> Option<Arc<Carried<$result>>> {
                let meta = CustomMeta::from_buffer(buffer, Self::NAME).ok()?;
                meta.structure().get::<$boxed>(FIELD).ok().map(|boxed| boxed.0)
            }

            /// Takes the result off, once nobody downstream needs it.
            pub fn remove(buffer: &mut gst::BufferRef) {
                if let Ok(meta) = CustomMeta::from_mut_buffer(buffer, Self::NAME) {
                    // Metadata of this kind is never locked, the only reason for a refusal.
                    let _ = meta.remove();
                }
            }
        }
    };
}

carried_meta!(
    /// Features on a buffer, from adfeatures to adretrieve.
    FeaturesMeta, BoxedFeatures, "GstAnomalyFeatures", Features
);
carried_meta!(
    /// A retrieval on a buffer, from adretrieve to adscore.
    RetrievalMeta, BoxedRetrieval, "GstAnomalyRetrieval", Retrieval
);
