use super::*;
use crate::network::graph::ints;
use crate::network::{Device, Network, OutputSpec};

const SIZE: (u32, u32) = (32, 32);

/// A small network with all that is merged and all that is not: `image -> conv, Clip -> (depthwise conv, Relu) + skip -> sum`, its mean
/// beside it -> `both`, the largest of 2x2 -> conv -> `coarse`, and a softplus, which bytes cannot compute, -> `smooth`.
fn network() -> Vec<u8> {
    let mut graph = GraphBuilder::identity(&[("image", &[1, 3, 32, 32])]);
    let values = |count: usize, seed: usize| -> Vec<f32> {
        (0..count).map(|i| ((i * 31 + seed * 17) % 29) as f32 / 29.0 - 0.45).collect()
    };
    let stem = graph.conv3x3("image", &values(8 * 27, 1), &values(8, 2));
    let (zero, six) = (graph.constant(&[], &[0.0]), graph.constant(&[], &[6.0]));
    let stem = graph.node("Clip", &[&stem, &zero, &six], vec![]);
    let deep = graph.conv_same(&stem, &values(8 * 9, 3), 8, 8, 3);
    let deep = graph.relu(&deep);
    let sum = graph.node("Add", &[&deep, &stem], vec![]);
    let mean = graph.average3x3(&sum);
    let both = graph.join_channels(&[&sum, &mean]);
    let strides = ["kernel_shape", "strides"].map(|name| ints(name, &[2, 2]));
    let pooled = graph.node("MaxPool", &[&both], strides.to_vec());
    let coarse = graph.conv1x1(&pooled, &values(4 * 16, 4), &values(4, 5));
    let smooth = graph.node("Softplus", &[&both], vec![]);
    let smooth = graph.conv1x1(&smooth, &values(2 * 16, 6), &values(2, 7));
    graph.output("both", &both, DataType::Float, &[1, 16, 32, 32]);
    graph.output("coarse", &coarse, DataType::Float, &[1, 4, 16, 16]);
    graph.output("smooth", &smooth, DataType::Float, &[1, 2, 32, 32]);
    graph.finish().unwrap()
}

fn outputs() -> Vec<OutputSpec> {
    vec![
        OutputSpec::floats("both", [1, 16, 32, 32]),
        OutputSpec::floats("coarse", [1, 4, 16, 16]),
        OutputSpec::floats("smooth", [1, 2, 32, 32]),
    ]
}

fn run(model: &[u8], outputs: Vec<OutputSpec>, image: &[f32]) -> Vec<Vec<f32>> {
    let mut network = Network::load(model, SIZE, outputs, Device::Cpu, 1).unwrap();
    let mut input = network.new_input().unwrap();
    input.extract_tensor_mut().1.copy_from_slice(image);
    network.run(&input).unwrap().iter().map(|map| map.floats().to_vec()).collect()
}

fn image() -> Vec<f32> {
    (0..3 * 32 * 32).map(|i| ((i * 37) % 255) as f32 / 127.5 - 1.0).collect()
}

fn roles() -> Vec<String> {
    outputs().into_iter().map(|output| output.name).collect()
}

fn measured(quantiser: &Quantiser, image: &[f32]) -> Vec<Range> {
    let told = [LEAST, MOST].map(|role| OutputSpec::floats(role, [quantiser.values()])).to_vec();
    let found = run(&quantiser.probe(SIZE).unwrap(), told, image);
    found[0].iter().zip(&found[1]).map(|(&least, &most)| Range::new(least, most)).collect()
}

#[test]
fn bytes_say_nearly_what_numbers_say() {
    let model = network();
    let quantiser = Quantiser::new(&model, &roles()).unwrap();
    let ranges = measured(&quantiser, &image());
    let bytes = quantiser.apply(&ranges).unwrap();
    let (exact, rounded) = (run(&model, outputs(), &image()), run(&bytes, outputs(), &image()));
    for (output, (exact, rounded)) in roles().iter().zip(exact.iter().zip(&rounded)) {
        let most = exact.iter().fold(0f32, |most, value| most.max(value.abs()));
        let worst = exact.iter().zip(rounded).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(worst > 0.0, "{output}: nothing is rounded");
        assert!(worst < 0.03 * most, "{output}: {worst} of {most}");
    }
}

