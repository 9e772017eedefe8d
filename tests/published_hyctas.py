"""HyCTAS in plain torch, written from the paper and what is known of the authors' code, independent of the language.

Names of modules are those of the released state dictionaries. `Network(arch, ...)` takes the released encoding.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = (8, 16, 32)


def sized(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=False)


def halved(x: Tensor) -> Tensor:
    return sized(x, (x.shape[2] // 2, x.shape[3] // 2))


class Conv(nn.Conv2d):
    """A convolution, its normalisation within, and ReLU if asked for."""

    def __init__(self, inner: int, outer: int, kernel: int, stride: int = 1, relu: bool = False) -> None:
        super().__init__(inner, outer, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outer)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(super().forward(x))
        return out.relu() if self.relu else out


class Skip(nn.Module):
    def __init__(self, inner: int, outer: int, stride: int = 1) -> None:
        super().__init__()
        assert stride == 1
        self.conv1 = Conv(inner, outer, 1, relu=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv1(x)
        return out


class Plain(nn.Module):
    def __init__(self, inner: int, outer: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = Conv(inner, outer, 3, stride, relu=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


class PlainDouble(nn.Module):
    def __init__(self, inner: int, outer: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = Conv(inner, outer, 3, stride, relu=True)
        self.conv2 = Conv(outer, outer, 3, relu=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(self.conv1(x))
        return out


class Light(nn.Module):
    """`body` at half the resolution, with a bypass unless it halves."""

    def __init__(self, inner: int, outer: int, stride: int = 1) -> None:
        super().__init__()
        self.build(inner, outer)
        self.downsample = Conv(inner, outer, 1) if stride == 1 else None

    def build(self, inner: int, outer: int) -> None:
        self.conv = Conv(inner, outer, 3)

    def body(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out

    def forward(self, x: Tensor) -> Tensor:
        small = self.body(halved(x))
        if self.downsample is None:
            return small.relu()
        return (sized(small, x.shape[2:]) + self.downsample(x)).relu()


class Double(Light):
    def build(self, inner: int, outer: int) -> None:
        self.conv1 = Conv(inner, outer, 3, relu=True)
        self.conv2 = Conv(outer, outer, 3)

    def body(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(self.conv1(x))
        return out


class Attend(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.query_conv = nn.Conv2d(width, width // 8, 1)
        self.key_conv = nn.Conv2d(width, width // 8, 1)
        self.value_conv = nn.Conv2d(width, width, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (conv(x).flatten(2) for conv in (self.query_conv, self.key_conv, self.value_conv))
        seen = torch.einsum("bcn,bcm->bnm", q, k).softmax(2)
        return self.gamma * torch.einsum("bcm,bnm->bcn", v, seen).view_as(x) + x


class Mesa(nn.Module):
    def __init__(self, inner: int, outer: int, stride: int = 1) -> None:
        super().__init__()
        self.net1 = Conv(inner, outer, 1, relu=True)
        pool = nn.AvgPool2d(2) if stride == 2 else nn.Identity()
        self.net2 = nn.Sequential(Attend(outer), pool, nn.BatchNorm2d(outer), nn.ReLU())
        self.net3 = Conv(outer, outer, 1)
        plain = inner == outer and stride == 1
        self.shortcut = nn.Identity() if plain else Conv(inner, outer, 3 if stride == 2 else 1, stride, relu=True)

    def forward(self, x: Tensor) -> Tensor:
        return (self.net3(self.net2(self.net1(x))) + self.shortcut(x)).relu()


class HalfAttention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.net1 = Conv(width, width, 1, relu=True)
        self.net2 = nn.Sequential(Attend(width), nn.Identity(), nn.BatchNorm2d(width), nn.ReLU())
        self.net3 = Conv(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        small = self.net2(halved(self.net1(x)))
        return (self.net3(sized(small, [2 * side for side in small.shape[2:]])) + x).relu()


class Fusion(nn.Module):
    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.conv_1x1 = Conv(inner, outer, 1, relu=True)
        gate = Conv(outer, outer, 1, relu=True), Conv(outer, outer, 1)
        self.channel_attention = nn.Sequential(nn.AdaptiveAvgPool2d(1), *gate)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_1x1(x)
        return x + x * self.channel_attention(x).sigmoid()


CELLS = (Skip, Plain, Light, Double, Mesa)


class Slot(nn.Module):
    """A cell under the name that it has in the released code."""

    def __init__(self, op: int, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        cell = CELLS[op](inner, outer, stride)
        self._op = nn.Module()
        self._op._op = cell if op == 0 else nn.Sequential(cell)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self._op._op(x)
        return out


class Pair(nn.Module):
    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.conv1 = Conv(inner, outer, 3, 2, relu=True)
        self.conv2 = Conv(outer, outer, 3, relu=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(self.conv1(x))
        return out


Branch = list[tuple[str, int, int]]
"""For each layer: the name of its cell, its stride, its width."""


class Backbone(nn.Module):
    def __init__(self, arch: Mapping[str, Any], filters: int, ratio: float) -> None:
        super().__init__()
        self.arch = arch

        def width(k: int, w: float) -> int:
            return round(k * filters * w)

        first, quarter, eighth = 2 * width(2, ratio), 2 * width(4, ratio), width(8, ratio)
        self.quarter, self.eighth = quarter, eighth
        self.stem1 = nn.Sequential(Conv(3, first, 3, 2), Pair(first, quarter))
        self.stem2 = Pair(quarter, eighth)
        self.cells = nn.ModuleDict()
        n = [width(s, ratio) for s in STRIDES]
        passed: list[list[int]] = []
        for b, last in enumerate(arch["lasts"]):
            widths, inner = [], eighth
            for layer, (op, path, down) in enumerate(
                zip(arch["ops"][b], arch["paths"][b], arch["downs"][b], strict=True)
            ):
                end = layer == len(arch["ops"][b]) - 1
                outer = n[path] if end else width(STRIDES[path + down], arch["widths"][b][layer])
                twin = next((f"{layer}-{a}" for a in range(b) if self.same(a, b, layer)), None)
                made = self.cells[twin] if twin else Slot(op, inner, outer, 1 + down)
                self.cells[f"{layer}-{b}"] = made
                if down:
                    widths.append(inner)
                inner = outer
            passed.append([*widths, inner])
            if last == 2:
                self.arms32 = nn.ModuleList([Conv(n[2], n[1], 1), Conv(n[1], n[0], 1)])
                self.refines32 = nn.ModuleList([Conv(n[1] + widths[1], n[1], 3), Conv(n[0] + widths[0], n[0], 3)])
            elif last == 1:
                self.arms16 = Conv(n[1], n[0], 1)
                self.refines16 = Conv(n[0] + widths[0], n[0], 3)
        self.width = n[0] * len(passed)
        self.ffm = Fusion(self.width, self.width)
        if any(len(p) > 1 for p in passed):
            self.ffm16 = Fusion(sum(p[1] for p in passed if len(p) > 1), n[1])
        if 2 in arch["lasts"]:
            self.ffm32 = Fusion(n[2], n[2])

    def same(self, a: int, b: int, layer: int) -> bool:
        """Whether branches came to this layer alike and do the same in it; the last layer is its branch's own."""
        ops, paths, widths = self.arch["ops"], self.arch["paths"], self.arch["widths"]
        if layer + 1 >= min(len(ops[a]), len(ops[b])):
            return False
        key = [(ops[k][: layer + 1], paths[k][: layer + 2], widths[k][: layer + 1]) for k in (a, b)]
        return bool(key[0] == key[1])

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        s4 = self.stem1(x)
        s8 = self.stem2(s4)
        ends = [self.branch(b, s8) for b in range(len(self.arch["lasts"]))]
        out = {"s4": s4, "s8_stem": s8, "s8_feat": self.ffm(torch.cat([self.merged(e) for e in ends], 1))}
        if any(len(e) > 1 for e in ends):
            out["s16_feat"] = self.ffm16(torch.cat([e[1] for e in ends if len(e) > 1], 1))
        if any(len(e) > 2 for e in ends):
            out["s32_feat"] = self.ffm32(next(e[2] for e in ends if len(e) > 2))
        return out

    def branch(self, b: int, x: Tensor) -> list[Tensor]:
        """The last flow at each stride."""
        ends = []
        for layer, down in enumerate(self.arch["downs"][b]):
            if down:
                ends.append(x)
            x = self.cells[f"{layer}-{b}"](x)
        return [*ends, x]

    def merged(self, ends: list[Tensor]) -> Tensor:
        if len(ends) == 1:
            return ends[0]
        low = ends[-1]
        arms = self.arms32 if len(ends) == 3 else [self.arms16]
        refines = self.refines32 if len(ends) == 3 else [self.refines16]
        for arm, refine, finer in zip(arms, refines, ends[-2::-1], strict=True):
            low = refine(torch.cat([sized(arm(low), finer.shape[2:]), finer], 1))
        return low


