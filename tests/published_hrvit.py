"""HRViT in plain torch, written from its description and checked on the numeric cases; independent of the language.

Modules carry the names of the released state dictionary (facebookresearch/HRViT), so that a state fits both ways.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import floor, log2

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class Config:
    """One HRViT. `modules[m][i]`: blocks of branch i in module m; the others have one value for each branch."""

    widths: tuple[int, ...]
    modules: tuple[tuple[int, ...], ...]
    dim_head: int
    windows: tuple[int, ...]
    ratios: tuple[float, ...]
    stem: int = 64


class Attention(nn.Module):
    """Half of the channels within stripes of rows, half within stripes of columns; [B, N, C] -> the same."""

    def __init__(self, c: int, dim_head: int, window: int) -> None:
        super().__init__()
        self.half, self.window = c // 2, window
        self.heads = max(1, self.half // dim_head)
        self.scale = min(dim_head, self.half) ** -0.5
        self.to_qkv = nn.Linear(c, 2 * c)
        self.parallel_conv = nn.Sequential(nn.Hardswish(), nn.Conv2d(c, c, 3, 1, 1, groups=c))
        self.to_out = nn.Sequential(nn.Linear(c, c))
        self.attn_bn = nn.BatchNorm1d(c)
        nn.init.zeros_(self.attn_bn.weight)

    def forward(self, x: Tensor, height: int) -> Tensor:
        q, v = (t.transpose(1, 2).unflatten(2, (height, -1)) for t in self.to_qkv(x).chunk(2, -1))
        across = self.stripes(q[:, : self.half], v[:, : self.half])
        down = self.stripes(q[:, self.half :].transpose(2, 3), v[:, self.half :].transpose(2, 3)).transpose(2, 3)
        y = F.hardswish(torch.cat([across, down], 1) + self.parallel_conv(v)).flatten(2).transpose(1, 2)
        out = self.to_out(y)
        normal: Tensor = self.attn_bn(out.flatten(0, 1))
        return normal.view_as(out)

    def stripes(self, q: Tensor, v: Tensor) -> Tensor:
        """Window after window of `window` rows, and all columns; rows are added below, where they lack, and not seen."""
        rows, columns = q.shape[2:]
        more = -rows % self.window
        q, v = (F.pad(t, (0, 0, 0, more)) for t in (q, v))
        found = []
        for start in range(0, rows + more, self.window):
            one, two = (t[:, :, start : start + self.window].flatten(2).unflatten(1, (self.heads, -1)) for t in (q, v))
            logits = one.transpose(2, 3) @ two * self.scale
            there = min(self.window, rows - start) * columns
            logits[..., there:] -= 100
            mixed = two @ logits.softmax(-1).transpose(2, 3)
            found.append(mixed.flatten(1, 2).unflatten(2, (self.window, columns)))
        return torch.cat(found, 2)[:, :, :rows]


class Shortcut(nn.Module):
    """Two factors of a map of the channels, GELU between them."""

    def __init__(self, c: int) -> None:
        super().__init__()
        power = floor(log2(c))
        p = 2 ** (power - power // 2)
        self.proj_right, self.proj_left = nn.Linear(p, p), nn.Linear(c // p, c // p)

    def forward(self, x: Tensor) -> Tensor:
        matrix = x.unflatten(2, (self.proj_left.in_features, self.proj_right.in_features))
        inner = F.gelu(self.proj_right(matrix).transpose(2, 3))
        out: Tensor = self.proj_left(inner)
        return out.transpose(2, 3).flatten(2)


class MixCFN(nn.Module):
    """A feed-forward part with two depthwise convolutions, one for each half of its hidden channels."""

    def __init__(self, c: int, ratio: float) -> None:
        super().__init__()
        hidden = int(c * ratio)
        half = hidden // 2
        self.fc1, self.fc2 = nn.Linear(c, hidden), nn.Linear(hidden, c)
        convs = {f"conv_{k}": nn.Conv2d(half, half, k, 1, k // 2, groups=half) for k in (3, 5)}
        self.conv = nn.ModuleDict(convs)

    def forward(self, x: Tensor, height: int) -> Tensor:
        wide = self.fc1(x).transpose(1, 2).unflatten(2, (height, -1)).chunk(2, 1)
        mixed = torch.cat([conv(part) for conv, part in zip(self.conv.values(), wide, strict=True)], 1)
        out: Tensor = self.fc2(F.gelu(mixed.flatten(2).transpose(1, 2)))
        return out


class Block(nn.Module):
    def __init__(self, c: int, dim_head: int, window: int, ratio: float) -> None:
        super().__init__()
        self.attn_norm, self.ffn_norm = nn.LayerNorm(c), nn.LayerNorm(c)
        self.attn, self.des, self.ffn = Attention(c, dim_head, window), Shortcut(c), MixCFN(c, ratio)

    def forward(self, x: Tensor, height: int) -> Tensor:
        x = x + self.attn(self.attn_norm(x), height) + self.des(x)
        out: Tensor = x + self.ffn(self.ffn_norm(x), height)
        return out


class Embed(nn.Module):
    """[B, C, H, W] -> [B, H W, width]."""

    def __init__(self, c: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(nn.Conv2d(c, width, 1), nn.Conv2d(width, width, 3, 1, 1, groups=width))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.proj(x).flatten(2).transpose(1, 2))
        return out


class Fusion(nn.Module):
    """Every flow to every branch: `blocks[i][j]` brings flow j to branch i."""

    def __init__(self, inner: Sequence[int], outer: Sequence[int]) -> None:
        super().__init__()
        rows = [[self.path(i, j, inner[j], outer[i]) for j in range(len(inner))] for i in range(len(outer))]
        self.blocks = nn.ModuleList(nn.ModuleList(row) for row in rows)

    @staticmethod
    def path(i: int, j: int, c: int, n: int) -> nn.Module:
        if i == j:
            return nn.Identity()
        if j > i:
            return nn.Sequential(
                nn.Conv2d(c, n, 1), nn.BatchNorm2d(n), nn.Upsample(scale_factor=2 ** (j - i), mode="nearest")
            )
        r = 2 ** (i - j)
        deep = nn.Conv2d(c, c, r + 1, r, r // 2, groups=c, bias=False)
        return nn.Sequential(deep, nn.BatchNorm2d(c), nn.Conv2d(c, n, 1), nn.BatchNorm2d(n))

    def forward(self, x: list[Tensor]) -> list[Tensor]:
        return [F.gelu(torch.stack([path(f) for path, f in zip(row, x, strict=True)]).sum(0)) for row in self.blocks]


class Stage(nn.Module):
    """A module of the paper: embedding, blocks and a last normalisation in each branch."""

    def __init__(self, inner: Sequence[int], config: Config, blocks: Sequence[int]) -> None:
        super().__init__()
        c = config
        each = list(zip(inner, c.widths, c.windows, c.ratios, blocks, strict=False))
        self.patch_embed = nn.ModuleList(Embed(old, width) for old, width, *_ in each)
        self.branches = nn.ModuleList(
            nn.ModuleList(Block(width, c.dim_head, window, ratio) for _ in range(n))
            for _, width, window, ratio, n in each
        )
        self.norm = nn.ModuleList(nn.LayerNorm(width) for _, width, *_ in each)

    def forward(self, x: list[Tensor]) -> list[Tensor]:
        out = []
        for flow, embed, blocks, norm in zip(x, self.patch_embed, self.branches, self.norm, strict=True):
            tokens = embed(flow)
            for block in blocks:
                tokens = block(tokens, flow.shape[2])
            out.append(norm(tokens).transpose(1, 2).unflatten(2, flow.shape[2:]))
        return out


class Stem(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.conv1, self.bn1 = nn.Conv2d(3, half, 3, 2, 1), nn.BatchNorm2d(half)
        self.conv2, self.bn2 = nn.Conv2d(half, width, 3, 2, 1), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class Bottleneck(nn.Module):
    def __init__(self, c: int, width: int) -> None:
        super().__init__()
        n = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(c, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, n, 1, bias=False), nn.BatchNorm2d(n)
        projected = nn.Sequential(nn.Conv2d(c, n, 1, bias=False), nn.BatchNorm2d(n))
        self.downsample = projected if c != n else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class Classifier(nn.Module):
    def __init__(self, inner: Sequence[int], widths: Sequence[int], classes: int, features: int) -> None:
        super().__init__()
        grown = [4 * w for w in widths]
        self.incre_modules = nn.ModuleList(nn.Sequential(Bottleneck(c, w)) for c, w in zip(inner, widths, strict=True))
        self.downsamp_modules = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, 2, 1), nn.BatchNorm2d(b), nn.ReLU()) for a, b in pairwise(grown)
        )
        self.final_layer = nn.Sequential(nn.Conv2d(grown[-1], features, 1), nn.BatchNorm2d(features), nn.ReLU())
        self.classifier = nn.Linear(features, classes)

    def forward(self, x: list[Tensor]) -> Tensor:
        y = self.incre_modules[0](x[0])
        for down, grow, flow in zip(self.downsamp_modules, self.incre_modules[1:], x[1:], strict=True):
            y = grow(flow) + down(y)
        out: Tensor = self.classifier(self.final_layer(y).mean((2, 3)))
        return out


class Conv(nn.Module):
    """A 1x1 convolution as mmcv names its parts."""

    def __init__(self, c: int, n: int, normal: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c, n, 1, bias=not normal)
        if normal:
            self.bn = nn.BatchNorm2d(n)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return F.relu(self.bn(y)) if hasattr(self, "bn") else y


class SegFormer(nn.Module):
    def __init__(self, inner: Sequence[int], width: int, classes: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(Conv(c, width, normal=False) for c in inner)
        self.fusion_conv = Conv(width * len(inner), width, normal=True)
        self.conv_seg = nn.Conv2d(width, classes, 1)

    def forward(self, x: list[Tensor]) -> Tensor:
        size = x[0].shape[2:]
        flows = [F.interpolate(conv(f), size, mode="bilinear") for conv, f in zip(self.convs, x, strict=True)]
        out: Tensor = self.conv_seg(self.fusion_conv(torch.cat(flows, 1)))
        return out


class HRViT(nn.Module):
    """The backbone: four maps; with a head, what that makes of them."""

    def __init__(self, config: Config, head: nn.Module | None = None) -> None:
        super().__init__()
        self.stem = Stem(config.stem)
        features: list[nn.Module] = []
        inner: Sequence[int] = (config.stem,)
        for blocks in config.modules:
            outer = [*inner, *config.widths[len(inner) : len(blocks)]]
            features += [Fusion(inner, outer), Stage(outer, config, blocks)]
            inner = config.widths[: len(blocks)]
        self.features = nn.Sequential(*features)
        if head is not None:
            self.head = head

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        maps: list[Tensor] = self.features([self.stem(x)])
        return self.head(maps) if hasattr(self, "head") else maps


class Segmentor(nn.Module):
    """Backbone and head as mmsegmentation names them."""

    def __init__(self, config: Config, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.decode_head = HRViT(config), head

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.decode_head(self.backbone(x))
        return out
