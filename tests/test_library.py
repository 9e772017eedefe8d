"""The standard library: every cell is documented, formatted, and has the shape, the parameters and the MACs of its formula.

The formulas here are written from the papers and counted layer by layer; torch counts the network a second time.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hrdsl.cli.common import UsageError
from hrdsl.cli.explain import explain
from hrdsl.compiler.api import Compiled, compile_module
from hrdsl.compiler.module import extract
from hrdsl.dsl.diagnostic import Source
from hrdsl.dsl.format import WIDTH, format_text
from hrdsl.dsl.modules import STD, Module, library, load_source
from hrdsl.dsl.syntax import Block

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(p.stem for p in STD.glob("*.arch"))
USES = "hrdsl 1\n\n" + "".join(f"use std.{name}\n" for name in MODULES)

# formulas ----------------------------------------------------------------------------------------------------------


class Tally(NamedTuple):
    """Parameters and MACs."""

    parameters: int
    macs: int


def total(*parts: Tally) -> Tally:
    return Tally(sum(p.parameters for p in parts), sum(p.macs for p in parts))


def times(n: int, part: Tally) -> Tally:
    return Tally(n * part.parameters, n * part.macs)


def conv(c: int, n: int, k: int, points: int, bias: bool = False) -> Tally:
    return Tally(c * n * k * k + n * bias, c * n * k * k * points)


def depthwise(c: int, k: int, points: int, bias: bool = False) -> Tally:
    return Tally(c * k * k + c * bias, c * k * k * points)


def linear(c: int, n: int, rows: int = 1) -> Tally:
    return Tally(c * n + n, c * n * rows)


def norm(c: int) -> Tally:
    return Tally(2 * c, 0)


def attend(queries: int, keys: int, c: int) -> Tally:
    return Tally(0, 2 * queries * keys * c)


def conv_bn(c: int, n: int, k: int, points: int) -> Tally:
    return total(conv(c, n, k, points), norm(n))


def raised(c: int, n: int, points: int) -> Tally:
    """A 1x1 convolution with a bias, then normalisation."""
    return total(conv(c, n, 1, points, bias=True), norm(n))


# one flow: a map [16, 32, 32] --------------------------------------------------------------------------------------

C, S = 16, 32
P = S * S
Q = P // 4  # pixels behind a stride of 2
H = P // 16  # behind a stride of 4
MAP = (C, S, S)


def self_attention(c: int, p: int, keys: int) -> Tally:
    return total(times(4, Tally(c * c + c, 0)), Tally(0, 2 * c * c * (p + keys)), attend(p, keys, c))


def windowed(count: int, points: int) -> Tally:
    return total(times(4, conv(C, C, 1, P, bias=True)), times(count, attend(points, points, C)))


def relative(count: int, queries: int, keys: int, c: int, values: int, tables: int) -> Tally:
    return Tally(tables, count * queries * keys * (2 * c + values))


def around(c: int, n: int, p: int) -> Tally:
    """A bottleneck at a stride of 2 around a 3x3 convolution at a quarter of the width."""
    return total(
        conv_bn(c, n // 4, 1, 4 * p), conv_bn(n // 4, n // 4, 3, p), conv_bn(n // 4, n, 1, p), conv_bn(c, n, 1, p)
    )


def again(n: int, p: int) -> Tally:
    """The same with a shortcut."""
    return total(conv_bn(n, n // 4, 1, p), conv_bn(n // 4, n // 4, 3, p), conv_bn(n // 4, n, 1, p))


def behind_factor(c: int, p: int) -> Tally:
    """Attention with queries and keys of an eighth of the width, times a factor."""
    narrow = times(2, conv(c, c // 8, 1, p, bias=True))
    return total(narrow, conv(c, c, 1, p, bias=True), Tally(1, p * p * (c // 8 + c)))


def fused(c: int, n: int, p: int) -> Tally:
    return total(conv_bn(c, n, 1, p), times(2, conv_bn(n, n, 1, 1)))


def decoded(c: int, n: int, hidden: int, maps: int, p: int) -> Tally:
    half = total(conv_bn(c, n, 3, p // 4), conv_bn(n, n, 3, p // 4), conv_bn(c, n, 1, p))
    return total(half, conv_bn(n, hidden, 3, p), conv(hidden, maps, 1, p, bias=True))


def group(c: int, h: int, k: int, p: int, q: int) -> Tally:
    """The hidden channels of one kernel: from p pixels to q."""
    return total(conv_bn(c, h, 1, p), depthwise(h, k, q), norm(h))


def tokens(c: int, n: int, out: int, d: int) -> Tally:
    """The lightweight transformer: n tokens of d pixels, as the closed forms of its code say it."""
    parameters = (c + 2) * n + 2 * n + 12 * d * d + 8 * d + n * d + n * out + 2 * out
    return Tally(parameters, d * n * (c + 2 + out) + 12 * n * d * d + 4 * n * n * d)


def wide_layer(n: int, d: int) -> Tally:
    """Attention among n tokens and a part four times as wide, with biases and two norms."""
    parts = times(4, linear(d, d, n)), attend(n, n, d), linear(d, 4 * d, n), linear(4 * d, d, n), times(2, norm(d))
    return total(*parts)


def residual(c: int, n: int, q: int, same: bool = False) -> Tally:
    """`blocks.residual` with q pixels behind it."""
    body = total(conv_bn(c, n, 3, q), conv_bn(n, n, 3, q))
    return body if same else total(body, conv_bn(c, n, 1, q))


POOLED = total(self_attention(C, P, H), conv(C, C, 1, H, bias=True), norm(C))
FEED = total(conv(C, 64, 1, P, bias=True), depthwise(64, 3, P, bias=True), conv(64, C, 1, P, bias=True))
READ = total(Tally(8 * C, 0), times(2, linear(C, C, P)), attend(8, P, C))
MIX = total(times(2, norm(C)), times(4, linear(C, C, 8)), attend(8, 8, C), linear(C, 32, 8), linear(32, C, 8))
SQUEEZE = total(linear(C, 8), linear(8, C))
TRIO = total(
    conv_bn(C, 16, 1, P),
    times(2, total(times(3, conv(16, 16, 1, P)), relative(S, S, S, 16, 16, 63 * 16))),
    norm(16),
    times(2, conv_bn(16, 32, 1, P)),
)
"""The largest block: axial attention at half the width, all of it queries, keys and values of one head."""
CROSS = total(times(3, linear(C, C, P)), depthwise(C, 3, P, bias=True), norm(C), times(2 * 5, attend(7 * S, 7 * S, 8)))
FACTORS = times(2, linear(4, 4, 4 * P))
MIXED = total(
    times(2, linear(C, 16, P)), depthwise(16, 3, P, bias=True), depthwise(16, 5, P, bias=True), linear(32, C, P)
)
SEPARABLE = total(depthwise(C, 5, P), norm(C), conv_bn(C, C, 1, P))
DENSE = total(norm(C), conv_bn(C, 32, 1, P), conv(32, 8, 3, P))

ONE: dict[str, tuple[tuple[int, ...], Tally]] = {
    "blocks.conv_bn_relu(3, 24, 2)": ((24, 16, 16), conv_bn(C, 24, 3, Q)),
    "blocks.residual(16)": (MAP, times(2, conv_bn(C, C, 3, P))),
    "blocks.residual(24, 5, 2)": (
        (24, 16, 16),
        total(conv_bn(C, 24, 5, Q), conv_bn(24, 24, 5, Q), conv_bn(C, 24, 1, Q)),
    ),
    "blocks.bottleneck(32, stride = 2)": (
        (32, 16, 16),
        total(conv_bn(C, 8, 1, P), conv_bn(8, 8, 3, Q), conv_bn(8, 32, 1, Q), conv_bn(C, 32, 1, Q)),
    ),
    "blocks.inverted_residual(24, 5)": (
        (24, 32, 32),
        total(conv_bn(C, 64, 1, P), depthwise(64, 5, P), norm(64), conv_bn(64, 24, 1, P)),
    ),
    "blocks.separable(24)": (
        (24, 32, 32),
        total(depthwise(C, 5, P), norm(C), times(2, conv_bn(C, 24, 1, P))),
    ),
    "blocks.light_attention(16)": (
        MAP,
        total(times(3, conv_bn(C, 8, 1, P)), attend(P, P, 8), depthwise(8, 3, P), norm(8), conv_bn(8, C, 1, P)),
    ),
    "blocks.convnext": (
        MAP,
        total(
            depthwise(C, 7, P, bias=True),
            norm(C),
            conv(C, 64, 1, P, bias=True),
            conv(64, C, 1, P, bias=True),
            Tally(C, 0),
        ),
    ),
    "blocks.dense_layer(8)": ((24, 32, 32), DENSE),
    "blocks.dense(8, 2)": ((32, 32, 32), total(DENSE, norm(24), conv_bn(24, 32, 1, P), conv(32, 8, 3, P))),
    "attention.project(24)": ((24, 32, 32), conv(C, 24, 1, P, bias=True)),
    "attention.self_attention(2)": (MAP, self_attention(C, P, P)),
    "attention.pooled_attention(2)": (MAP, POOLED),
    "attention.window_attention(5, heads = 2)": (MAP, windowed(7 * 7, 25)),
    "attention.window_attention(7, 0)": (MAP, windowed(5, 7 * S)),
    "attention.axial_attention(2)": (MAP, times(2, windowed(S, S))),
    "attention.bottleneck_attention(32)": (
        (32, 32, 32),
        total(
            conv_bn(C, 8, 1, P),
            times(3, conv(8, 8, 1, P)),
            attend(P, P, 8),
            norm(8),
            conv_bn(8, 32, 1, P),
            conv_bn(C, 32, 1, P),
        ),
    ),
    "attention.mix_feed_forward": (MAP, FEED),
    "attention.transformer(2)": (MAP, total(POOLED, FEED, times(2, norm(C)))),
    "attention.read_tokens(8, 2)": ((8, C), READ),
    "to_tokens -> attention.mix_tokens": (
        (P, C),
        total(times(2, norm(C)), times(4, linear(C, C, P)), attend(P, P, C), linear(C, 32, P), linear(32, C, P)),
    ),
    "attention.token_transformer(8, 2)": (
        MAP,
        total(READ, MIX, times(2, linear(C, C, P)), times(2, linear(C, C, 8)), attend(P, 8, C)),
    ),
    "channel.squeeze_excite(1/2)": (MAP, SQUEEZE),
    "channel.effective_squeeze_excite": (MAP, linear(C, C)),
    "compose.residual_of(blocks.separable)": (MAP, SEPARABLE),
    "compose.pre_norm(blocks.separable)": (MAP, total(SEPARABLE, norm(C))),
    "compose.beside(blocks.separable, conv(3), width = 16)": (MAP, total(SEPARABLE, conv(C, C, 3, P))),
    "compose.maybe(blocks.separable, present = true)": (MAP, SEPARABLE),
    "compose.maybe(blocks.separable, present = false) -> conv(1, 8)": ((8, 32, 32), conv(C, 8, 1, P)),
    "compose.gate(conv(3), width = 8, open = true)": ((8, 32, 32), conv(C, 8, 3, P)),
    "stems.half(24)": ((24, 16, 16), conv_bn(C, 24, 3, Q)),
    "stems.quarter(24)": ((24, 8, 8), total(conv_bn(C, 24, 3, Q), conv_bn(24, 24, 3, H))),
    "stems.pooled(24)": ((24, 8, 8), conv_bn(C, 24, 7, Q)),
    "stems.patches(24)": ((24, 8, 8), total(conv(C, 24, 7, H, bias=True), norm(24))),
    "hrvit.stem(24)": (
        (24, 8, 8),
        total(conv(C, 12, 3, Q, bias=True), norm(12), conv(12, 24, 3, H, bias=True), norm(24)),
    ),
    "hrvit.embed(24)": (
        (24, 32, 32),
        total(conv(C, 24, 1, P, bias=True), depthwise(24, 3, P, bias=True), norm(24)),
    ),
    "hrvit.embed(24, efficient_embed = false)": ((24, 32, 32), total(conv(C, 24, 3, P, bias=True), norm(24))),
    "hrvit.block(7, 4, 2)": (MAP, total(times(2, norm(C)), CROSS, FACTORS, MIXED)),
    "hrvit.block(8, 4, 2, shared_kv = false, parallel_conv = false, nonlinearity = false, des = false, mix_cfn = false)": (
        MAP,
        total(
            times(2, norm(C)),
            times(4, linear(C, C, P)),
            times(2 * 4, attend(8 * S, 8 * S, 8)),
            linear(C, 32, P),
            linear(32, C, P),
        ),
    ),
    "to_tokens -> hrvit.diverse_shortcut": ((P, C), FACTORS),
    "hyctas.light(24)": ((24, 32, 32), total(conv_bn(C, 24, 3, Q), conv_bn(C, 24, 1, P))),
    "hyctas.light(24, 2)": ((24, 16, 16), conv_bn(C, 24, 3, Q)),
    "hyctas.light_double(24)": (
        (24, 32, 32),
        total(conv_bn(C, 24, 3, Q), conv_bn(24, 24, 3, Q), conv_bn(C, 24, 1, P)),
    ),
    "hyctas.light_double(24, 2)": ((24, 16, 16), total(conv_bn(C, 24, 3, Q), conv_bn(24, 24, 3, Q))),
    "hyctas.plain_double(24, 2)": ((24, 16, 16), total(conv_bn(C, 24, 3, Q), conv_bn(24, 24, 3, Q))),
    "hyctas.attend": (MAP, behind_factor(C, P)),
    "hyctas.mesa(16)": (MAP, total(times(2, conv_bn(C, C, 1, P)), behind_factor(C, P), norm(C))),
    "hyctas.mesa(24, 2)": (
        (24, 16, 16),
        total(conv_bn(C, 24, 1, P), behind_factor(24, P), norm(24), conv_bn(24, 24, 1, Q), conv_bn(C, 24, 3, Q)),
    ),
    "hyctas.skip(24)": ((24, 32, 32), conv_bn(C, 24, 1, P)),
    "hyctas.by_set(hyctas.skip(24), [true, false, true])": ((24, 32, 32), conv_bn(C, 24, 1, P)),
    "hyctas.feature_fusion(24)": ((24, 32, 32), fused(C, 24, P)),
    "hyctas.half_attention": (MAP, total(times(2, conv_bn(C, C, 1, P)), behind_factor(C, Q), norm(C))),
    "hyctas.decoder(5, 8)": ((5, 32, 32), decoded(C, 8, 8, 5, P)),
    "trionet.convolution(2, 5)": ((C, 16, 16), conv(C, C, 5, Q)),
    "trionet.local_attention(2, 5, 1/2, 1/2, 2)": (
        (8, 16, 16),
        total(times(3, conv(C, 8, 1, P)), relative(P, 1, 25, 8, 8, 2 * 5 * 2)),
    ),
    "trionet.axial_attention(1, 1/2, 1, 2)": (
        MAP,
        times(2, total(times(2, conv(C, 8, 1, P)), conv(C, C, 1, P), relative(S, S, S, 8, C, 63 * 4))),
    ),
    "trionet.attend(4, 4, 8, 24, 2, margin = 2)": (
        (24, 32, 32),
        total(times(2, conv(C, 8, 1, P)), conv(C, 24, 1, P), relative(H, 16, 64, 8, 24, 2 * 11 * 2)),
    ),
    "trionet.shrink(2)": ((C, 16, 16), Tally(0, 0)),
    "trionet.bottleneck(trionet.convolution, 32, 1/4, 2)": ((32, 16, 16), around(C, 32, Q)),
    "trionet.trio(32, splits = [1, 2])": ((32, 32, 32), TRIO),
    "trionet.layer(trionet.bottleneck(trionet.convolution, ratio = 1/4), 32, 3)": (
        (32, 16, 16),
        total(around(C, 32, Q), times(2, again(32, Q))),
    ),
    "trionet.resnet(trionet.bottleneck(trionet.convolution, ratio = 1/4), [1, 1, 2, 1], 16)": (
        (128, 4, 4),
        total(again(C, P), around(C, 32, Q), around(32, 64, Q // 4), again(64, Q // 4), around(64, 128, Q // 16)),
    ),
    "hrnas.searching_block(16)": (
        MAP,
        total(*(total(group(C, 64, k, P, P), conv(64, C, 1, P)) for k in (3, 5, 7)), norm(C)),
    ),
    "hrnas.searching_block(24, 2, [3, 5], 2)": (
        (24, 16, 16),
        total(*(total(group(C, 32, k, P, Q), conv(32, 24, 1, Q)) for k in (3, 5)), norm(24), Tally(48, 48 * Q)),
    ),
    'hrnas.searching_block(24, 2, [3], 1, where = "everywhere", transformer = '
    "hrnas.lightweight_transformer(most = 4, side = 3))": (
        (24, 16, 16),
        total(group(C, C, 3, P, Q), conv(C, 24, 1, Q), norm(24), Tally(48, 48 * Q), tokens(C, 4, 24, 9)),
    ),
    'hrnas.searching_block(16, kernels = [5], expansion = false, where = "identity", transformer = '
    "hrnas.paper_transformer(most = 4, side = 3))": (
        MAP,
        total(
            depthwise(C, 5, P),
            conv(C, C, 1, P),
            times(2, norm(C)),
            conv_bn(C + 2, 4, 1, P),
            times(2, wide_layer(4, 9)),
            Tally(4 * 9, 0),
            conv_bn(4, C, 1, 9),
        ),
    ),
    "hrnas.searching_block(24, kernels = [3, 5], expand = 1, project = hrnas.project_excited)": (
        (24, 32, 32),
        total(
            group(C, C, 3, P, P),
            group(C, C, 5, P, P),
            linear(32, 8),
            linear(8, 32),
            conv_bn(32, 24, 1, P),
            Tally(48, 48 * P),
        ),
    ),
    "hrnas.convolution(3, 24, 2)": ((24, 16, 16), conv_bn(C, 24, 3, Q)),
    "heads.fcn(11, 8)": ((11, 32, 32), total(conv_bn(C, 8, 3, P), conv(8, 11, 1, P, bias=True))),
}

# many flows: [8, 32, 32], [16, 16, 16], [24, 8, 8] -----------------------------------------------------------------

UP = {
    (1, 0): conv_bn(16, 8, 1, Q),
    (2, 0): conv_bn(24, 8, 1, H),
    (2, 1): conv_bn(24, 16, 1, H),
}
DOWN = {
    (0, 1): conv_bn(8, 16, 3, Q),
    (0, 2): total(conv_bn(8, 8, 3, Q), conv_bn(8, 24, 3, H)),
    (1, 2): conv_bn(16, 24, 3, H),
}
RAISED = {
    (1, 0): raised(16, 8, Q),
    (2, 0): raised(24, 8, H),
    (2, 1): raised(24, 16, H),
}
LOWERED = {
    (0, 1): total(depthwise(8, 3, Q), norm(8), raised(8, 16, Q)),
    (0, 2): total(depthwise(8, 5, H), norm(8), raised(8, 24, H)),
    (1, 2): total(depthwise(16, 3, H), norm(16), raised(16, 24, H)),
}
GROWN = total(conv_bn(8, 16, 3, Q), conv_bn(16, 24, 3, H))
"""What the stage pays to begin its two coarser branches."""
NARROWED = total(conv(8, 8, 1, P, bias=True), conv(16, 8, 1, Q, bias=True), conv(24, 8, 1, H, bias=True))
LISTS: dict[str, tuple[tuple[int, ...], Tally]] = {
    "heads.finest": ((8, 32, 32), Tally(0, 0)),
    "heads.coarsest": ((24, 8, 8), GROWN),
    "fusion.concat_up": ((48, 32, 32), GROWN),
    "fusion.sum_up": ((8, 32, 32), total(GROWN, conv_bn(16, 8, 1, P // 4), conv_bn(24, 8, 1, H))),
    "heads.segmentation(5)": ((5, 32, 32), total(GROWN, conv_bn(48, 48, 1, P), conv(48, 5, 1, P, bias=True))),
    "hrvit.segment(5, 8)": (
        (5, 32, 32),
        total(GROWN, NARROWED, conv_bn(24, 8, 1, P), conv(8, 5, 1, P, bias=True)),
    ),
    "hyctas.stem(8, 12)": (
        (12, 2, 2),
        total(GROWN, conv_bn(24, 8, 3, H // 4), conv_bn(8, 12, 3, H // 16), conv_bn(12, 12, 3, H // 16)),
    ),
    "hyctas.deepen(12)": ((12, 4, 4), total(GROWN, conv_bn(24, 12, 3, H // 4), conv_bn(12, 12, 3, H // 4))),
    "hyctas.merge(8)": (
        (8, 32, 32),
        total(
            GROWN,
            conv_bn(24, 16, 1, H),
            conv_bn(32, 16, 3, Q),
            conv_bn(16, 8, 1, Q),
            conv_bn(16, 8, 3, P),
        ),
    ),
    "hrnas.dense_head(5, 8, blocks.conv_bn_relu(1))": (
        (5, 32, 32),
        total(GROWN, conv_bn(48, 8, 1, P), conv(8, 5, 1, P, bias=True)),
    ),
    "heads.keypoints(5)": ((5, 32, 32), conv(8, 5, 1, P, bias=True)),
    "heads.classification(5)": ((5,), total(GROWN, linear(48, 5))),
}
JOINED = total(*(total(conv(8 * k, 8 * k + 8, 3, Q >> 2 * k - 2, bias=True), norm(8 * k + 8)) for k in (1, 2, 3)))
FOURS: dict[str, tuple[tuple[int, ...], Tally]] = {
    "hrvit.classify(5, [8, 16, 24, 32], 12)": (
        (5,),
        total(
            GROWN,
            conv_bn(24, 32, 3, H // 4),
            again(8, P),
            again(16, Q),
            again(24, H),
            again(32, H // 4),
            JOINED,
            raised(32, 12, H // 4),
            linear(12, 5),
        ),
    ),
}
LOW = total(GROWN, conv_bn(24, 32, 3, H // 4))
"""What begins the three coarser branches."""
LAST = total(times(2, conv_bn(32, 32, 1, H // 4)), behind_factor(32, H // 16), norm(32))
FOURS |= {
    "hyctas.fuse_routes": ((32, 4, 4), total(LOW, fused(32, 32, H // 4))),
    "hyctas.segmentation(5)": ((5, 32, 32), total(LOW, LAST, decoded(32, 32, 32, 5, H // 4))),
    "hyctas.instance -> concat": (
        (3, 32, 32),
        total(LOW, LAST, conv_bn(16, 48, 1, Q), *(decoded(80, 32, 16, maps, Q) for maps in (1, 2))),
    ),
}
FOURS |= {
    "hrnas.classification_head(5, [8, 16, 24, 40], 12, blocks.residual)": (
        (5,),
        total(
            LOW,
            residual(8, 8, P, same=True),
            residual(16, 16, Q, same=True),
            residual(24, 24, H, same=True),
            residual(32, 40, H // 4),
            residual(8, 16, Q),
            residual(16, 24, H),
            residual(24, 40, H // 4),
            conv_bn(40, 12, 1, H // 4),
            linear(12, 5),
        ),
    ),
}
FUSES: dict[str, Tally] = {
    "hrnas.enter(block = blocks.residual)": Tally(0, 0),
    "hrnas.exchange(block = blocks.residual)": total(
        residual(8, 8, P, same=True),
        residual(16, 8, Q),
        residual(8, 16, Q),
        residual(16, 16, Q, same=True),
        residual(24, 16, H),
        residual(16, 24, H),
        residual(24, 24, H, same=True),
    ),
    "fusion.exchange": total(*UP.values(), *DOWN.values()),
    "fusion.gated_exchange": total(*UP.values(), *DOWN.values()),
    "fusion.neighbours": total(UP[1, 0], UP[2, 1], DOWN[0, 1], DOWN[1, 2]),
    "fusion.neighbours(reach = 2)": total(*UP.values(), *DOWN.values()),
    "hrvit.exchange": total(*RAISED.values(), *LOWERED.values()),
    "hrvit.exchange(dense = false)": total(RAISED[1, 0], RAISED[2, 1], LOWERED[0, 1], LOWERED[1, 2]),
    "hrvit.finish": total(norm(8), norm(16), norm(24)),
}
PARTS = {
    "fusion.lift",
    "fusion.down",
    "fusion.halve",
    "fusion.grow",
    "fusion.gate",
    "fusion.raise",
    *(f"hrnas.{cell}" for cell in ("kernel_group", "plain_group", "project_each", "project_excited")),
    *(
        f"hrnas.{cell}"
        for cell in ("token_mixer", "paper_mixer", "encoder", "decoder", "attend", "feed_forward", "edge")
    ),
    *(f"hyctas.{cell}" for cell in ("with_bypass", "join", "beside", "auxiliary")),
    *(
        f"hrvit.{cell}"
        for cell in (
            *("lift", "lower", "raise", "cross_attention", "stripes", "mix_feed_forward", "convolve", "join"),
            "residual",
        )
    ),
}
"""Cells that only the cells above use."""


def one(cell: str) -> str:
    return f"{USES}\nspace s {{\n  input = [{C}, {S}, {S}]\n  head = {cell}\n}}\n"


def many(head: str, fuse: str = "none") -> str:
    return f"""{USES}
