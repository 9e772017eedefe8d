"""TrioNet (Sun et al. 2021): the space, its stand-alone networks and multi-head sharing, against the facts of the paper.

What is compared with is data in `tests/facts/trionet`, or plain torch written here.
"""

import json
import time
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import cache
from itertools import combinations
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from hrdsl.cli.main import main
from hrdsl.compiler.api import Compiled, compile_file, compile_module
from hrdsl.compiler.axis import Axis
from hrdsl.compiler.module import extract
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.store import Store
from hrdsl.compiler.vector import Evaluation
from hrdsl.dsl.diagnostic import Source
from hrdsl.dsl.format import format_text
from hrdsl.dsl.modules import load_source

torch.set_num_threads(1)

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "trionet"
FACTS = ROOT / "tests" / "facts" / "trionet"
OPERATORS = ("convolution", "local_attention", "axial_attention")
BLOCK = """
space s {
  input = [64, 8, 8]
  head = one
}
cell one() { out = x -> trionet.trio(128) }
"""
SMALL = {"dense": True, "classes": 5, "size": 64, "base": 32, "splits": (1, 2)}


def facts(name: str) -> Any:
    return json.loads((FACTS / f"{name}.json").read_text())


SPACE, TABLE, EXTREMES, SHARING = map(facts, ("space", "table2", "extremes", "mhs_index_sets"))


@cache
def trionet(**settings: Any) -> Compiled:
    return compile_file(FOLDER / "space.arch", settings=settings)


@cache
def compiled(text: str) -> Compiled:
    return compile_module(load_source(Source("s.arch", f"hrdsl 1\n\nuse std.trionet\n{text}")))


def wide() -> Compiled:
    """The reading of twice the widths behind the same stem."""
    text = (FOLDER / "space.arch").read_text().replace("pooled(base / 2)", "pooled(64)")
    return compile_module(load_source(Source("s.arch", text)), settings={"base": 256})


def figures(space: Compiled, genes: tuple[int, ...] = ()) -> tuple[float, float]:
    """Parameters in M and FLOPs in G, two for each multiply-accumulate."""
    costs = space.costs.one(genes)
    return costs["parameters"] / 1e6, 2 * costs["macs"] / 1e9


def end(space: Compiled, operator: str, last: bool) -> tuple[int, ...]:
    """The genome of one operator everywhere, the most heads, all else at its first or its last value."""
    genes = [len(d) - 1 if last or d.path.endswith("heads") else 0 for d in space.graph.decisions]
    for d in space.graph.decisions:
        if d.path.endswith("operator"):
            genes[d.index] = d.labels.index(operator)
    return tuple(int(g) for g in space.decisions.canonical(np.array([genes]))[0])


# the space ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.arch")), ids=lambda p: p.stem)
def test_text(path: Path) -> None:
    text = path.read_text()
    assert format_text(Source(path.name, text)) == text
    assert not compile_file(path).warnings


@pytest.mark.parametrize("settings", [{}, SMALL], ids=["paper", "small"])
def test_count(settings: dict[str, Any]) -> None:
    """Every choice of the blocks that are there, 70 each."""
    count = trionet(**settings).decisions.count()
    each = sum(SPACE["operators"][o]["cardinality"] for o in ("conv", "local", "axial"))
    depths = [stage["depth"] for stage in SPACE["macro"]["stages"]]
    assert count.exact
    assert count.value == SPACE["cardinality"]["exact"] == prod(sum(each**d for d in ds) for ds in depths)
    assert f"{count.value:,} architectures" in (FOLDER / "space.arch").read_text()


@pytest.mark.parametrize(("operator", "fact"), [*zip(OPERATORS, ("conv", "local", "axial"), strict=True)])
def test_choices_of_an_operator(operator: str, fact: str) -> None:
    space = compiled(BLOCK)
    genes = np.array([*space.decisions.enumerate()])
    (d,) = [d for d in space.graph.decisions if d.path.endswith("operator")]
    assert len(genes) == SPACE["choices_per_block"]
    assert sum(genes[:, d.index] == d.labels.index(operator)) == SPACE["operators"][fact]["cardinality"]


