"""HR-NAS: figures, blocks and names of every supernet and of the network that was found, against those of the released code."""

import gzip
import json
import subprocess
import sys
from fnmatch import fnmatch
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hrdsl.cli.main import main
from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.compiler.cost import shapes
from hrdsl.compiler.module import extract
from hrdsl.compiler.sym import at
from hrdsl.dsl.diagnostic import Source
from hrdsl.dsl.format import format_text
from hrdsl.runtime.weights.importing import fit
from hrdsl.runtime.weights.maps import load

from .spaces import compile_text

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples" / "hrnas"
FACTS = Path(__file__).parent / "facts" / "hrnas"
COUNTS = {row["tag"]: row for row in json.loads((FACTS / "counts.json").read_text())}
SEARCHED = {row["tag"]: row for row in json.loads((FACTS / "searched.json").read_text())}

Settings = dict[str, Any]
SINGLE = "seg single branch [1,[4],[24]]"
IDENTITY: Settings = {"where": "identity"}
EVERYWHERE: Settings = {"where": "everywhere"}
CONFIGURATIONS: dict[str, tuple[str, Settings]] = {
    "imagenet base": ("imagenet", {}),
    "imagenet base retrain(Swish)": ("imagenet", {"swish": True}),
    "cityscapes base": ("cityscapes", {}),
    "cityscapes base 256x512": ("cityscapes", {"height": 256, "columns": 512}),
    "cityscapes base 128x256": ("cityscapes", {"height": 128, "columns": 256}),
    "cityscapes base 224x224 (size the code profiles at)": ("cityscapes", {"height": 224, "columns": 224}),
    "ade20k base": ("ade20k", {}),
    "coco base 256x192": ("coco", {}),
    "coco base 384x288": ("coco", {"height": 384, "columns": 288}),
    "seg k=[3] e=4": ("cityscapes", {"kernels": (3,)}),
    "seg k=[3] e=12 (same hidden as MixConv)": ("cityscapes", {"kernels": (3,), "expand": 12}),
    "seg k=[3,5] e=4": ("cityscapes", {"kernels": (3, 5)}),
    "seg k=[3,5,7] e=2": ("cityscapes", {"expand": 2}),
    "seg k=[3,5,7] e=1 per-kernel list [1,1,1]": ("cityscapes", {"expands": (1, 1, 1)}),
    "seg k=[3,5,7] e=6": ("cityscapes", {"expand": 6}),
    "seg fcn head": ("cityscapes", {"layer": "convolution"}),
    "seg last_channel=180": ("cityscapes", {"last": 180}),
    "seg half widths": ("cityscapes", {"stem_width": 12, "first": 12, "widths": (9, 18, 36, 72)}),
    "seg tiny 1 block/branch": ("cityscapes", {"blocks": (1, 1, 1, 1, 1), "again": False}),
    "seg input_stride=2": ("cityscapes", {"height": 256, "columns": 512, "input_stride": 2}),
    "seg T(res only) n=8 s=8": ("cityscapes", IDENTITY | {"tokens": 8}),
    "seg T(res only) n=16 s=8": ("cityscapes", IDENTITY | {"tokens": 16}),
    "seg T(res only) n=32 s=8": ("cityscapes", IDENTITY | {"tokens": 32}),
    "seg T(res only) n=64 s=8": ("cityscapes", IDENTITY),
    "seg T(res only) n=8 s=2": ("cityscapes", IDENTITY | {"tokens": 8, "side": 2}),
    "seg T(res only) n=8 s=4": ("cityscapes", IDENTITY | {"tokens": 8, "side": 4}),
    "seg T(res only) n=8 s=16": ("cityscapes", IDENTITY | {"tokens": 8, "side": 16}),
    "seg T(res+reduction+change) n=8 s=8": ("cityscapes", EVERYWHERE | {"tokens": 8}),
    "seg T(res+reduction+change) n=64 s=8": ("cityscapes", EVERYWHERE),
    "seg T(res only) n=8 s=8 enc only": ("cityscapes", IDENTITY | {"tokens": 8, "decode": False}),
    "seg T(res only) n=8 s=8 learned/no pos": ("cityscapes", IDENTITY | {"tokens": 8, "positions": False}),
    "imagenet T(res only) n=64": ("imagenet", IDENTITY),
    "imagenet T(all) n=64": ("imagenet", EVERYWHERE),
    "imagenet T(res only) n=8": ("imagenet", IDENTITY | {"tokens": 8}),
    "coco T(res only) n=64": ("coco", IDENTITY),
    "coco T(all) n=64": ("coco", EVERYWHERE),
    "coco T(res only) n=8": ("coco", IDENTITY | {"tokens": 8}),
    "ade20k T(all) n=64": ("ade20k", EVERYWHERE),
}
"""What the facts call a configuration: the example and the values of its parameters."""
EXCITED: Settings = {"excite": True, "swish": True}
FOUND: dict[str, Settings] = {
    "searched + T(res only) n=8": IDENTITY | {"tokens": 8},
    "searched + T(res only) n=64": IDENTITY,
    "searched + T(all) n=8": EVERYWHERE | {"tokens": 8},
    "searched, Fused, se=0.5, Swish": EXCITED,
    "searched, Fused, se=None, Swish": {"swish": True},
    "searched, Fused, se=0.5, T(8) dt=False": EXCITED | IDENTITY | {"tokens": 8},
    "searched, Fused, se=0.5, T(8) dt=True": EXCITED | EVERYWHERE | {"tokens": 8},
    "searched, InvertedResidualChannels, no SE, ReLU": {},
}
NAMED: dict[str, tuple[str, Settings]] = {
    "imagenet": ("imagenet", {}),
    "cityscapes": ("cityscapes", {}),
    "ade20k": ("ade20k", {}),
    "coco": ("coco", {}),
    "cityscapes_transformer_res_only_n64_s8": ("cityscapes", IDENTITY),
    "cityscapes_transformer_all_n64_s8": ("cityscapes", EVERYWHERE),
}
"""Supernets whose parameters and blocks the facts list."""


