"""HR-NAS against the same written in plain torch, with random weights: blocks, fusions and networks of every kind."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, fx

from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.compiler.module import extract
from hrdsl.runtime.weights.importing import names
from hrdsl.runtime.weights.maps import load

from . import vectors
from .hrnas_torch import HRNAS
from .spaces import compile_text
from .test_hrnas_vectors import fusion, through

torch.set_num_threads(1)
EXAMPLES = Path(__file__).parents[1] / "examples" / "hrnas"
NORM = "bn(1/1000, 1/100)"
Settings = dict[str, Any]
SMALL: Settings = {"stem_width": 8, "first": 8, "widths": (6, 8, 12, 10), "blocks": (1, 1, 1, 1, 1), "expand": 2}


def alive(network: fx.GraphModule, seed: int) -> fx.GraphModule:
    """With statistics and factors that are not those of the beginning."""
    random = torch.Generator().manual_seed(seed)
    state = network.state_dict()
    for name, tensor in state.items():
        noise = torch.rand(tensor.shape, generator=random)
        if tensor.dim() == 1:
            tensor.copy_(noise + 0.5 if name.endswith(("weight", "running_var")) else noise - 0.5)
    return network.eval()


def released(network: fx.GraphModule, chart: str, at: str, last: str) -> dict[str, Tensor]:
    """The state of a network under the names of the released code, by the map read backwards. `last`: the head's module."""
    found, section = load(chart)
    plain = any("plain_group" in name for name in names(network))
    state, parts = network.state_dict(), dict[str, list[tuple[Any, Tensor]]]()
    for name, key in names(network).items():
        first, *other = found.sources(section, name.removeprefix(f"{at}." if at else ""))
        (part,) = other[0] if plain and other else first
        theirs = part.names[0].replace("*", last)
        parts.setdefault(theirs, []).append((part.cuts, state[key]))
    return {n: torch.cat([t for _, t in sorted(pieces, key=lambda p: p[0])]) for n, pieces in parts.items()}


# blocks ------------------------------------------------------------------------------------------------------------

