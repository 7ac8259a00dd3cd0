#!/usr/bin/env python3
"""The training step of benches/training.rs in PyTorch, to compare with: the same shapes, numbers of pairs, loss and optimiser.

    pip install torch numpy
    python benches/training_torch.py [--steps 10] [--threads 2] [--channels 24 40] [--learned 16] [--queries 8]

Printed are the median and the fastest step. Features are random: a step takes as long on real ones.
"""

import argparse
import time

import torch
from torch import nn
from torch.nn import functional

SIDES = (80, 40)
PAIRS = 300


class Unit(nn.Sequential):
    """A convolution without bias, batch norm, ReLU."""

    def __init__(self, inputs, outputs, side=1):
        super().__init__(
            nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=False), nn.BatchNorm2d(outputs, eps=1e-3), nn.ReLU(inplace=True)
        )


class Branch(nn.Module):
    """The local retrieval branch of one scale."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(inputs, 192, 1), nn.BatchNorm2d(192), nn.ReLU(inplace=True))
        self.branches = nn.ModuleList(
            [
                Unit(192, 64),
                nn.Sequential(Unit(192, 48), Unit(48, 64, 3)),
                Unit(192, 64),
                nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), Unit(192, 64)),
            ]
        )
        self.last = nn.Conv2d(256, outputs, 1)

    def forward(self, raw):
        stem = self.stem(raw)
        return self.last(torch.cat([branch(stem) for branch in self.branches], 1))


def read(maps, points):
    """Features [images, channels, pairs] at points [images, pairs, 2] from -1 to 1."""
    return functional.grid_sample(maps, points[:, :, None], align_corners=False)[..., 0]


def loss(learned, raw, positive, remote, anomalous):
    """Both parts of the loss of one scale; the queries come first in the batch, then their references."""
    (query, reference), (raw_query, raw_reference) = learned.chunk(2), raw.chunk(2)

    def cosine(of_query, of_reference):
        return functional.cosine_similarity(read(query, of_query), read(reference, of_reference), 1)

    with torch.no_grad():
        distances = (read(raw_query, remote[0]) - read(raw_reference, remote[1])).square().sum(1)
        weights = distances / distances.mean(1, keepdim=True)
    apart = torch.cat([weights * (cosine(*remote) + 0.2).relu(), (cosine(anomalous, anomalous) + 0.2).relu()], 1)
    return (0.8 - cosine(positive, positive)).relu().pow(3).mean() + apart.pow(3).mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--queries", type=int, default=8)
    parser.add_argument("--channels", type=int, nargs=2, default=(24, 40))
    parser.add_argument("--learned", type=int, default=16)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    images = 2 * arguments.queries
    raws = [torch.rand(images, channels, side, side) for channels, side in zip(arguments.channels, SIDES)]
    branches = nn.ModuleList([Branch(channels, arguments.learned) for channels in arguments.channels])
    optimiser = torch.optim.AdamW(branches.parameters(), lr=1e-3, weight_decay=1e-2)

    def points():
        return 2 * torch.rand(arguments.queries, PAIRS, 2) - 1

    pairs = (points(), (points(), points()), points())

    def step():
        start = time.perf_counter()
        total = sum(loss(branch(raw), raw, *pairs) for branch, raw in zip(branches, raws))
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        return time.perf_counter() - start

    step()
    times = sorted(step() for _ in range(arguments.steps))
    print(
        f"PyTorch {torch.__version__}, {arguments.threads} threads, {arguments.queries} queries and references, "
        f"{arguments.steps} steps: median {1e3 * times[len(times) // 2]:.0f} ms, fastest {1e3 * times[0]:.0f} ms"
    )


if __name__ == "__main__":
    main()