@cache
def supernets() -> dict[str, Any]:
    """Names and shapes of the released supernets and of single blocks."""
    data: dict[str, Any] = json.loads(gzip.decompress((FACTS / "supernets.json.gz").read_bytes()))
    return data


def last(space: Compiled) -> tuple[int, ...]:
    """Every range at its end: all hidden channels, all tokens."""
    return tuple(len(d) - 1 for d in space.graph.decisions)


def units(space: Compiled) -> int:
    """Hidden channels that can be removed."""
    return sum(len(d) - 1 for d in space.graph.decisions if d.path.endswith(".hidden"))


# files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.arch")), ids=lambda p: p.stem)
def test_text(path: Path) -> None:
    text = path.read_text()
    assert format_text(Source(path.name, text)) == text
    assert not compile_file(path).warnings


@pytest.mark.parametrize("name", ["imagenet", "cityscapes", "ade20k", "coco"])
def test_the_text_says_its_figures(name: str) -> None:
    figures = supernets()[name]
    text = (EXAMPLES / f"{name}.arch").read_text()
    assert f"{figures['params_effective']:,} parameters" in text
    assert f"{figures['macs']:,} MACs" in text
    assert list(compile_file(EXAMPLES / f"{name}.arch").graph.input.extent) == figures["input_hw"]


# figures -----------------------------------------------------------------------------------------------------------


def test_every_configuration_is_here() -> None:
    assert {*CONFIGURATIONS, SINGLE} == {*COUNTS}
    assert {*FOUND} == {*SEARCHED}


@pytest.mark.parametrize("tag", CONFIGURATIONS)
def test_figures(tag: str) -> None:
    name, settings = CONFIGURATIONS[tag]
    agree(compile_file(EXAMPLES / f"{name}.arch", settings=settings), tag)


def agree(space: Compiled, tag: str) -> None:
    wanted, figures = COUNTS[tag], space.costs.one(last(space))
    assert (figures["parameters"], figures["macs"]) == (wanted["effective"], wanted["macs"])
    assert list(space.graph.input.extent) == wanted["hw"]
    assert units(space) == wanted["units"]


def test_a_single_branch() -> None:
    """A text of its own: four blocks on one branch, and the head."""
    text = """hrdsl 1
use std.fusion
use std.hrnas
space single {
  input = [3, 512, 1024]
  norm = bn(1/1000, 1/100)
  block = hrnas.searching_block(norm = norm)
  half = hrnas.convolution(3, 24, stride = 2, norm = norm)
  stem = half -> half -> block(width = 24) -> relu
  branch b1 at 1/4 { width = 24 }
  stage s1 on b1 {
    cell = block
    times = 4
  }
  head = hrnas.dense_head(19, 90, block)
}
"""
    agree(compile_text(text), SINGLE)


