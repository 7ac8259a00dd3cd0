//! Pictures as a page holds them.

use std::fmt;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use image::ImageFormat;

use super::ReportError;

/// A picture as a data URL.
pub(super) struct Picture<'a> {
    mime: &'static str,
    bytes: &'a [u8],
}

impl<'a> Picture<'a> {
    /// The picture of `image` in a file's `bytes`; none if there are none.
    pub fn new(bytes: &'a [u8], image: &str) -> Result<Option<Self>, ReportError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        match image::guess_format(bytes) {
            Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP)) => {
                Ok(Some(Self { mime: format.to_mime_type(), bytes }))
            }
            _ => Err(ReportError::Picture { image: image.to_owned() }),
        }
    }
}

impl fmt::Display for Picture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "data:{};base64,{}", self.mime, Base64Display::new(self.bytes, &STANDARD))
    }
}
