"""The space of `elastic.arch` as a tree of modules in the style of OFA (Cai et al. 2020, arXiv 1908.09791), in its simplest form.

Each module holds its largest weight and reads the active part of it in every forward pass; `activate` walks the tree and says
how much is active. Smaller kernels read the centre of larger ones. Normalisations have running statistics as large as the
largest width, of which the first are read; they are gathered anew for a candidate (`recalibrate`).
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrdsl.compiler.api import Compiled
from hrdsl.compiler.store import Store

SPACE = Path(__file__).with_name("elastic.arch")
WIDTHS = (24, 40, 64)
KERNEL, EXPAND, TIMES = 5, 6, 3


class Conv(nn.Module):
    """A convolution of which the first channels on both sides and the centre of the kernel are active."""

    def __init__(self, inner: int, outer: int, kernel: int, stride: int = 1, depthwise: bool = False) -> None:
        super().__init__()
        self.depthwise, self.stride, self.active_kernel, self.active_outer = depthwise, stride, kernel, outer
        self.weight = nn.Parameter(torch.empty(outer, 1 if depthwise else inner, kernel, kernel))

    def forward(self, x: Tensor) -> Tensor:
        inner, kernel = x.size(1), self.active_kernel
        edge = (self.weight.size(2) - kernel) // 2
        outer = inner if self.depthwise else self.active_outer
        part = self.weight[:outer, : 1 if self.depthwise else inner, edge : edge + kernel, edge : edge + kernel]
        return F.conv2d(x, part.contiguous(), None, self.stride, kernel // 2, 1, inner if self.depthwise else 1)


class Norm(nn.Module):
    """Batch normalisation of as many channels as come."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        n, width = self.norm, x.size(1)
        if width == n.num_features:
            return n(x)
        if n.training:
            n.num_batches_tracked += 1
        statistics = n.running_mean[:width], n.running_var[:width]
        return F.batch_norm(x, *statistics, n.weight[:width], n.bias[:width], n.training, n.momentum or 0.0, n.eps)


class Layer(nn.Module):
    """Expand, depthwise convolution, project; a shortcut where the shapes agree."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        hidden = inner * EXPAND
        self.expand = nn.Sequential(Conv(inner, hidden, 1), Norm(hidden), nn.ReLU6())
        self.depthwise = nn.Sequential(Conv(hidden, hidden, KERNEL, stride, True), Norm(hidden), nn.ReLU6())
        self.project = nn.Sequential(Conv(hidden, outer, 1), Norm(outer))
        self.inner, self.shortcut = inner, inner == outer and stride == 1

    def activate(self, kernel: int, expand: int) -> None:
        self.expand[0].active_outer = self.inner * expand
        self.depthwise[0].active_kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.shortcut else y


Make = Callable[[int, int, int], nn.Module]
"""A layer of so many channels in and out, with its stride."""


class Unit(nn.Module):
    """A layer that halves the resolution, then up to three more."""

    def __init__(self, inner: int, outer: int, layer: Make) -> None:
        super().__init__()
        self.layers = nn.ModuleList([layer(inner, outer, 2), *(layer(outer, outer, 1) for _ in range(TIMES))])
        self.active = 1 + TIMES

    def activate(self, kernel: int, expand: int, times: int, kernels: int, expands: int) -> None:
        self.active = 1 + times
        self.layers[0].activate(kernel, expand)
        for layer in self.layers[1:]:
            layer.activate(kernels, expands)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[: self.active]:
            x = layer(x)
        return x


class Supernet(nn.Module):
    """What switches between the architectures of a space, and gathers the statistics of one."""

    def activate(self, choices: Sequence[int]) -> None:
        """`choices`: the values of the decisions of the space, in their order."""
        raise NotImplementedError

    def weigh(self, norm: nn.BatchNorm2d, share: float) -> None:
        """How much the next batch counts in the statistics."""
        norm.momentum = share

    @torch.no_grad()
    def recalibrate(self, batches: Iterable[Tensor]) -> None:
        """Statistics of the active architecture: the means over these batches."""
        norms = [m for m in self.modules() if isinstance(m, nn.BatchNorm2d)]
        self.train()
        for count, x in enumerate(batches, 1):
            for norm in norms:
                self.weigh(norm, 1 / count)
            self(x)
        self.eval()


class Tree(Supernet):
    """[N, 3, 64, 64] -> [N, classes, 4, 4]."""

    def __init__(self, layer: Make = Layer, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6())
        self.units = nn.Sequential(*(Unit(i, o, layer) for i, o in zip((16, *WIDTHS), WIDTHS, strict=False)))
        self.head = nn.Conv2d(WIDTHS[-1], classes, 1)

    def activate(self, choices: Sequence[int]) -> None:
        for k, unit in enumerate(self.units):
            unit.activate(*choices[5 * k : 5 * k + 5])

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.units(self.stem(x)))


def tree(store: Store) -> Tree:
    """With the weights of a store."""
    made = Tree()
    fill(made, store)
    return made


def fill(made: Supernet, store: Store) -> None:
    """Take over the weights of a store: both have them in the order of the network."""
    with torch.no_grad():
        for own, (name, shared) in zip(made.parameters(), store.state_dict().items(), strict=True):
            if own.shape != shared.shape:
                raise SystemExit(f"{name}: {tuple(shared.shape)} instead of {tuple(own.shape)}")
            own.copy_(shared)


def choices(space: Compiled, genes: tuple[int, ...]) -> list[int]:
    """The values of the decisions, also of those that do not matter."""
    labels: dict[str, Any] = space.decisions.labels(genes)
    return [int(label) if label.isdigit() else 3 for label in labels.values()]
