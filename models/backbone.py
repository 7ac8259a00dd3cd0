"""What the export scripts share: a torch feature extractor becomes NAME.onnx and its card NAME.json."""

import hashlib
import json
from pathlib import Path

import onnx
import onnxruntime
import torch

OPSET = 17
# The IR version that came with opset 17: the exporter's own is newer than some ONNX Runtimes can read.
IR_VERSION = 8
INPUT = "image"
# Height and width of the comparisons with torch. The odd sizes show a padding that holds for even sizes only.
CHECKED_SIZES = ((320, 320), (256, 384), (320, 192), (203, 331))
# Largest difference from torch, as a share of the layer's largest value: float32 rounding, not errors.
TOLERANCE = 1e-5


def write_backbone(folder, card, mean, std, default_layers, extractor, reference=None, edit=None, learned_layers=None):
    """Writes NAME.onnx and NAME.json and compares the network with torch.

    card: `name`, `title`, `source` and `licence`; the rest is measured or comes from the other arguments.
    mean, std: of each channel R, G, B, on the scale of pixels 0..255.
    extractor: module in eval mode, image [1,3,height,width] -> {layer name: [1,channels,h,w]}, finest first.
    reference: what the network must agree with, the extractor itself if left out.
    edit: changes the ONNX model in place before it is written.
    learned_layers: the layers to use under a learned branch, if others than the default ones.
    """
    layers = describe_layers(extractor)
    unknown = {*default_layers, *(learned_layers or [])} - {layer["name"] for layer in layers}
    if unknown:
        raise ValueError(f"no such layer: {', '.join(sorted(unknown))}")

    model = export(extractor, [layer["name"] for layer in layers])
    if edit:
        edit(model)
    onnx.checker.check_model(model, full_check=True)
    network = model.SerializeToString(deterministic=True)
    compare(network, reference or extractor)

    card = card | {
        "sha256": hashlib.sha256(network).hexdigest(),
        "input": {"name": INPUT, "mean": mean, "std": std},
        "layers": layers,
        "default_layers": default_layers,
    }
    if learned_layers:
        card["learned_layers"] = learned_layers
    path = Path(folder) / f"{card['name']}.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(network)
    path.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")
    print(f"{path}: {len(network)} bytes, sha256 {card['sha256']}")


def describe_layers(extractor):
    """Name, channels and stride of every output, read from one run."""
    size = 320
    with torch.no_grad():
        outputs = extractor(torch.zeros(1, 3, size, size))
    return [
        {"name": name, "channels": value.shape[1], "stride": size // value.shape[2]} for name, value in outputs.items()
    ]


def export(extractor, names):
    """The ONNX model with free height and width, without the exporter's notes (which hold paths of this machine)."""
    program = torch.onnx.export(
        extractor,
        (torch.zeros(1, 3, 320, 320),),
        opset_version=OPSET,
        input_names=[INPUT],
        output_names=names,
        dynamic_shapes=({2: torch.export.Dim("height"), 3: torch.export.Dim("width")},),
        dynamo=True,
        verbose=False,
    )
    model = program.model_proto
    if [(entry.domain, entry.version) for entry in model.opset_import] != [("", OPSET)]:
        raise RuntimeError(f"the exporter did not reach opset {OPSET}")

    model.ir_version = IR_VERSION
    # Without the build of torch ("+cpu"), so that every machine makes the same bytes.
    model.producer_version = torch.__version__.split("+")[0]
    graph = model.graph
    del graph.value_info[:]
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.ClearField("doc_string")
    for output in graph.output:
        dimensions = output.type.tensor_type.shape.dim
        dimensions[2].dim_param = f"{output.name}_height"
        dimensions[3].dim_param = f"{output.name}_width"
    return model


def compare(network, reference):
    """Fails where ONNX Runtime and torch differ; prints the largest difference of each layer and size."""
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    for height, width in CHECKED_SIZES:
        image = torch.randn(1, 3, height, width, generator=generator)
        with torch.no_grad():
            expected = reference(image)
        actual = dict(zip(expected, session.run(list(expected), {INPUT: image.numpy()}), strict=True))
        for name, value in expected.items():
            difference = (value - torch.from_numpy(actual[name])).abs().max().item()
            largest = value.abs().max().item()
            print(f"{height}x{width} {name} {list(value.shape)}: differs by {difference:.1e} of {largest:.1f}")
            if not difference <= TOLERANCE * largest:
                raise RuntimeError(f"{name} differs from torch")