@pytest.mark.parametrize("name", ["imagenet", "cityscapes"])
def test_the_largest_is_the_whole_supernet(name: str) -> None:
    """What reports and the sandwich take as the largest, and the number of architectures."""
    space = compile_file(EXAMPLES / f"{name}.arch")
    assert space.decisions.largest() == last(space)
    assert set(space.decisions.smallest()) == {0}
    count = space.decisions.count()
    assert count.exact
    assert count.value == prod(map(len, space.graph.decisions))


@pytest.mark.parametrize("where", ["off", "identity", "everywhere"])
def test_pruned_networks_cost_what_torch_counts(where: str) -> None:
    """Architectures drawn at random, of a small supernet, built and counted."""
    from torch.utils.flop_counter import FlopCounterMode

    small = {
        "height": 64,
        "columns": 96,
        "stem_width": 4,
        "first": 4,
        "widths": (3, 4, 6, 8),
        "blocks": (1, 1, 1, 1, 1),
    }
    settings = {**small, "again": False, "last": 5, "expand": 1, "where": where, "tokens": 3, "side": 2}
    space = compile_file(EXAMPLES / "cityscapes.arch", settings=settings)
    for genes in space.decisions.sample(np.random.default_rng(0), 3):
        network = extract(space.graph, None, tuple(map(int, genes)))
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network.eval()(torch.zeros(1, 3, 64, 96))
        figures = space.costs.one(genes)
        assert 2 * figures["macs"] == counter.get_total_flops()
        assert figures["parameters"] == sum(p.numel() for p in network.parameters())


def test_a_small_supernet_is_searched(tmp_path: Path) -> None:
    """Settings shrink the example; three steps of training and two generations on digit scenes find networks that compile."""
    text = (EXAMPLES / "cityscapes.arch").read_text() + (
        "\ntrain t for cityscapes {\n  images = 16\n  steps = 3\n  batch = 4\n  sample = sandwich(random = 1)\n}\n"
        "\nsearch s for cityscapes {\n  strategy = nsga2(population = 4, generations = 2)\n  validate = 8\n  recalibrate = 8\n}\n"
    )
    (tmp_path / "small.arch").write_text(text)
    settings = [
        "classes=11",
        "height=64",
        "columns=64",
        "input_stride=2",
        "stem_width=4",
        "first=4",
        "widths=[4, 6, 8, 12]",
    ]
    settings += [
        "blocks=[1, 1, 1, 1, 1]",
        "again=false",
        "last=8",
        "expand=1",
        'where="everywhere"',
        "tokens=4",
        "side=4",
    ]
    study = ["--study", str(tmp_path / "study"), "--cache", str(tmp_path / "cache"), "--quiet", "--threads", "1"]
    words = ["search", str(tmp_path / "small.arch"), *study, *(w for s in settings for w in ("--set", s))]
    assert main(words) == 0
    found = sorted((tmp_path / "study" / "front").glob("net-*.arch"))
    assert found
    for path in found:
        assert main(["check", str(path), *(w for s in settings for w in ("--set", s))]) == 0


# the network that was found ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", FOUND)
def test_figures_of_the_found_network(tag: str) -> None:
    """The code keeps the last normalisation of blocks without hidden channels in one of its two classes; no network reads it."""
    space, wanted = compile_file(EXAMPLES / "searched_imagenet.arch", settings=FOUND[tag]), SEARCHED[tag]
    figures = space.costs.one(last(space))
    unread = 0 if "Fused" in tag else sum(2 * width for width in empty_blocks())
    assert (figures["parameters"], figures["macs"]) == (wanted["effective"] - unread, wanted["macs"])


def empty_blocks() -> list[int]:
    """The widths of the blocks of the found network that have no hidden channel left."""
    hidden = {row["block"]: row["hidden"] for row in json.loads((FACTS / "rows.json").read_text())}
    return [b["c_out"] for b in supernets()["imagenet"]["blocks"] if not hidden[b["name"]]]


