//! Another model, or another part of the frame, takes over between two frames.

use super::super::lock;
use super::imp::{AdFeatures, CAT};
use super::model::{Model, Settings, Stream};
use crate::frame::{Rect, Roi};
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;

impl AdFeatures {
    /// Loads the model of `settings` in a thread of its own; the streaming thread takes it over between two frames.
    pub(super) fn load_beside(&self, settings: Settings) {
        let request = {
            let mut pending = lock(&self.pending);
            pending.request += 1;
            // Loaded for an earlier request: only the newest counts.
            pending.loaded = None;
            pending.request
        };
        let element = self.obj().downgrade();
        std::thread::spawn(move || {
            let loaded = Model::load(&settings);
            let Some(element) = element.upgrade() else { return };
            let this = element.imp();
            let mut pending = lock(&this.pending);
            if pending.request != request {
                return;
            }
            match loaded {
                Ok(model) => pending.loaded = Some(model),
                Err(e) => {
                    let running = pending.running.clone();
                    drop(pending);
                    this.keep_model(&settings.model, running);
                    gst::element_imp_warning!(
                        this,
                        gst::ResourceError::OpenRead,
                        ("the old model stays: {e}")
                    );
                }
            }
        });
    }

    /// Has the property name the model that runs again, after `refused` could not be used.
    fn keep_model(&self, refused: &Option<PathBuf>, running: Option<PathBuf>) {
        let mut settings = lock(&self.settings);
        // Unless somebody has set a third one in the meantime.
        if settings.model == *refused {
            settings.model = running;
        }
    }

    /// Swaps in a model that was loaded beside the running one, or a new part of the frame.
    pub(super) fn take_over(
        &self,
        stream: &mut Stream,
        roi: Option<Roi>,
        crop: Option<Rect>,
    ) -> Result<(), gst::FlowError> {
        let loaded = lock(&self.pending).loaded.take();
        if loaded.is_none() && (roi, crop) == (stream.roi, stream.crop) {
            return Ok(());
        }
        let old = (stream.model.clone(), stream.roi);
        let another = loaded.is_some();
        if let Some(model) = loaded {
            if Arc::ptr_eq(&model.bundle, &stream.model.bundle) && (roi, crop) == (stream.roi, stream.crop) {
                // Nothing has changed but perhaps the way to the folder.
                (stream.model.setting, stream.model.version) = (model.setting, model.version);
                lock(&self.pending).runs(&stream.model);
                return Ok(());
            }
            gst::info!(CAT, imp = self, "{} takes over", model.bundle.path().display());
            stream.model = model;
            self.latency.reset();
        }
        if let Err(e) = stream.prepare(roi, crop) {
            let refused = std::mem::replace(&mut stream.model, old.0);
            self.keep_model(&refused.setting, stream.model.setting.clone());
            lock(&self.settings).roi = old.1;
            // What the metadata shows is no wish that could be left aside.
            if crop != stream.crop {
                stream.prepare(old.1, crop).map_err(|_| self.fail(&e))?;
            }
            gst::element_imp_warning!(
                self,
                gst::ResourceError::Settings,
                ("everything stays as it was: {e}")
            );
        } else if another {
            let object = self.obj();
            let message = gst::message::Element::builder(stream.model.message()).src(&*object).build();
            // Without a bus nobody listens.
            let _ = object.post_message(message);
        }
        lock(&self.pending).runs(&stream.model);
        Ok(())
    }
}
