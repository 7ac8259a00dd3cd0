//! The weights of a convolution as bytes, of which seven bits are used.
//!
//! Processors without instructions for products of bytes (x86-64 without VNNI) add two products of an unsigned and a signed byte in 16 bits,
//! and cut off what does not fit: 2 * 255 * 127 does not, 2 * 255 * 63 does. So every processor computes the same sums.

use crate::network::onnx::{DataType, TensorProto};
use std::borrow::Cow;

/// Weights lie between minus and plus so much: the largest for which two products fit into 16 bits.
const MOST: f32 = 63.0;
/// A bias has so many units of a product at most, so that there is room for the products in 32 bits.
const MOST_BIAS: f32 = (1 << 30) as f32;

/// Weights and bias of a convolution.
#[derive(Debug, PartialEq)]
pub(super) struct Rounded {
    /// As `round(w / scale)`, with the scale of its output channel.
    pub weights: Vec<i8>,
    /// One an output channel.
    pub scales: Vec<f32>,
    /// In units of that scale times the one of what it is a convolution of.
    pub bias: Option<Vec<i32>>,
}

/// Whether [`floats`] can read a tensor.
pub(super) fn is_readable(tensor: &TensorProto) -> bool {
    floats(tensor).is_some_and(|values| !values.is_empty())
}

/// The elements of a tensor of f32 values.
pub(super) fn floats(tensor: &TensorProto) -> Option<Cow<'_, [f32]>> {
    if tensor.data_type != Some(DataType::Float as i32) || !tensor.external_data.is_empty() {
        return None;
    }
    let values: Cow<'_, [f32]> = match &tensor.raw_data {
        Some(raw) => raw.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        None => Cow::Borrowed(&tensor.float_data),
    };
    let count =
        tensor.dims.iter().try_fold(1usize, |all, &side| all.checked_mul(usize::try_from(side).ok()?))?;
    (values.len() == count).then_some(values)
}

/// Rounds `weights`, `[outputs, ..]`, and `bias`, `[outputs]`, of a convolution of values with this `scale`; none if they cannot be read.
pub(super) fn round(weights: &TensorProto, bias: Option<&TensorProto>, scale: f32) -> Option<Rounded> {
    let values = floats(weights)?;
    let outputs = usize::try_from(*weights.dims.first()?).ok().filter(|&outputs| outputs > 0)?;
    let bias = match bias {
        Some(tensor) => Some(floats(tensor).filter(|bias| bias.len() == outputs)?),
        None => None,
    };
    let largest = |values: &[f32]| values.iter().fold(0f32, |most, value| most.max(value.abs()));
    let channels = values.chunks_exact(values.len() / outputs);
    let scales: Vec<f32> = channels
        .clone()
        .enumerate()
        .map(|(i, channel)| {
            // Next to a bias, weights that are too small for it to be counted in their unit do not matter.
            let of_bias = bias.as_ref().map_or(0.0, |bias| bias[i].abs() / scale / MOST_BIAS);
            (largest(channel) / MOST).max(of_bias).max(f32::MIN_POSITIVE / scale.min(1.0))
        })
        .collect();
    let weights = channels
        .zip(&scales)
        .flat_map(|(channel, &scale)| channel.iter().map(move |w| (w / scale).round() as i8))
        .collect();
    let bias =
        bias.map(|bias| bias.iter().zip(&scales).map(|(b, s)| (b / (s * scale)).round() as i32).collect());
    Some(Rounded { weights, scales, bias })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[i64], values: &[f32]) -> TensorProto {
        TensorProto {
            dims: shape.to_vec(),
            data_type: Some(DataType::Float as i32),
            float_data: values.to_vec(),
            ..Default::default()
        }
    }

    #[test]
    fn each_channel_uses_all_seven_bits() {
        let weights = tensor(&[2, 2, 1, 1], &[1.26, -0.5, 0.00252, 0.001]);
        let rounded = round(&weights, Some(&tensor(&[2], &[0.1, -0.2])), 0.5).unwrap();
        assert_eq!(rounded.weights, [63, -25, 63, 25]);
        assert_eq!(rounded.bias, Some(vec![10, -10_000]));
    }

    #[test]
    fn two_products_fit_into_sixteen_bits() {
        let rounded = round(&tensor(&[1, 3, 1, 1], &[-0.7, 0.7, 0.1]), None, 0.01).unwrap();
        let largest = rounded.weights.iter().map(|w| i32::from(*w).abs()).max().unwrap();
        assert!(2 * i32::from(u8::MAX) * largest <= i32::from(i16::MAX), "{largest}");
    }

    #[test]
    fn a_channel_without_weights_keeps_its_bias() {
        let rounded = round(&tensor(&[1, 1, 1, 1], &[0.0]), Some(&tensor(&[1], &[3.0])), 0.1).unwrap();
        let bias = rounded.bias.unwrap()[0] as f32 * rounded.scales[0] * 0.1;
        assert!((bias - 3.0).abs() < 1e-6, "{bias}");
        assert_eq!(rounded.weights, [0]);
    }

    #[test]
    fn weights_of_another_kind_are_not_read() {
        assert!(!is_readable(&TensorProto {
            data_type: Some(DataType::Int64 as i32),
            ..tensor(&[1], &[1.0])
        }));
        assert!(!is_readable(&tensor(&[3], &[1.0])));
    }
}