@pytest.mark.parametrize("reading", ["narrow", "wide"])
def test_extremes(reading: str) -> None:
    """Of each operator, and over all: the parameters of the largest convolutions, the MACs of what a climb reaches."""
    space = trionet() if reading == "narrow" else wide()
    found = {(o, last): figures(space, end(space, o, last)) for o in OPERATORS for last in (False, True)}
    for (operator, last), pair in found.items():
        assert as_written(pair, EXTREMES[reading][operator][last])
    least = map(min, zip(*found.values(), strict=True))
    most = max(p for p, _ in found.values()), figures(space, space.decisions.largest())[1]
    assert as_written(least, EXTREMES["all"][reading][0])
    assert as_written(most, EXTREMES["all"][reading][1])


def as_written(values: Iterable[float], wanted: list[str]) -> bool:
    """Whether numbers are those given, to as many digits."""
    return [f"{v:.{len(w.partition('.')[2])}f}" for v, w in zip(values, wanted, strict=True)] == wanted


def test_the_supernet_is_as_large_as_its_architectures_need() -> None:
    """The kernels of convolutions are narrower than what other operators make of the same flow."""
    size = sum(prod(a.limit for a in w.axes) for n in trionet().graph.nodes for w in n.weights)
    assert as_written([size / 1e6], [EXTREMES["supernet"]["narrow"]])


def test_operators_are_drawn_evenly() -> None:
    """Hierarchical sampling: the depth of each stage, then the operator of each block that is there."""
    decisions = trionet().decisions
    rows = decisions.sample(np.random.default_rng(5), 3000)
    for d in decisions.decisions:
        if d.path.endswith(("operator", "depth")):
            active = decisions.active[d.index]
            there = rows if active is True else rows[Evaluation(rows)(active).astype(bool)]
            seen = np.bincount(there[:, d.index], minlength=len(d))
            assert chisquare(seen).pvalue > 1e-4


def test_compiling_is_fast() -> None:
    """Processor time, with room for a slow machine."""
    start = time.process_time()
    space = compile_file(FOLDER / "space.arch")
    assert time.process_time() - start < 1
    assert space.decisions.count().exact
    space.costs(space.decisions.sample(np.random.default_rng(0), 100))
    assert time.process_time() - start < 3


def test_an_extracted_network_computes_what_the_supernet_does() -> None:
    """Also what was learned: weights of both are the same numbers."""
    space = trionet(**SMALL)
    store = Store(space.graph, 1, dtype=torch.float64)
    store.flat.normal_(0, 0.1, generator=torch.Generator().manual_seed(1))
    planner, x = Planner(space.graph, store), torch.randn(2, 3, 64, 64, dtype=torch.float64)
    drawn = space.decisions.sample(np.random.default_rng(3), 3).tolist()
    for genes in map(tuple, [*drawn, space.decisions.largest(), space.decisions.smallest()]):
        own = extract(space.graph, store, genes)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            wanted = own(x)
        torch.testing.assert_close(planner(genes)(x), wanted, check_stride=False)
        costs = space.costs.one(genes)
        assert counter.get_total_flops() == 2 * len(x) * costs["macs"]
        assert sum(p.numel() for p in own.parameters()) == costs["parameters"]


def test_a_residual_branch_begins_silent() -> None:
    """The factors of the normalisation before each shortcut are 0, all others 1."""
    space = trionet(**SMALL)
    own = extract(space.graph, None, space.decisions.largest())
    factors = {n: p for n, p in own.named_parameters() if p.dim() == 1 and n.endswith("weight")}
    silent = [n for n, p in factors.items() if not p.any()]
    assert len(silent) == sum(stage["max_blocks"] for stage in SPACE["macro"]["stages"])
    assert all("expanded" in n for n in silent)
    assert all(torch.equal(p, torch.ones_like(p)) for n, p in factors.items() if n not in silent)