space s {{
  input = [8, {S}, {S}]
  branch a at 1/1 {{ width = 8 }}
  branch b at 1/2 {{ width = 16 }}
  branch c at 1/4 {{ width = 24 }}
  stage one on a {{}}
  stage two on a, b {{}}
  stage three on a, b, c {{ fuse = {fuse} }}
  head = {head}
}}
"""


def four(head: str) -> str:
    """A fourth branch, [32, 4, 4]."""
    text = many(head).replace("  stage one", "  branch d at 1/8 { width = 32 }\n  stage one")
    return text.replace("  head", "  stage four on a, b, c, d {}\n  head")


@cache
def compiled(text: str) -> Compiled:
    return compile_module(load_source(Source("s.arch", text)))


def check(text: str, shape: tuple[int, ...] | None, wanted: Tally) -> None:
    """The largest architecture has this shape and these costs, by the compiler and by torch."""
    space = compiled(text)
    genes = tuple(space.decisions.largest()) if space.graph.decisions else ()
    costs = space.costs.one(genes)
    assert (costs["parameters"], costs["macs"]) == wanted
    network = extract(space.graph, None, genes).eval()
    assert sum(p.numel() for p in network.parameters()) == wanted.parameters
    first = space.graph.nodes[0].shape
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        out = network(torch.zeros(2, int(first.width), S, S))
    assert counter.get_total_flops() == 2 * 2 * wanted.macs
    assert shape is None or tuple(out.shape[1:]) == shape


@pytest.mark.parametrize("cell", ONE)
def test_one_flow(cell: str) -> None:
    check(one(cell), *ONE[cell])


@pytest.mark.parametrize("cell", LISTS)
def test_many_flows(cell: str) -> None:
    check(many(cell), *LISTS[cell])


@pytest.mark.parametrize("cell", FOURS)
def test_four_flows(cell: str) -> None:
    check(four(cell), *FOURS[cell])


@pytest.mark.parametrize("cell", FUSES)
def test_fusion(cell: str) -> None:
    check(many("fusion.concat_up", cell), (48, 32, 32), total(GROWN, FUSES[cell]))


# what the cells decide ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "count"),
    [
        ("compose.maybe(blocks.separable) -> compose.maybe(blocks.separable)", 4),
        ("beside -> conv(1, 4)", 2),
        ("blocks.dense(8, layers in 1..3)", 3),
        ("attention.transformer(heads in {1, 2}, reduction in {2, 4})", 4),
    ],
)
def test_decisions(cell: str, count: int) -> None:
    """`beside`: a map and an edge that may be closed."""
    extra = "\ncell beside() { out = [x, x -> compose.gate(conv(3), width = 16)] -> sum }\n"
    assert compiled(one(cell) + extra).decisions.count().value == count


def test_a_gated_exchange_has_a_decision_for_each_edge() -> None:
    space = compiled(many("fusion.concat_up", "fusion.gated_exchange"))
    assert len(space.graph.decisions) == 6
    assert space.decisions.count().value == 2**6


def test_a_wrapper_hands_on_the_width_of_its_flow() -> None:
    """The body of `residual_of` keeps the width, whatever the branch says."""
    text = one("compose.residual_of(blocks.residual)").replace("\n  head", "\n  width = 99\n  head")
    assert compiled(text).costs.one(())["parameters"] == times(2, conv_bn(C, C, 3, P)).parameters


# the files ---------------------------------------------------------------------------------------------------------


def cells() -> Iterator[tuple[str, Module]]:
    for name in MODULES:
        yield from ((f"{name}.{cell}", library(name)) for cell in library(name).cells)


PLAIN = {"width", "stride", "classes", "joints"}
"""Parameters that mean the same everywhere."""


def test_every_cell_is_tested() -> None:
    text = " ".join((*ONE, *LISTS, *FOURS, *FUSES)).replace("(", " ").split()
    assert {name for name, _ in cells() if name not in text} == PARTS


@pytest.mark.parametrize(("name", "module"), [*cells()], ids=lambda v: v if isinstance(v, str) else "")
def test_documentation(name: str, module: Module) -> None:
    """A sentence first, then each parameter that does not say everything by its name, then the shape."""
    block = module.cells[name.split(".")[1]]
    docs = " ".join(block.docs)
    assert block.docs and block.docs[0][0].isupper()
    assert all(len(line) <= WIDTH - len("## ") for line in block.docs)
    assert [p.name for p in block.parameters or () if p.name not in PLAIN and f"`{p.name}`" not in docs] == []
    assert any(word in docs for word in ("->", "body(", "first(", "keeps the shape", "`none`", "first flow"))


@pytest.mark.parametrize("name", MODULES)
def test_modules_are_formatted(name: str) -> None:
    text = (STD / f"{name}.arch").read_text(encoding="utf-8")
    assert format_text(Source(name, text)) == text


def declared(name: str, block: Block) -> str:
    """A cell with its parameters and their defaults."""
    given = ((p.name, p.default) for p in block.parameters or ())
    return f"{name}({', '.join(n if d is None else f'{n} = {d.span.text}' for n, d in given)})"


def test_the_specification_names_every_cell() -> None:
    """With its parameters, in their order."""
    section = (ROOT / "SPEC.md").read_text(encoding="utf-8").partition("## 23.")[2]
    rows = re.findall(r"^\| `std\.(\w+)` \|(.*)$", section, re.MULTILINE)
    written = {name: set(re.findall(r"`(\w+\([^`]*\))`", row)) for name, row in rows}
    assert written == {name: {declared(*c) for c in library(name).cells.items()} for name in MODULES}


# explain -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, _ in cells()])
def test_explain(name: str) -> None:
    (answer,) = explain(f"std.{name}")
    block = library(name.split(".")[0]).cells[name.split(".")[1]]
    assert (answer["kind"], answer["docs"], answer["source"]) == ("cell", list(block.docs), block.span.text)
    assert list(answer["parameters"]) == [p.name for p in block.parameters or ()]
    assert all(word in answer["text"] for word in (*block.docs[0].split(), *answer["parameters"], *answer["uses"]))
    assert all(line == line.rstrip() and len(line) <= 110 for line in answer["text"].splitlines())


@pytest.mark.parametrize(("name", "as_used"), [("blocks.residual", "blocks.residual(16)"), ("blocks.convnext",) * 2])
def test_explain_shows_costs(name: str, as_used: str) -> None:
    (answer,) = explain(f"std.{name}")
    shape, wanted = ONE[as_used]
    assert answer["example"]["shape"] == f"map[{', '.join(map(str, shape))}]"
    costs = answer["example"]["costs"][""]
    assert (costs["parameters"], costs["macs"]) == wanted


def test_explain_of_a_cell_that_cannot_stand_alone() -> None:
    (answer,) = explain("std.compose.maybe")
    assert answer["decisions"] == ["present in {true, false}"]
    assert answer["example"] == {"why": "`maybe` needs `body`"}


def test_explain_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell of the user's own, with a module beside it; both ends of its decisions."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts.arch").write_text("hrdsl 1\n\ncell act() { out = x -> relu }\n", encoding="utf-8")
    text = "hrdsl 1\n\nuse parts\n\n## Mine.\ncell mine(width) { out = x -> conv(width = width, kernel in {3, 5}) -> parts.act }\n"
    (tmp_path / "s.arch").write_text(text, encoding="utf-8")
    (answer,) = explain("s.arch:mine")
    assert (answer["decisions"], answer["uses"]) == (["kernel in {3, 5}"], ["conv", "parts.act"])
    parameters = {end: costs["parameters"] for end, costs in answer["example"]["costs"].items()}
    assert parameters == {"smallest": 16 * 16 * 9, "largest": 16 * 16 * 25}
    assert explain("s.arch")[0]["cells"] == ["mine"]
    with pytest.raises(UsageError, match="did you mean `mine`"):
        explain("s.arch:mime")


def test_explain_golden(golden: Callable[[Path, str], None]) -> None:
    for name in ("std", "std.blocks", "std.blocks.bottleneck"):
        golden(ROOT / "tests" / "golden" / "library" / f"{name}.txt", explain(name)[0]["text"] + "\n")
