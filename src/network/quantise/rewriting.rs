//! The graph written anew with bytes.

use super::range::Rounding;
use super::weights;
use crate::error::Result;
use crate::network::graph::{int, invalid};
use crate::network::onnx::*;
use std::collections::{HashMap, HashSet};

/// The graph as it is being written anew.
pub(super) struct Rewriting {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    /// Under which name the rounded elements of a value are to be read.
    readable: HashMap<String, String>,
    /// All names in use.
    names: HashSet<String>,
}

impl Rewriting {
    /// Begins with values that are `readable` already, all of them in `graph`.
    pub fn new(graph: &GraphProto, readable: HashMap<String, String>) -> Self {
        let of_nodes = graph.node.iter().flat_map(|node| node.output.iter().chain(&node.name));
        let inputs = graph.input.iter().filter_map(|input| input.name.as_ref());
        let constants = graph.initializer.iter().filter_map(|tensor| tensor.name.as_ref());
        let names = of_nodes.chain(inputs).chain(constants).cloned().collect();
        Self { nodes: Vec::new(), constants: Vec::new(), readable, names }
    }

    /// A node that stays as it is.
    pub fn keep(&mut self, node: NodeProto) {
        self.nodes.push(node);
    }

    /// The name of what `value` is when it is rounded.
    pub fn read(&mut self, value: &str, rounding: Rounding) -> String {
        if let Some(name) = self.readable.get(value) {
            return name.clone();
        }
        let name = self.fresh(value, "rounded");
        self.round(value, &name, rounding);
        self.readable.insert(value.into(), name.clone());
        name
    }

    /// Has the operator `node` make `outcome` as a value of bytes.
    pub fn make(&mut self, mut node: NodeProto, outcome: &str, rounding: Rounding) {
        let made = self.fresh(outcome, "made");
        node.output[0].clone_from(&made);
        self.nodes.push(node);
        self.round(&made, outcome, rounding);
        self.readable.insert(outcome.into(), outcome.into());
    }

    /// Has the convolution `node`, which makes `outcome`, read weights of bytes instead of those of `constants`; `scale` is that of what
    /// it is a convolution of.
    pub fn convolution(
        &mut self,
        node: &mut NodeProto,
        constants: &[TensorProto],
        scale: f32,
        outcome: &str,
    ) -> Result<()> {
        let find = |name: &String| constants.iter().find(|tensor| tensor.name.as_ref() == Some(name));
        let unreadable = || invalid(&format!("the weights of '{outcome}' cannot be read"));
        let weights = node.input.get(1).and_then(find).ok_or_else(unreadable)?;
        let bias = node.input.get(2).and_then(find);
        let rounded = weights::round(weights, bias, scale).ok_or_else(unreadable)?;
        let outputs = &[rounded.scales.len()];
        let sides: Vec<usize> = weights.dims.iter().map(|&side| side as usize).collect();
        let bytes =
            self.constant(outcome, "weight", DataType::Int8, &sides, bytemuck::cast_slice(&rounded.weights));
        let scales = bytemuck::cast_slice(&rounded.scales);
        let scales = self.constant(outcome, "weight_scales", DataType::Float, outputs, scales);
        node.input[1] = self.node("DequantizeLinear", &[&bytes, &scales], outcome, vec![int("axis", 0)]);
        if let Some(values) = rounded.bias {
            // The unit of the products that it is added to.
            let units: Vec<f32> = rounded.scales.iter().map(|s| s * scale).collect();
            let values =
                self.constant(outcome, "bias", DataType::Int32, outputs, bytemuck::cast_slice(&values));
            let units =
                self.constant(outcome, "bias_units", DataType::Float, outputs, bytemuck::cast_slice(&units));
            node.input[2] = self.node("DequantizeLinear", &[&values, &units], outcome, vec![int("axis", 0)]);
        }
        Ok(())
    }

    /// Puts everything into `graph`, without the constants that nothing reads any longer.
    pub fn finish(self, graph: &mut GraphProto) {
        graph.node = self.nodes;
        graph.initializer.extend(self.constants);
        let read: HashSet<&String> = graph.node.iter().flat_map(|node| &node.input).collect();
        graph.initializer.retain(|tensor| tensor.name.as_ref().is_some_and(|name| read.contains(name)));
    }

    /// Rounds `value` to bytes, from which `rounded` is made again.
    fn round(&mut self, value: &str, rounded: &str, Rounding { scale, zero }: Rounding) {
        let scale = self.constant(rounded, "scale", DataType::Float, &[], &scale.to_le_bytes());
        let zero = self.constant(rounded, "zero", DataType::Uint8, &[], &[zero]);
        let bytes = self.node("QuantizeLinear", &[value, &scale, &zero], rounded, vec![]);
        self.named("DequantizeLinear", &[&bytes, &scale, &zero], rounded, vec![]);
    }

    /// Another name for something of `value`.
    fn fresh(&mut self, value: &str, what: &str) -> String {
        let first = format!("{value}/{what}");
        let more = (2..).map(|number| format!("{first}_{number}"));
        let free = std::iter::once(first.clone()).chain(more).find(|name| !self.names.contains(name));
        let name = free.unwrap_or(first);
        self.names.insert(name.clone());
        name
    }

    fn constant(
        &mut self,
        value: &str,
        what: &str,
        element: DataType,
        shape: &[usize],
        raw: &[u8],
    ) -> String {
        let name = self.fresh(value, what);
        self.constants.push(TensorProto {
            dims: shape.iter().map(|&side| side as i64).collect(),
            data_type: Some(element as i32),
            name: Some(name.clone()),
            raw_data: Some(raw.to_vec()),
            ..Default::default()
        });
        name
    }

    /// A node for something of `value`; returns the name of what it makes.
    fn node(&mut self, op: &str, inputs: &[&str], value: &str, attributes: Vec<AttributeProto>) -> String {
        let output = self.fresh(value, &op.to_lowercase());
        self.named(op, inputs, &output, attributes);
        output
    }

    fn named(&mut self, op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) {
        // Another one may be called like what this one makes.
        let name = self.fresh(output, op);
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|&name| name.into()).collect(),
            output: vec![output.into()],
            name: Some(name),
            op_type: Some(op.into()),
            attribute,
            ..Default::default()
        });
    }
}