#[test]
fn what_only_cuts_off_is_merged_and_what_cannot_stays() {
    let model = network();
    let quantiser = Quantiser::new(&model, &roles()).unwrap();
    let ranges = measured(&quantiser, &image());
    let bytes = ModelProto::decode(&quantiser.apply(&ranges).unwrap()[..]).unwrap();
    let graph = bytes.graph.unwrap();
    let count = |op: &str| graph.node.iter().filter(|node| node.op_type.as_deref() == Some(op)).count();
    assert_eq!([count("Clip"), count("Relu"), count("Softplus"), count("Conv")], [0, 0, 1, 4]);
    // The image, four convolutions, a sum, a mean, both, their largest and what the softplus makes.
    assert_eq!(count("QuantizeLinear"), 10);
    let sizes = graph
        .initializer
        .iter()
        .filter(|t| t.data_type == Some(DataType::Float as i32))
        .map(|t| t.dims.iter().product::<i64>());
    assert!(sizes.max() <= Some(8), "f32 weights are left");
}

#[test]
fn only_what_leads_to_an_output_is_rounded() {
    let model = network();
    let quantiser = Quantiser::new(&model, &["both".into()]).unwrap();
    let ranges = measured(&quantiser, &image());
    let (exact, rounded) =
        (run(&model, outputs(), &image()), run(&quantiser.apply(&ranges).unwrap(), outputs(), &image()));
    // Computed in f32 from what is rounded: not from bytes again.
    let steps = rounded[1].iter().map(|v| v.to_bits()).collect::<HashSet<_>>().len();
    assert!(steps > 256, "{steps} different values");
    assert_ne!(exact[1], rounded[1]);
}

#[test]
fn a_graph_can_be_rounded_in_two_parts() {
    let model = network();
    let first = Quantiser::new(&model, &["both".into()]).unwrap();
    let ranges = measured(&first, &image());
    let first = first.apply(&ranges).unwrap();
    let rest = Quantiser::new(&first, &roles()).unwrap();
    let ranges = measured(&rest, &image());
    let rest = rest.apply(&ranges).unwrap();
    let graph = ModelProto::decode(&rest[..]).unwrap().graph.unwrap();
    // As in one go: what is made of bytes already is not rounded again.
    assert_eq!(
        graph.node.iter().filter(|node| node.op_type.as_deref() == Some("QuantizeLinear")).count(),
        10
    );
    let both = run(&rest, outputs(), &image());
    let whole = Quantiser::new(&model, &roles()).unwrap();
    let ranges = measured(&whole, &image());
    let whole = run(&whole.apply(&ranges).unwrap(), outputs(), &image());
    for (a, b) in both.iter().flatten().zip(whole.iter().flatten()) {
        assert!((a - b).abs() < 0.2, "{a} and {b}");
    }
}

#[test]
fn what_lies_beyond_the_range_is_cut_off() {
    let model = network();
    let quantiser = Quantiser::new(&model, &roles()).unwrap();
    let ranges = measured(&quantiser, &image());
    let brighter: Vec<f32> = image().iter().map(|value| value * 20.0).collect();
    let model = quantiser.apply(&ranges).unwrap();
    let (normal, beyond) = (run(&model, outputs(), &image()), run(&model, outputs(), &brighter));
    let most = |maps: &[Vec<f32>]| maps[0].iter().copied().fold(0f32, f32::max);
    assert!(most(&beyond) <= 1.01 * most(&normal), "{} {}", most(&beyond), most(&normal));
}

#[test]
fn what_is_not_finite_is_refused() {
    let quantiser = Quantiser::new(&network(), &roles()).unwrap();
    let mut ranges = vec![Range::new(-1.0, 1.0); quantiser.values()];
    ranges[2] = Range::new(f32::NAN, 1.0);
    let problem = quantiser.apply(&ranges).unwrap_err().to_string();
    assert!(problem.contains("not finite"), "{problem}");
}

#[test]
fn a_graph_without_convolutions_is_refused() {
    let mut graph = GraphBuilder::identity(&[("image", &[1, 3, 32, 32])]);
    let value = graph.relu("image");
    graph.output("both", &value, DataType::Float, &[1, 3, 32, 32]);
    let problem = Quantiser::new(&graph.finish().unwrap(), &["both".into()]).unwrap_err().to_string();
    assert!(problem.contains("nothing in it can compute with bytes"), "{problem}");
}
