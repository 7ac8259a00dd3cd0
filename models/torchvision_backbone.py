#!/usr/bin/env python3
"""Makes a backbone and its card from a network of torchvision.

    pip install -r requirements.txt
    python torchvision_backbone.py wide_resnet50_2                        # downloads torchvision's ImageNet weights
    python torchvision_backbone.py densenet201 --weights densenet201.pth  # a state dict of your own

Only the weights up to the last layer asked for are needed, so a state dict without a classifier is fine.
"""

import argparse
import re
from importlib.metadata import version
from pathlib import Path

import torch
from torchvision.models import get_model, get_model_weights
from torchvision.models.feature_extraction import create_feature_extractor

from backbone import write_backbone

RESNETS = ("resnet18", "resnet50", "wide_resnet50_2", "wide_resnet101_2")
# Place in the torchvision module -> layer name, finest first: strides 4, 8, 16.
LAYERS = {"densenet201": {f"features.denseblock{i}": f"denseblock{i}" for i in (1, 2, 3)}}
LAYERS |= {network: {f"layer{i}": f"layer{i}" for i in (1, 2, 3)} for network in RESNETS}
# CPR reads strides 4 and 8 of DenseNet201, PatchCore strides 8 and 16 of the ResNets.
DEFAULT_LAYERS = {"densenet201": ["denseblock1", "denseblock2"]} | dict.fromkeys(RESNETS, ["layer2", "layer3"])

IMAGENET_MEAN = [123.675, 116.28, 103.53]
IMAGENET_STD = [58.395, 57.12, 57.375]


def load_weights(extractor, network, choice):
    """Loads the weights into the extractor; returns their description and their licence."""
    if choice == "none":
        return "random weights, for tests only", "NOASSERTION"
    if choice == "imagenet":
        # Version 1: the weights that the papers used. Version 2 is trained with other augmentation.
        weights = get_model_weights(network).IMAGENET1K_V1
        state, description, licence = weights.get_state_dict(progress=True), str(weights), "BSD-3-Clause"
    else:
        state, description, licence = torch.load(choice, map_location="cpu"), Path(choice).name, "NOASSERTION"
    # The DenseNet files that torchvision serves are older than its module names: norm.1 is norm1 today.
    state = {re.sub(r"\b(norm|conv)\.([12])\.", r"\1\2.", key): value for key, value in state.items()}
    missing = extractor.load_state_dict(state, strict=False).missing_keys
    if missing:
        raise SystemExit(f"{choice} is no state dict of {network}: {len(missing)} entries missing, first {missing[0]}")
    return description, licence


def main():
    parser = argparse.ArgumentParser(description="Makes a backbone and its card from a network of torchvision.")
    parser.add_argument("network", choices=sorted(LAYERS))
    parser.add_argument(
        "--weights",
        default="imagenet",
        metavar="imagenet|FILE|none",
        help="torchvision's ImageNet weights (default, downloaded), a state dict, or random for tests",
    )
    parser.add_argument("--layers", nargs="+", metavar="LAYER", help="layers to export (default: all)")
    parser.add_argument("--licence", help="SPDX identifier for the card, where the weights are your own")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder (default: this script's)")
    arguments = parser.parse_args()

    network = arguments.network
    available = list(LAYERS[network].values())
    wanted = arguments.layers or available
    if unknown := set(wanted) - set(available):
        parser.error(f"no layer {', '.join(sorted(unknown))} in {network}, only {', '.join(available)}")
    chosen = {place: name for place, name in LAYERS[network].items() if name in wanted}

    untrained = get_model(network, weights=None).eval()
    extractor = create_feature_extractor(untrained, chosen, suppress_diff_warning=True)
    description, licence = load_weights(extractor, network, arguments.weights)
    defaults = [name for name in chosen.values() if name in DEFAULT_LAYERS[network]]
    write_backbone(
        arguments.output,
        {
            "name": network,
            "title": f"{network} of torchvision",
            "source": f"torchvision {version('torchvision')}: {network}, {description}",
            "licence": arguments.licence or licence,
        },
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        default_layers=defaults or list(chosen.values()),
        extractor=extractor,
    )


if __name__ == "__main__":
    main()