T = 'where = "everywhere", transformer = hrnas.lightweight_transformer(most = 3, side = {})'
BLOCKS: dict[str, tuple[tuple[int, int, int], str, int]] = {
    "odd sizes": ((6, 15, 17), "width = 6", 1),
    "reduction of odd sizes": ((6, 15, 17), "width = 8, stride = 2", 2),
    "reduction of odd sizes with a transformer": ((6, 15, 17), f"width = 8, stride = 2, {T.format(8)}", 2),
    "a transformer larger than the map": ((6, 5, 4), f"width = 6, {T.format(8)}", 1),
    "a transformer of side 3": ((6, 9, 12), f"width = 9, {T.format(3)}", 1),
    "identity only": ((6, 8, 8), f"width = 9, {T.format(8)}".replace("everywhere", "identity"), 1),
    "encoder only": ((6, 8, 8), f"width = 6, {T.format(8)}".replace("side", "decode = false, side"), 1),
    "no positions": ((6, 8, 8), f"width = 6, {T.format(8)}".replace("side", "positions = false, side"), 1),
    "one kernel": ((6, 8, 8), "width = 6, kernels = [5]", 1),
    "four kernels": ((6, 12, 12), "width = 4, kernels = [3, 5, 7, 9]", 1),
    "shares of kernels": ((6, 8, 8), "width = 6, kernels = [3, 7], expands = [1, 1/2]", 1),
    "no expansion": ((6, 8, 8), "width = 6, kernels = [3], expansion = false", 1),
    "no common divisor": ((6, 8, 8), "width = 7", 1),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_block(name: str) -> None:
    size, arguments, stride = BLOCKS[name]
    block = f"hrnas.searching_block({arguments}, norm = {NORM})"
    made = compile_text(f"hrdsl 1\nuse std.hrnas\nspace s {{\n  input = {list(size)}\n  head = {block}\n}}\n")
    x = torch.randn(2, *size, generator=torch.Generator().manual_seed(1))
    for seed, genes in enumerate(drawn(made)):
        network = alive(extract(made.graph, None, genes, seed=seed), seed)
        state = released(network, "hrnas:block", "head.searching_block", "")
        wanted = HRNAS({f"b.{n}": t for n, t in state.items()}, side=3 if "side 3" in name else 8).block(x, "b", stride)
        vectors.check(network(x), wanted)


def drawn(made: Compiled, count: int = 3) -> list[tuple[int, ...]]:
    """The largest, the smallest and some others: hidden channels pruned, kernels and transformers gone."""
    ends = [tuple(len(d) - 1 for d in made.graph.decisions), (0,) * len(made.graph.decisions)]
    random = np.random.default_rng(0)
    rows = [
        tuple(int(random.integers(0, len(d)) * random.integers(0, 2)) for d in made.graph.decisions)
        for _ in range(count)
    ]
    return list(dict.fromkeys(ends + rows))


# fusions -----------------------------------------------------------------------------------------------------------

FUSIONS: dict[str, tuple[list[int], list[int], tuple[int, int], int]] = {
    "1 to 1": ([6], [5], (8, 8), 0),
    "1 to 2": ([6], [5, 8], (9, 7), 0),
    "2 to 3 with transformers": ([6, 8], [6, 8, 10], (16, 24), 3),
    "4 to 4": ([4, 6, 8, 10], [4, 6, 8, 10], (32, 32), 0),
    "4 to 4 of odd sizes": ([4, 6, 8, 10], [4, 6, 8, 10], (35, 27), 2),
}


@pytest.mark.parametrize("name", FUSIONS)
def test_fusion(name: str) -> None:
    before, after, size, tokens = FUSIONS[name]
    sizes = [tuple(-(-n // 2**i) for n in size) for i in range(len(before))]
    inputs = {str(i): torch.randn(1, w, *s) for i, (w, s) in enumerate(zip(before, sizes, strict=True))}
    meta = {"in_channels": before, "out_channels": after, "kernels": [3, 5], "expand": 2, "tokens": tokens, "s": 4}
    case = vectors.Case(name, meta, {}, inputs, {}, {}, {}, {}, {})
    made = compile_text("hrdsl 1\n" + fusion(case))
    for seed, genes in enumerate({tuple(max(g, 1) for g in genes) for genes in drawn(made)}):
        network = alive(extract(made.graph, None, genes, seed=seed), seed)
        found = through(network, made.graph)(*inputs.values())
        known = {n: k for n, k in names(network).items() if ".begin." not in n}
        network.meta["parameters"] = {n: k for n, k in network.meta["parameters"].items() if n in known}
        state = released(network, "hrnas:fusion_and_growth", "", "")
        wanted = HRNAS({f"f.{n}": t for n, t in state.items()}, side=4).fuse(list(inputs.values()), "f", len(after))
        vectors.check(found, wanted)


# networks ----------------------------------------------------------------------------------------------------------

NETWORKS: dict[str, tuple[str, Settings]] = {
    "odd input": ("cityscapes", {"height": 70, "columns": 90, "last": 9, "classes": 5}),
    "odd input with transformers": (
        "cityscapes",
        {"height": 70, "columns": 90, "last": 9, "where": "everywhere", "tokens": 3, "side": 4},
    ),
    "a convolution before the classes": (
        "cityscapes",
        {"height": 64, "columns": 96, "last": 9, "layer": "convolution"},
    ),
    "keypoints": ("coco", {"height": 64, "columns": 48, "last": 9, "where": "identity", "tokens": 2}),
    "classification": (
        "imagenet",
        {"height": 64, "columns": 64, "head_widths": (8, 12, 16, 20), "last": 24, "classes": 7},
    ),
    "swish": (
        "imagenet",
        {"height": 64, "columns": 64, "head_widths": (8, 12, 16, 20), "last": 24, "classes": 7, "swish": True},
    ),
    "five stages": (
        "ade20k",
        {"height": 64, "columns": 64, "last": 9, "classes": 5, "again": True, "blocks": (1, 1, 1, 2, 1)},
    ),
    "half the stride": ("cityscapes", {"height": 32, "columns": 48, "last": 9, "input_stride": 2}),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_network(name: str) -> None:
    example, settings = NETWORKS[name]
    settings = {**SMALL, "again": False, **settings}
    made = compile_file(EXAMPLES / f"{example}.arch", settings=settings)
    x = torch.randn(2, 3, *made.graph.input.extent, generator=torch.Generator().manual_seed(1))
    branches = (1, 2, 3, 4, 4) if settings["again"] else (1, 2, 3, 4)
    act = torch.nn.functional.silu if settings.get("swish") else torch.relu
    for seed, genes in enumerate(drawn(made, 1)):
        network = alive(extract(made.graph, None, genes, seed=seed), seed)
        state = released(network, "hrnas:network", "", str(2 * len(branches)))
        eps = 1e-5 if example == "coco" else 1e-3
        vectors.check(network(x), HRNAS(state, eps, settings.get("side", 8), act).network(x, branches))