class Head(nn.Module):
    """The segmentation heads 0, 1 and 2."""

    def __init__(self, width: int, quarter: int, eighth: int, classes: int, kind: int) -> None:
        super().__init__()
        inner = width if width <= 256 else width // 2
        self.att_sa = HalfAttention(width)
        if kind == 2:
            self.feature_projection_s8 = Conv(eighth, 64, 1)
            self.decoder = Double(width + 64, width)
        more = (0, 48, 32)[kind]
        if more:
            self.feature_projection_s4 = Conv(quarter, more, 1)
        self.seg_head = Double(width + more, inner)
        self.seg_conv = Conv(inner, inner, 3, relu=True)
        self.predictor = nn.Conv2d(inner, classes, 1)
        self.kind = kind

    def forward(self, x: Tensor, s4: Tensor, s8: Tensor, size: Sequence[int]) -> Tensor:
        x = self.att_sa(x)
        if self.kind == 2:
            x = self.decoder(torch.cat([x, self.feature_projection_s8(s8)], 1))
        if self.kind:
            x = torch.cat([sized(x, s4.shape[2:]), self.feature_projection_s4(s4)], 1)
        return sized(self.predictor(self.seg_conv(self.seg_head(x))), size)


class Network(nn.Module):
    """All outputs by the names of the released code; `aux` adds the auxiliary heads."""

    def __init__(
        self, arch: Mapping[str, Any], filters: int, ratio: float, head: int, classes: int, aux: bool = False
    ) -> None:
        super().__init__()
        self.backbone = Backbone(arch, filters, ratio)
        stem = self.backbone.quarter, self.backbone.eighth
        self.sem_head = Head(self.backbone.width, *stem, classes, head)
        n16, n32 = round(16 * filters * ratio), round(32 * filters * ratio)
        if aux and hasattr(self.backbone, "ffm16"):
            self.sem_head_aux16 = Head(n16, *stem, classes, 0)
        if aux and hasattr(self.backbone, "ffm32"):
            self.sem_head_aux32 = Head(n32, *stem, classes, 0)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.backbone(x)
        stem = found["s4"], found["s8_stem"], x.shape[2:]
        out = {"logits": self.sem_head(found["s8_feat"], *stem), **found}
        for stride in (16, 32):
            if hasattr(self, f"sem_head_aux{stride}"):
                out[f"aux{stride}"] = getattr(self, f"sem_head_aux{stride}")(found[f"s{stride}_feat"], *stem)
        return out


def randomised(module: nn.Module, seed: int) -> nn.Module:
    """Numbers in all weights and statistics under which nothing hides."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if name.endswith(("running_var", "gamma")) or (value.dim() == 1 and name.endswith("norm.weight")):
                value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
            elif value.is_floating_point():
                fan = max(1, value[0].numel()) if value.dim() > 1 else 100
                value.copy_(torch.randn(value.shape, generator=generator) * (2 / fan) ** 0.5)
    return module.eval()
