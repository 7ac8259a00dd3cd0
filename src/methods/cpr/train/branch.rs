//! The local retrieval branch (LRB): per scale a 1x1 convolution, four branches side by side, and a 1x1 convolution to the
//! learned features (the paper's fig. 2; the layers of the authors' code).
//!
//! Maps are matrices `[channels, images * height * width]`: a 1x1 convolution is then one product of matrices, and a batch norm
//! works along contiguous rows.

use super::weights::{JOINED, SQUEEZED, STEM, Unit, WIDTH, Weights, is_learned, last};
use super::{MapShape, ScaleShape};
use burn::tensor::activation::relu;
use burn::tensor::module::{avg_pool2d, batch_norm, batch_norm_train, conv2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions};
use burn::tensor::{Device, Tensor, TensorData};
use std::collections::BTreeMap;

/// The share of a new batch in the running statistics.
const MOMENTUM: f32 = 0.1;

/// The mean and the unbiased variance of each channel of a batch.
pub(super) struct Observed {
    norm: String,
    mean: Vec<f32>,
    variance: Vec<f32>,
}

/// The branch's tensors on a device, for one pass.
pub(super) struct Pass<'a> {
    weights: &'a Weights,
    scales: &'a [ScaleShape],
    /// What is learned, flat.
    learned: BTreeMap<&'a str, Tensor<1>>,
    /// Batch statistics are used, and noted here; otherwise the running ones are used.
    observed: Option<Vec<Observed>>,
    device: Device,
}

impl<'a> Pass<'a> {
    /// A pass that learns: `learned` are the leaves that gradients are wanted of.
    pub fn training(
        weights: &'a Weights,
        scales: &'a [ScaleShape],
        learned: BTreeMap<&'a str, Tensor<1>>,
        device: Device,
    ) -> Self {
        Self { weights, scales, learned, observed: Some(Vec::new()), device }
    }

    /// A pass that only looks.
    pub fn evaluation(weights: &'a Weights, scales: &'a [ScaleShape], device: Device) -> Self {
        let learned = weights
            .iter()
            .filter(|(name, _)| is_learned(name))
            .map(|(name, values)| (name, vector(&values.values, &device)))
            .collect();
        Self { weights, scales, learned, observed: None, device }
    }

    /// The learned features of a scale, `[outputs, places]`, from its raw ones, `[inputs, places]`.
    pub fn forward(&mut self, scale: usize, raw: Tensor<2>, shape: MapShape) -> Tensor<2> {
        let joined = self.joined(scale, raw, shape);
        let (product, bias) = self.last(scale, joined);
        product + bias
    }

    /// What the four branches of a scale say, `[256, places]`: everything but the last convolution.
    pub fn joined(&mut self, scale: usize, raw: Tensor<2>, shape: MapShape) -> Tensor<2> {
        let ScaleShape { inputs, .. } = self.scales[scale];
        let x = self.stem(&Unit::stem(scale), inputs, raw);
        let inner = |name| Unit::inner(scale, name);
        let straight = |pass: &mut Self, unit: Unit, width: usize| {
            let x = pass.conv1x1(&unit.conv, [width, STEM], x.clone());
            pass.norm(&unit, x)
        };
        let first = straight(self, inner("branch0"), WIDTH);
        let squeezed = straight(self, inner("branch1.0"), SQUEEZED);
        let second = self.conv3x3(&inner("branch1.1").conv, squeezed, shape);
        let second = self.norm(&inner("branch1.1"), second);
        let third = straight(self, inner("branch2.0"), WIDTH);
        // Pooling before or after a 1x1 convolution is the same, and after it there are fewer channels.
        let unit = inner("branch3.1");
        let fourth = self.conv1x1(&unit.conv, [WIDTH, STEM], x);
        let fourth = self.norm(&unit, pool(fourth, shape));
        Tensor::cat(vec![first, second, third, fourth], 0)
    }

    /// The learned features, `[outputs, places]`, of sums of places of [`Pass::joined`], `[256, places]`, whose shares add up to `shares`,
    /// `[1, places]`: the last convolution is linear, so that it may as well see what was read between places as the places themselves.
    pub fn between(&self, scale: usize, joined: Tensor<2>, shares: Tensor<2>) -> Tensor<2> {
        let (product, bias) = self.last(scale, joined);
        product + bias * shares
    }

    /// The last convolution's product and its bias, `[outputs, 1]`.
    fn last(&self, scale: usize, joined: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let (last, outputs) = (last(scale), self.scales[scale].outputs);
        let bias = self.learned(&format!("{last}.bias")).reshape([outputs, 1]);
        (self.conv1x1(&last, [outputs, JOINED], joined), bias)
    }

    /// The batch's statistics, if this pass learns.
    pub fn into_observed(self) -> Vec<Observed> {
        self.observed.unwrap_or_default()
    }

    fn learned(&self, name: &str) -> Tensor<1> {
        self.learned.get(name).unwrap_or_else(|| panic!("the branch does not learn '{name}'")).clone()
    }

    fn conv1x1(&self, conv: &str, dims: [usize; 2], x: Tensor<2>) -> Tensor<2> {
        self.learned(&format!("{conv}.weight")).reshape(dims).matmul(x)
    }