def test_the_found_network_is_what_its_rows_say() -> None:
    """The text that the script writes from the rows is the one that is kept."""
    command = [sys.executable, str(EXAMPLES / "searched.py"), str(FACTS / "rows.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT / ".path")})
    assert done.stdout == (EXAMPLES / "searched_imagenet.arch").read_text()


# single blocks -----------------------------------------------------------------------------------------------------


def single(fact: dict[str, Any], size: str) -> Compiled:
    expand = fact["expand"]
    expands = expand if isinstance(expand, list) else [expand] * len(fact["kernels"])
    where = "off" if not fact["tokens"] else "everywhere" if fact["transformer_on_non_residual"] else "identity"
    return compile_text(
        f"hrdsl 1\nuse std.hrnas\nspace s {{\n  input = [{fact['c_in']}, {size.replace('x', ', ')}]\n"
        f"  head = hrnas.searching_block(width = {fact['c_out']}, stride = {fact['stride']}, kernels = {fact['kernels']},\n"
        f'    expands = {expands}, expansion = {str(expand != 1).lower()}, where = "{where}",\n'
        f"    transformer = hrnas.lightweight_transformer(most = {fact['tokens'] or 1}, side = {fact['s'] or 8}))\n}}\n"
    )


@pytest.mark.parametrize("index", range(29))
def test_single_block(index: int) -> None:
    """Figures at two sizes, names and shapes of all parameters and statistics."""
    fact = supernets()["single_blocks"][index]
    for size, macs in fact["macs"].items():
        space = single(fact, size)
        figures = space.costs.one(last(space))
        assert (figures["parameters"], figures["macs"]) == (fact["params_effective"], macs)
    named(space, {**fact["parameters"], **fact["buffers"]}, "hrnas:block", "head.searching_block")


def test_all_single_blocks_are_tested() -> None:
    assert len(supernets()["single_blocks"]) == 29


def named(space: Compiled, sizes: dict[str, list[int]], chart: str, place: str = "") -> None:
    """Every parameter and every statistic comes from one of theirs of the same shape, and nothing of theirs is left."""
    network = extract(space.graph, None, last(space))
    with torch.device("meta"):
        theirs = {name: torch.empty(shape) for name, shape in sizes.items()}
    found = fit(network, theirs, *load(chart), place)
    assert not found.faults
    dead = {n for n in sizes if ".bns." in f".{n}" and not n.endswith("num_batches_tracked")}
    assert {*found.ignored} == dead


@pytest.mark.parametrize("name", NAMED)
def test_names_and_shapes(name: str) -> None:
    """Of whole supernets, through the weight map. Where the facts list no statistics, they are those of the normalisations."""
    fact, (example, settings) = supernets()[name], NAMED[name]
    space = compile_file(EXAMPLES / f"{example}.arch", settings=settings)
    buffers = fact.get("buffers") or statistics(fact["parameters"])
    named(space, {**fact["parameters"], **buffers}, "hrnas:network")
    assert sum(prod(s) for n, s in fact["parameters"].items() if "bns." not in n) == fact["params_effective"]


def statistics(parameters: dict[str, list[int]]) -> dict[str, list[int]]:
    norms = [n.removesuffix(".bias") for n, s in parameters.items() if n.endswith(".bias") and len(s) == 1]
    known = [n for n in norms if n != "classifier" and ".encoder." not in n and ".decoder." not in n]
    return {f"{n}.{kind}": parameters[f"{n}.bias"] for n in known for kind in ("running_mean", "running_var")}


@pytest.mark.parametrize("name", NAMED)
def test_blocks(name: str) -> None:
    """Every block of theirs is one of ours, with its parameters and its multiply-accumulates."""
    fact, (example, settings) = supernets()[name], NAMED[name]
    space = compile_file(EXAMPLES / f"{example}.arch", settings=settings)
    genes, known, found = last(space), blocks(space), dict[str, list[int]]()
    for node in space.graph.nodes:
        if (block := within(node.name)) is not None:
            mine = found.setdefault(known[block], [0, 0])
            mine[0] += sum(prod(a.limit for a in w.axes) for w in node.weights)
            mine[1] += sum(
                prod(at(v, genes) for v in product) for product in node.op.work(shapes(space.graph, node), node.shape)
            )
    wanted = {b["name"]: [b["params_effective"], b["macs"]] for b in fact["blocks"]}
    assert {next(n for n in wanted if fnmatch(n, block)): mine for block, mine in found.items()} == wanted


def within(name: str) -> str | None:
    """The searching block that a node is part of."""
    before, found, _ = name.partition("searching_block")
    return before + found if found else None


def blocks(space: Compiled) -> dict[str, str]:
    """Their name of each block of ours, by the weights of its first kernel."""
    chart, section = load("hrnas:network")
    first = {b for n in space.graph.nodes if (b := within(n.name))}
    name = "groups[1].kernel_group.conv.weight"
    return {b: next(iter(chart.sources(section, f"{b}.{name}")))[0].names[0].partition(".ops.")[0] for b in first}