def test_searched_by_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sandwich training, then evolution, on scenes of digits."""
    sets = ("dense=true", "classes=11", "size=32", "base=32", "splits=[1,2]")
    given = [part for pair in sets for part in ("--set", pair)]
    where = [
        "--study",
        str(tmp_path / "found"),
        "--cache",
        str(tmp_path / "cache"),
        "--device",
        "cpu",
        "--threads",
        "1",
    ]
    assert main(["search", str(FOLDER / "space.arch"), "--train", "quick", "--search", "quick", *given, *where]) == 0
    assert [*(tmp_path / "found" / "front").glob("*.arch")]


# stand-alone networks ----------------------------------------------------------------------------------------------


def test_every_row_has_its_file() -> None:
    assert {p.stem for p in FOLDER.glob("*.arch")} == {*TABLE["rows"], "space"}


@pytest.mark.parametrize("name", TABLE["rows"])
def test_table_2(name: str) -> None:
    row, space = TABLE["rows"][name], compile_file(FOLDER / f"{name}.arch")
    found = space.costs.one(())
    assert [round(value, 3) for value in figures(space)] == row["measured"]
    text = (FOLDER / f"{name}.arch").read_text()
    assert f"{found['parameters']:,} parameters and {found['macs']:,} MACs" in text
    assert str(row["depths"]) in text
    assert all(found[exact] == row[exact] for exact in ("parameters", "macs") if exact in row)


def test_axial_50_is_not_that_of_the_table() -> None:
    """The same definition with the depths of 50 layers; no reading gives the published figures."""
    row = TABLE["not_reproduced"]["axial50"]
    text = (FOLDER / "axial38.arch").read_text().replace(str(TABLE["rows"]["axial38"]["depths"]), str(row["depths"]))
    found = figures(compile_module(load_source(Source("s.arch", text))))
    assert [round(value, 3) for value in found] == row["measured"]
    assert [round(value, 1) for value in found] != row["published"]


@pytest.mark.parametrize("name", ["resnet26", "local26", "axial26", "axial38"])
def test_output_is_that_of_plain_torch(name: str) -> None:
    space = compile_file(FOLDER / f"{name}.arch", settings={"size": 64, "classes": 10})
    own = extract(space.graph, None, ()).double()
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for p in own.parameters():
        nn.init.normal_(p, 1 if p.dim() == 1 else 0, 0.1 if p.dim() < 3 else p[0].numel() ** -0.5)
    with torch.no_grad():
        wanted = Plain(own, name).network(x, TABLE["rows"][name]["depths"])
        found = own(x)
    assert float(found.std()) > 1e-3
    torch.testing.assert_close(found, wanted)


class Plain:
    """The networks of Table 2; the parameters of an extracted network are taken one after the other."""

    def __init__(self, own: nn.Module, name: str) -> None:
        self.left: Iterator[nn.Parameter] = own.parameters(recurse=False)
        self.norms = (m for m in own.modules() if isinstance(m, nn.BatchNorm2d))
        self.kind = name[:-2]

    def conv(self, x: Tensor, stride: int = 1) -> Tensor:
        w = next(self.left)
        return F.conv2d(x, w, stride=stride, padding=w.shape[2] // 2)

    def bn(self, x: Tensor) -> Tensor:
        norm = next(self.norms)
        return F.batch_norm(x, None, None, norm.weight, norm.bias, training=True)

    def network(self, x: Tensor, depths: list[int]) -> Tensor:
        x = F.max_pool2d(self.bn(self.conv(x, 2)).relu(), 3, 2, 1)
        for stage, depth in enumerate(depths):
            for block in range(depth):
                x = self.bottleneck(x, 2 if stage and not block else 1, first=not block)
        out = F.linear(x.mean((2, 3)), next(self.left), next(self.left))
        assert next(self.left, None) is next(self.norms, None) is None
        return out

    def bottleneck(self, x: Tensor, stride: int, first: bool) -> Tensor:
        inner = self.bn(self.conv(x)).relu()
        if self.kind == "resnet":
            inner = self.conv(inner, stride)
        else:
            inner = self.local(inner) if self.kind == "local" else self.axial(inner)
            inner = F.avg_pool2d(inner, stride)
        inner = inner if self.kind == "axial" else self.bn(inner)
        out = self.bn(self.conv(inner.relu()))
        return (out + (self.bn(self.conv(x, stride)) if first else x)).relu()

    def local(self, x: Tensor) -> Tensor:
        """7x7, 8 heads, keys of zeros beyond the map."""
        q = self.conv(x).flatten(2).unflatten(1, (8, -1))
        k, v = (F.unfold(self.conv(x), 7, padding=3).unflatten(1, (8, -1, 49)) for _ in range(2))
        table = torch.cat([next(self.left).repeat_interleave(7, 0), next(self.left).repeat(7, 1)], 1)
        logits = torch.einsum("bhcp,bhckp->bhkp", q, k) + torch.einsum("bhcp,kc->bhkp", q, table)
        return torch.einsum("bhkp,bhckp->bhcp", logits.softmax(2), v).flatten(1, 2).view_as(x)

    def axial(self, x: Tensor) -> Tensor:
        """Along the height, then along the width."""
        return self.along(self.along(x).transpose(2, 3), turned=True).transpose(2, 3)

    def along(self, x: Tensor, turned: bool = False) -> Tensor:
        q, k, v = (self.conv(x).unflatten(1, (8, -1)) for _ in range(3))
        n, table = x.shape[2], next(self.left)
        places = torch.arange(n)[None] - torch.arange(n)[:, None] + n - 1
        logits = torch.einsum("bhciw,bhcjw->bhwij", q, k) + torch.einsum("bhciw,ijc->bhwij", q, table[places])
        return torch.einsum("bhwij,bhcjw->bhciw", logits.softmax(4), v).flatten(1, 2)


# multi-head sharing ------------------------------------------------------------------------------------------------

BY_HEADS = """
space s {
  input = [3, 8, 8]
  n in {4, 8}
  head = attend(n, width in {16, 32, 64}) -> bn -> conv(kernel in {3, 5, 7}, width = 5)
}
cell attend(n, width) {
  q = x -> conv(1, width%s)
  k = x -> conv(1, width%s)
  v = x -> conv(1, width%s)
  out = attention(q, k, v, heads = n)
}
"""


def indices(axis: Axis, genes: tuple[int, ...]) -> list[int]:
    return [i for start, length in axis.runs(genes) for i in range(start, start + length)]


def rows_of(space: Compiled, name: str, axis: int = 0) -> dict[tuple[int, int], list[int]]:
    """By heads and width, the rows that a node's weight is read at."""
    (node,) = [n for n in space.graph.nodes if n.name.endswith(name)]
    (weight, *_) = node.weights
    places = {d.path.rpartition(".")[2]: d for d in space.graph.decisions}
    out = {}
    for genes in map(tuple, space.decisions.enumerate()):
        key = tuple(int(places[p].values[genes[places[p].index]]) for p in ("n", "width"))
        out[key] = indices(weight.axes[axis], genes)
    return out


