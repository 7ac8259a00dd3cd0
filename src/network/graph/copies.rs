//! Operations on whole maps, and copies of the network that see the image shifted.

use super::{GraphBuilder, int, invalid, text};
use crate::error::Result;
use std::collections::HashMap;

impl GraphBuilder {
    /// `[1, channels, H, W]` brought to `[1, channels, height, width]`, bilinear with half-pixel centres.
    pub fn resize(&mut self, value: &str, channels: usize, (height, width): (usize, usize)) -> String {
        let sizes = self.integers(&[1, channels as i64, height as i64, width as i64]);
        let attributes = vec![text("mode", "linear"), text("coordinate_transformation_mode", "half_pixel")];
        self.node("Resize", &[value, "", "", &sizes], attributes)
    }

    /// The channels `indices` of `[1, C, H, W]`.
    pub fn gather_channels(&mut self, value: &str, indices: &[i64]) -> String {
        let indices = self.integers(indices);
        self.node("Gather", &[value, &indices], vec![int("axis", 1)])
    }

    /// Copies of the network for the image moved right and down by 1 .. `most` pixels, its edges repeated. Returns what the names of their
    /// values begin with, the network's own (nothing) first. All use the same weights.
    ///
    /// # Errors
    /// If the network has branches or loops, which cannot be copied.
    pub fn shifted_copies(&mut self, most: usize) -> Result<Vec<String>> {
        let nodes = self.graph().node.clone();
        if most > 0
            && nodes.iter().flat_map(|node| &node.attribute).any(|a| a.g.is_some() || !a.graphs.is_empty())
        {
            return Err(invalid(
                "it has branches or loops, which shifts do not work with; use --set shifts=0",
            ));
        }
        // The name of an output that is left out is empty.
        let outputs: Vec<String> =
            nodes.iter().flat_map(|node| &node.output).filter(|name| !name.is_empty()).cloned().collect();
        let image = self.graph().input.first().and_then(|input| input.name.clone()).unwrap_or_default();
        let mut prefixes = vec![String::new()];
        for shift in 1..=most {
            let prefix = format!("shifted_{shift}/");
            let moved = self.shift(&image, shift as i64);
            let mut names: HashMap<String, String> =
                outputs.iter().map(|name| (name.clone(), format!("{prefix}{name}"))).collect();
            names.insert(image.clone(), moved);
            let renamed = |all: &[String]| -> Vec<String> {
                all.iter().map(|name| names.get(name).unwrap_or(name).clone()).collect()
            };
            for node in &nodes {
                let mut copy = node.clone();
                (copy.input, copy.output) = (renamed(&node.input), renamed(&node.output));
                copy.name = node.name.as_ref().map(|name| format!("{prefix}{name}"));
                self.graph().node.push(copy);
            }
            prefixes.push(prefix);
        }
        Ok(prefixes)
    }

    /// The image moved right and down by `pixels`, its edges repeated.
    fn shift(&mut self, image: &str, pixels: i64) -> String {
        let pads = self.integers(&[0, 0, pixels, pixels, 0, 0, 0, 0]);
        let padded = self.node("Pad", &[image, &pads], vec![text("mode", "edge")]);
        let (starts, ends, axes) =
            (self.integers(&[0, 0]), self.integers(&[-pixels, -pixels]), self.integers(&[2, 3]));
        self.node("Slice", &[&padded, &starts, &ends, &axes], vec![])
    }
}
