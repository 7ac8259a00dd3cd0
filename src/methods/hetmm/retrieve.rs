//! The frame against the templates of every layer, in both directions.

use super::Hetmm;
use crate::error::{Error, Result};
use crate::kernels::mutual::{Forward, Matching};
use crate::kernels::parallel;
use crate::methods::{DistanceMap, Retrieve, Retrieved, check_finite};
use crate::network::FeatureMap;
use crate::pool::Pool;
use std::sync::Arc;

/// One stream's state.
#[derive(Debug)]
pub(super) struct HetmmRetrieve {
    hetmm: Arc<Hetmm>,
    /// Of each layer forward and backward.
    maps: Vec<[Pool<Vec<f32>>; 2]>,
}

impl HetmmRetrieve {
    pub(super) fn new(hetmm: Arc<Hetmm>) -> Self {
        Self { maps: hetmm.layers.iter().map(|_| Default::default()).collect(), hetmm }
    }

    /// Forward and backward distances of each layer; `skipped` names templates of each place of each layer that count for nothing, as
    /// many of each place of a layer.
    pub(super) fn compare(
        &self,
        maps: &[FeatureMap],
        skipped: Option<&[&[u32]]>,
    ) -> Result<Vec<DistanceMap>> {
        let Hetmm { layers, params, .. } = self.hetmm.as_ref();
        let fits = maps.len() == layers.len()
            && maps.iter().zip(layers).all(|(map, layer)| map.floats().len() == layer.shape.len());
        if !fits {
            return Err(Error::Features("they are not of the shapes that this HETMM bundle expects".into()));
        }
        check_finite(maps)?;
        let matchings: Vec<Matching<'_, _>> = maps
            .iter()
            .zip(layers)
            .enumerate()
            .map(|(i, (map, layer))| {
                let templates = layer.values.values();
                let matching =
                    Matching::new(map.floats(), templates, layer.shape, params.templates, layer.windows);
                match skipped {
                    Some(skipped) => matching.skipping(skipped[i]),
                    None => matching,
                }
            })
            .collect();
        let mut distances: Vec<[DistanceMap; 2]> = layers
            .iter()
            .zip(&self.maps)
            .map(|(layer, pools)| {
                let (height, width) = (layer.shape.height, layer.shape.width);
                pools.each_ref().map(|pool| DistanceMap {
                    height,
                    width,
                    values: pool.take(|| vec![0.0; height * width]),
                })
            })
            .collect();
        let (forward, mut backward): (Vec<Forward<'_>>, Vec<&mut [f32]>) = distances
            .iter_mut()
            .map(|[forward, backward]| (Forward::new(&mut forward.values), backward.values.as_mut_slice()))
            .unzip();
        let layers = matchings.iter().zip(&forward).zip(&mut backward);
        // All layers are shared out at once, so that threads wake up once a frame.
        let parts: Vec<_> =
            layers.flat_map(|((matching, forward), backward)| matching.parts(forward, backward)).collect();
        parallel::each(parts.into_iter(), |part| part.run());
        forward.into_iter().for_each(Forward::finish);
        Ok(distances.into_iter().flatten().collect())
    }
}

impl Retrieve for HetmmRetrieve {
    /// Compares with all templates; `exclude` is a template, which is one image only where no sheets were chosen.
    fn retrieve(
        &mut self,
        maps: &[FeatureMap],
        _neighbours: usize,
        exclude: Option<usize>,
    ) -> Result<Retrieved> {
        let skipped: Option<Vec<Vec<u32>>> = exclude.map(|template| {
            self.hetmm.layers.iter().map(|layer| vec![template as u32; layer.shape.places()]).collect()
        });
        let skipped: Option<Vec<&[u32]>> =
            skipped.as_ref().map(|layers| layers.iter().map(Vec::as_slice).collect());
        let distances = self.compare(maps, skipped.as_deref())?;
        Ok(Retrieved { distances, neighbours: Vec::new(), features: Vec::new(), foreground: None })
    }
}