@pytest.mark.parametrize(("node", "axis"), [("q.conv", 0), ("k.conv", 0), ("v.conv", 0), ("bn", 0), ("head.conv", 1)])
def test_index_sets(node: str, axis: int) -> None:
    """Queries, keys and values, and all that reads what they give."""
    found = rows_of(compiled(BY_HEADS % ((", heads = n",) * 3)), node, axis)
    assert found == {(case["n"], case["s"]): case["rows"] for case in SHARING["cases"]}


def test_heads_of_rows() -> None:
    """The share of a head in attention is the block of the largest weight that it comes from."""
    for case in SHARING["cases"]:
        share = case["s"] // case["n"]
        assert [i // share for i in range(case["s"])] == case["head"]
        assert [row // (case["C"] // case["n"]) for row in case["rows"]] == case["head"]


def test_centre_crops() -> None:
    space = compiled(BY_HEADS % ((", heads = n",) * 3))
    (node,) = [n for n in space.graph.nodes if n.name.endswith("head.conv")]
    axis, (d,) = node.weights[0].axes[2], [d for d in space.graph.decisions if d.path.endswith("kernel")]
    genes = [0] * len(space.graph.decisions)
    for kernel in (3, 5):
        genes[d.index] = d.values.index(kernel)
        found = indices(axis, tuple(genes))
        assert [found[0], found[-1] + 1] == SHARING[f"centre_crop_7_to_{kernel}"]


@pytest.mark.parametrize(("rule", "option"), [("mhs", ", heads = n"), ("prefix", "")])
def test_rows_that_serve_different_heads(rule: str, option: str) -> None:
    """Over all pairs of configurations; head i of 4 counts as the heads 2i and 2i + 1 of 8."""
    found = rows_of(compiled(BY_HEADS % ((option,) * 3)), "q.conv")
    same, every = [0, 0], [0, 0]
    for (one, rows), (other, others) in combinations(found.items(), 2):
        shared, heads = {*rows} & {*others}, min(one[0], other[0])
        apart = sum(head(one, rows, row, heads) != head(other, others, row, heads) for row in shared)
        for tally in (every, same) if one[0] == other[0] else (every,):
            tally[0] += apart
            tally[1] += len(shared)
    assert same == SHARING["collisions"][f"{rule}_same_n"]
    assert every == SHARING["collisions"][f"{rule}_any_n"]


def head(configuration: tuple[int, int], rows: list[int], row: int, heads: int) -> int:
    """The head that a row serves, where so many heads are counted."""
    n, width = configuration
    return rows.index(row) // (width // n) * heads // n


@pytest.mark.parametrize("operator", ["local_attention", "axial_attention"])
@pytest.mark.parametrize("shared", [True, False])
def test_index_sets_of_a_block(operator: str, shared: bool) -> None:
    """Queries, keys and values of all its attentions take rows by heads, or the first; the projection behind reads the same
    columns."""
    space = compiled(BLOCK.replace("trio(128)", f"trio(128, shared = {str(shared).lower()})"))
    nodes = {n.name.removeprefix("head.one.trio."): n for n in space.graph.nodes}
    for genes in map(tuple, space.decisions.enumerate()):
        chosen = {
            d.path.removeprefix("head.one.trio."): d.labels[g]
            for d, g in zip(space.graph.decisions, genes, strict=True)
        }
        if chosen["operator"] != operator:
            continue
        width, n = 128 * Fraction(chosen["wide"]), int(chosen[f"{operator}.heads"])
        blocks = n if shared else 1
        widths = (int(width * Fraction(chosen[f"{operator}.{k}"])) for k in ("query", "value"))
        queries, values = (rows(64, blocks, w) for w in widths)
        wanted = {"q.conv": queries, "k.conv": queries, "v.conv": values}
        found = {k: w.axes for k, node in nodes.items() for w in node.weights[:1] if f".{operator}." in k}
        assert found
        for name, axes in found.items():
            ending = ".".join(name.split(".")[-2:])
            if ending in wanted:
                assert indices(axes[0], genes) == wanted[ending]
        assert indices(nodes["bottleneck.expanded.conv"].weights[0].axes[1], genes) == values
        assert indices(nodes["bottleneck.expanded.norm.bn"].weights[0].axes[0], genes) == values


def rows(size: int, heads: int, share: int) -> list[int]:
    """{ i size / heads + j }, j < share / heads."""
    return [i * size // heads + j for i in range(heads) for j in range(share // heads)]