    fn conv3x3(&self, conv: &str, x: Tensor<2>, shape: MapShape) -> Tensor<2> {
        let weight = self.learned(&format!("{conv}.weight")).reshape([WIDTH, SQUEEZED, 3, 3]);
        let x = planes(x, SQUEEZED, shape).swap_dims(0, 1);
        let y = conv2d(x, weight, None, ConvOptions::new([1, 1], [1, 1], [1, 1], 1));
        y.swap_dims(0, 1).reshape([WIDTH, shape.places()])
    }

    /// The first convolution with its batch norm and ReLU.
    ///
    /// Nothing before it learns, so that the mean and the covariance of its input are plain numbers, and the statistics of its output
    /// follow from them: batch norm becomes another scale of the weights, and no pass over a large map.
    fn stem(&mut self, unit: &Unit, inputs: usize, raw: Tensor<2>) -> Tensor<2> {
        let part = |part: &str| format!("{}.{part}", unit.norm);
        let column = |pass: &Self, name: &str| pass.learned(name).reshape([STEM, 1]);
        let weight = self.learned(&format!("{}.weight", unit.conv)).reshape([STEM, inputs]);
        let (gamma, beta) = (column(self, &part("weight")), column(self, &part("bias")));
        let bias = self.weights.get(&format!("{}.bias", unit.conv));
        let (shift, variance) = match &mut self.observed {
            Some(observed) => {
                let count = raw.dims()[1];
                let mean = raw.clone().mean_dim(1);
                let centred = raw.clone() - mean.clone();
                let covariance = centred.clone().matmul(centred.transpose()).div_scalar(count as f32);
                let variance = (weight.clone().matmul(covariance) * weight.clone()).sum_dim(1);
                let shift = weight.clone().matmul(mean);
                // The bias shifts the mean of the batch and with it nothing else.
                let mean = shift.clone().reshape([STEM]) + vector(bias, &self.device);
                observed.push(Observed::new(unit, mean, variance.clone().reshape([STEM]), count));
                (shift, variance)
            }
            None => {
                let mean = self.weights.get(&part("running_mean"));
                let shift: Vec<f32> = mean.iter().zip(bias).map(|(mean, bias)| mean - bias).collect();
                let variance = vector(self.weights.get(&part("running_var")), &self.device);
                (vector(&shift, &self.device).reshape([STEM, 1]), variance.reshape([STEM, 1]))
            }
        };
        let scale = gamma / variance.add_scalar(unit.epsilon).sqrt();
        relu((weight * scale.clone()).matmul(raw) + (beta - shift * scale))
    }

    /// Batch norm and ReLU.
    fn norm(&mut self, unit: &Unit, x: Tensor<2>) -> Tensor<2> {
        let [channels, places] = x.dims();
        let x = x.reshape([1, channels, places]);
        let part = |part: &str| format!("{}.{part}", unit.norm);
        let (gamma, beta) = (self.learned(&part("weight")), self.learned(&part("bias")));
        let y = match &mut self.observed {
            Some(observed) => {
                let batch = batch_norm_train(x, gamma, beta, unit.epsilon);
                observed.push(Observed::new(unit, batch.mean, batch.variance, places));
                batch.output
            }
            None => {
                let running = |name| vector(self.weights.get(&part(name)), &self.device);
                batch_norm(x, gamma, beta, running("running_mean"), running("running_var"), unit.epsilon)
            }
        };
        relu(y.reshape([channels, places]))
    }
}

impl Observed {
    fn new(unit: &Unit, mean: Tensor<1>, variance: Tensor<1>, count: usize) -> Self {
        let mean = floats(mean);
        // burn's variance is that of the batch itself; running statistics estimate that of all data.
        let unbiased = count as f32 / (count.max(2) - 1) as f32;
        let variance = floats(variance).into_iter().map(|variance| variance * unbiased).collect();
        Self { norm: unit.norm.clone(), mean, variance }
    }

    /// Brings the running statistics up to date.
    pub fn update(&self, weights: &mut Weights) {
        for (part, new) in [("running_mean", &self.mean), ("running_var", &self.variance)] {
            if let Some(running) = weights.get_mut(&format!("{}.{part}", self.norm)) {
                for (running, new) in running.values.iter_mut().zip(new) {
                    *running += MOMENTUM * (new - *running);
                }
            }
        }
    }
}

fn planes(x: Tensor<2>, channels: usize, shape: MapShape) -> Tensor<4> {
    x.reshape([channels, shape.images, shape.height, shape.width])
}

/// The mean of each place and its neighbours that are inside the map.
fn pool(x: Tensor<2>, shape: MapShape) -> Tensor<2> {
    let options =
        AvgPoolOptions::new([3, 3]).with_stride([1, 1]).with_padding([1, 1]).with_count_include_pad(false);
    let [channels, places] = x.dims();
    avg_pool2d(planes(x, channels, shape), options).reshape([channels, places])
}

/// A vector on a device.
pub(super) fn vector(values: &[f32], device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

/// The values of a tensor.
pub(super) fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().as_slice::<f32>().expect("the branch is of f32 values").to_vec()
}

/// The learned features of a scale, `[outputs, images, height, width]`, from its raw ones, `[inputs, images, height, width]`,
/// with the running statistics: what the exported graph must compute.
pub fn evaluate(
    weights: &Weights,
    scales: &[ScaleShape],
    scale: usize,
    raw: &[f32],
    shape: MapShape,
) -> Vec<f32> {
    let device = Device::flex();
    let data = TensorData::new(raw.to_vec(), [scales[scale].inputs, shape.places()]);
    let raw = Tensor::from_data(data, &device);
    floats(Pass::evaluation(weights, scales, device).forward(scale, raw, shape))
}
