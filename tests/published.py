"""Five published networks in plain torch, written from their papers and authors' code, independent of the language.

Sources: `resnet50` and `mobilenet_v2` of torchvision, `seg_hrnet` of HRNet/HRNet-Semantic-Segmentation,
`SegformerForSemanticSegmentation` of transformers, `UNet` of milesial/Pytorch-UNet.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


def conv_bn(inner: int, outer: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inner, outer, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outer)]


class Residual(nn.Module):
    """A body and a shortcut, which is projected where the widths or sizes differ."""

    def __init__(self, body: Sequence[nn.Module], inner: int, outer: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)
        self.short = nn.Sequential(*(conv_bn(inner, outer, 1, stride) if inner != outer or stride > 1 else ()))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.short(x))


def basic(width: int) -> Residual:
    return Residual([*conv_bn(width, width, 3), nn.ReLU(), *conv_bn(width, width, 3)], width, width)


def bottleneck(inner: int, outer: int, stride: int = 1) -> Residual:
    mid = outer // 4
    body = [*conv_bn(inner, mid, 1), nn.ReLU(), *conv_bn(mid, mid, 3, stride), nn.ReLU(), *conv_bn(mid, outer, 1)]
    return Residual(body, inner, outer, stride)


class Pooled(nn.Module):
    """The mean over all pixels."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def resnet50() -> nn.Module:
    layers: list[nn.Module] = [*conv_bn(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    inner = 64
    for outer, times, stride in ((256, 3, 1), (512, 4, 2), (1024, 6, 2), (2048, 3, 2)):
        for k in range(times):
            layers.append(bottleneck(inner, outer, stride if k == 0 else 1))
            inner = outer
    return nn.Sequential(*layers, Pooled(), nn.Linear(2048, 1000))


# MobileNetV2 -------------------------------------------------------------------------------------------------------


class Inverted(nn.Module):
    def __init__(self, inner: int, outer: int, expand: int, stride: int) -> None:
        super().__init__()
        hidden = inner * expand
        wide = [*conv_bn(inner, hidden, 1), nn.ReLU6()] if expand > 1 else []
        deep = [*conv_bn(hidden, hidden, 3, stride, groups=hidden), nn.ReLU6()]
        self.body = nn.Sequential(*wide, *deep, *conv_bn(hidden, outer, 1))
        self.short = inner == outer and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.short else self.body(x)


def mobilenetv2() -> nn.Module:
    layers: list[nn.Module] = [*conv_bn(3, 32, 3, 2), nn.ReLU6()]
    inner = 32
    table = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expand, outer, times, stride in table:
        for k in range(times):
            layers.append(Inverted(inner, outer, expand, stride if k == 0 else 1))
            inner = outer
    return nn.Sequential(*layers, *conv_bn(320, 1280, 1), nn.ReLU6(), Pooled(), nn.Linear(1280, 1000))


# HRNet -------------------------------------------------------------------------------------------------------------


def edge(widths: Sequence[int], source: int, target: int) -> nn.Module:
    """What a fusion does to one flow: 1x1 upwards (enlarged later), strided 3x3 downwards."""
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(*conv_bn(widths[source], widths[target], 1))
    steps: list[nn.Module] = []
    for _ in range(source + 1, target):
        steps += [*conv_bn(widths[source], widths[source], 3, 2), nn.ReLU()]
    return nn.Sequential(*steps, *conv_bn(widths[source], widths[target], 3, 2))


def enlarged(x: Tensor, like: Tensor) -> Tensor:
    if x.shape[2:] == like.shape[2:]:
        return x
    return functional.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)


class Exchange(nn.Module):
    """One module of a stage: four basic blocks on each branch, then the fusion."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        every = range(len(widths))
        self.branches = nn.ModuleList(nn.Sequential(*(basic(w) for _ in range(4))) for w in widths)
        self.edges = nn.ModuleList(nn.ModuleList(edge(widths, j, i) for j in every) for i in every)

    def forward(self, flows: list[Tensor]) -> list[Tensor]:
        flows = [branch(x) for branch, x in zip(self.branches, flows, strict=True)]
        return [torch.relu(self.joined(i, flows)) for i in range(len(flows))]

    def joined(self, target: int, flows: list[Tensor]) -> Tensor:
        parts = [enlarged(self.edges[target][j](x), flows[target]) for j, x in enumerate(flows)]
        return sum(parts[1:], parts[0])


class HRNet(nn.Module):
    """HRNetV2 with `width` channels at a quarter of the resolution, and its segmentation head."""

    def __init__(self, width: int, classes: int = 19) -> None:
        super().__init__()
        widths = [width << i for i in range(4)]
        self.stem = nn.Sequential(
            *conv_bn(3, 64, 3, 2),
            nn.ReLU(),
            *conv_bn(64, 64, 3, 2),
            nn.ReLU(),
            bottleneck(64, 256),
            *(bottleneck(256, 256) for _ in range(3)),
        )
        self.first = nn.Sequential(*conv_bn(256, width, 3), nn.ReLU())
        new = [(256, 2 * width), (2 * width, 4 * width), (4 * width, 8 * width)]
        self.grown = nn.ModuleList(nn.Sequential(*conv_bn(a, b, 3, 2), nn.ReLU()) for a, b in new)
        self.stages = nn.ModuleList(
            nn.Sequential(*(Exchange(widths[: i + 2]) for _ in range(times))) for i, times in enumerate((1, 4, 3))
        )
        total = sum(widths)
        self.head = nn.Sequential(
            nn.Conv2d(total, total, 1), nn.BatchNorm2d(total), nn.ReLU(), nn.Conv2d(total, classes, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        flows = [self.first(x), self.grown[0](x)]
        for i, stage in enumerate(self.stages):
            flows = stage(flows if i == 0 else [*flows, self.grown[i](flows[-1])])
        result: Tensor = self.head(torch.cat([enlarged(f, flows[0]) for f in flows], 1))
        return result


# SegFormer ---------------------------------------------------------------------------------------------------------


class OnMap(nn.Module):
    """A module of tokens [N, C] applied to a map [C, H, W]."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        tokens: Tensor = self.inner(x.flatten(2).transpose(1, 2))
        return tokens.transpose(1, 2).unflatten(2, x.shape[2:])


class Attention(nn.Module):
    """Attention whose keys and values come from a smaller map."""

    def __init__(self, width: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.reduce = nn.Sequential()
        if reduction > 1:
            self.reduce.append(nn.Conv2d(width, width, reduction, reduction))
            self.reduce.append(OnMap(nn.LayerNorm(width)))

    def forward(self, x: Tensor) -> Tensor:
        q = self.split(self.q(x.flatten(2).transpose(1, 2)))
        source = self.reduce(x).flatten(2).transpose(1, 2)
        k, v = self.split(self.k(source)), self.split(self.v(source))
        scores = torch.softmax(q @ k.transpose(2, 3) * q.shape[-1] ** -0.5, -1)
        mixed: Tensor = self.o((scores @ v).transpose(1, 2).flatten(2))
        return mixed.transpose(1, 2).unflatten(2, x.shape[2:])

    def split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class Block(nn.Module):
    def __init__(self, width: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.before = OnMap(nn.LayerNorm(width))
        self.attention = Attention(width, heads, reduction)
        self.mlp = nn.Sequential(
            OnMap(nn.LayerNorm(width)),
            OnMap(nn.Linear(width, 4 * width)),
            nn.Conv2d(4 * width, 4 * width, 3, 1, 1, groups=4 * width),
            nn.GELU(),
            OnMap(nn.Linear(4 * width, width)),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.before(x))
        result: Tensor = x + self.mlp(x)
        return result


class SegFormer(nn.Module):
    """SegFormer-B0."""

    def __init__(self, classes: int = 150) -> None:
        super().__init__()
        table = ((3, 32, 7, 1, 8), (32, 64, 3, 2, 4), (64, 160, 3, 5, 2), (160, 256, 3, 8, 1))
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(inner, width, kernel, (kernel + 1) // 2, kernel // 2),
                OnMap(nn.LayerNorm(width)),
                *(Block(width, heads, reduction) for _ in range(2)),
                OnMap(nn.LayerNorm(width)),
            )
            for inner, width, kernel, heads, reduction in table
        )
        self.levels = nn.ModuleList(OnMap(nn.Linear(width, 256)) for _, width, *_ in table)
        self.head = nn.Sequential(*conv_bn(1024, 256, 1), nn.ReLU(), nn.Conv2d(256, classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        flows: list[Tensor] = []
        for stage in self.stages:
            flows.append(stage(flows[-1] if flows else x))
        same = [enlarged(level(f), flows[0]) for level, f in zip(self.levels, flows, strict=True)]
        result: Tensor = self.head(torch.cat(same[::-1], 1))
        return result


# U-Net -------------------------------------------------------------------------------------------------------------


def double(inner: int, outer: int) -> nn.Module:
    return nn.Sequential(*conv_bn(inner, outer, 3), nn.ReLU(), *conv_bn(outer, outer, 3), nn.ReLU())


class UNet(nn.Module):
    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        widths = [64 << i for i in range(5)]
        self.down = nn.ModuleList(double(a, b) for a, b in zip([3, *widths], widths, strict=False))
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, 2) for w in widths[-2::-1])
        self.up = nn.ModuleList(double(2 * w, w) for w in widths[-2::-1])
        self.head = nn.Conv2d(64, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept: list[Tensor] = []
        for i, cell in enumerate(self.down):
            x = cell(functional.max_pool2d(x, 2) if i else x)
            kept.append(x)
        for enlarge, cell, skip in zip(self.enlarge, self.up, kept[-2::-1], strict=True):
            x = cell(torch.cat([skip, enlarge(x)], 1))
        result: Tensor = self.head(x)
        return result
