//! Constants of a graph in one place, however it was exported.

use crate::network::onnx::{AttributeProto, GraphProto, NodeProto, TensorProto};
use std::collections::{HashMap, HashSet};

/// Makes initializers of what Constant nodes make, and of copies of either by Identity nodes; initializers are no inputs any longer.
pub(super) fn gather(graph: &mut GraphProto) {
    let mut copies: HashMap<String, String> = HashMap::new();
    let mut constants: Vec<TensorProto> = std::mem::take(&mut graph.initializer);
    let mut known: HashSet<String> = constants.iter().filter_map(|tensor| tensor.name.clone()).collect();
    graph.input.retain(|input| !input.name.as_ref().is_some_and(|name| known.contains(name)));
    let results: Vec<String> = graph.output.iter().filter_map(|output| output.name.clone()).collect();
    graph.node.retain_mut(|node| {
        for input in &mut node.input {
            if let Some(original) = copies.get(input) {
                input.clone_from(original);
            }
        }
        let [made] = &node.output[..] else { return true };
        if results.contains(made) {
            return true;
        }
        match (node.op_type.as_deref(), &node.input[..]) {
            (Some("Constant"), []) => match tensor(node) {
                Some(value) => {
                    known.insert(made.clone());
                    constants.push(TensorProto { name: Some(made.clone()), ..value });
                    false
                }
                None => true,
            },
            (Some("Identity"), [original]) if known.contains(original) => {
                copies.insert(made.clone(), original.clone());
                false
            }
            _ => true,
        }
    });
    graph.initializer = constants;
}

/// The tensor that a Constant node makes; none if it is written as something else.
fn tensor(node: &NodeProto) -> Option<TensorProto> {
    match &node.attribute[..] {
        [AttributeProto { name: Some(name), t: Some(tensor), .. }] if name == "value" => Some(tensor.clone()),
        _ => None,
    }
}
