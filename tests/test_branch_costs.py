"""Costs of branches: what belongs to which, constraints, goals and pruning. The truth is a walk over extracted networks."""

import io
import json
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import fx
from torch.utils.flop_counter import FlopCounterMode

from hrdsl.cli.main import main
from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.compiler.graph import Graph
from hrdsl.compiler.module import extract
from hrdsl.compiler.sym import at
from hrdsl.dsl.diagnostic import ArchError, render
from hrdsl.runtime.objectives import objectives_of, problem_of
from hrdsl.runtime.pruning.choose import Queue, enough
from hrdsl.runtime.pruning.limits import Limits
from hrdsl.runtime.pruning.shrink import Remaining
from hrdsl.runtime.search.problem import Config, Evaluation, search
from hrdsl.runtime.strategy import ENGINES

from .spaces import EXAMPLES, SPACES, compile_example, compile_text
from .test_pruning import written

ROUTES = """hrdsl 1

use std.blocks
use std.fusion

cell upwards() {
  out = [if flow.stride == x[0].stride then flow else flow -> resize(x[0]) for flow in x]
      -> concat
      -> conv(1, width = 16)
}

space trellis {
  input = [3, 32, 32]
  stem = conv(3, width = 4, stride = 2)
  branch image at 1/2 {}
  branch high at 1/4 {}
  branch middle at 1/8 {}
  stage before on image { cell = conv(3, width = 4) }
  routes paths on high, middle {
    layers = 3
    open = [true, true]
    enter = blocks.conv_bn_relu(3, width = 8, stride = 2)
    down in subsets(range(1, layers), halvings) per branch
    cell in {identity, blocks.conv_bn_relu(3)} per cell
    width = 2 * stride
    fuse = upwards
  }
  head = fusion.concat_up -> conv(1, width = 4)
}
"""
CASES = {**SPACES, "routes": ROUTES}
every = pytest.mark.parametrize(
    "case", [*CASES, *EXAMPLES], ids=lambda c: c if isinstance(c, str) else f"examples/{c.stem}"
)


@cache
def compiled(case: str | Path) -> Compiled:
    return compile_text(CASES[case], f"{case}.arch") if isinstance(case, str) else compile_example(case)


# the truth: what torch counts, call by call, by the names of calls -------------------------------------------------


class Counting(fx.Interpreter):
    """Runs a network; MACs by the name of the cell that makes the call."""

    def __init__(self, network: fx.GraphModule) -> None:
        super().__init__(network)
        self.macs: Counter[str] = Counter()

    def run_node(self, n: fx.Node) -> Any:
        with FlopCounterMode(display=False) as counter:
            found = super().run_node(n)
        self.macs[n.meta.get("cell") or n.name] += counter.get_total_flops() // 2
        return found


def branch_of(graph: Graph, name: str) -> str:
    """The branch that a path names: `s2.fine[1].conv`, in routes `paths.low[2].high.conv` or `paths.low[2].high.down.conv`."""
    branches = [x.name for x in graph.lanes]
    stage, lane, number, *rest = [*re.findall(r"\w+", name), "", "", ""]
    if stage in ("stem", "head", "heads") or lane not in branches:
        return ""
    if rest[0] in branches and number.isdigit():  # a cell of routes
        return branches[branches.index(rest[0]) + (rest[1] == "down")]
    return "high" if stage == "paths" and number == "fuse" else lane


def truth(space: Compiled, genes: Sequence[int]) -> Counter[str]:
    """Costs of each branch, and of no branch as `.macs`."""
    network, x = extract(space.graph, None, genes).eval(), space.graph.input
    run = Counting(network)
    with torch.no_grad():
        run.run(torch.zeros(1, int(at(x.width, genes)), *(int(at(e, genes)) for e in x.extent)))
    found: Counter[str] = Counter()
    for name, macs in run.macs.items():
        found[f"{branch_of(space.graph, name)}.macs"] += macs
    state = dict(network.named_parameters())
    for name, own in network.meta["parameters"].items():
        found[f"{branch_of(space.graph, name)}.parameters"] += state[own].numel()
    return found


@every
def test_costs_are_what_torch_counts(case: str | Path) -> None:
    """Of every branch; what is left of the network is that of no branch."""
    space = compiled(case)
    rows = space.decisions.sample(np.random.default_rng(5), 2)
    names = [f"{x.name}.{cost}" for x in space.graph.lanes for cost in ("macs", "parameters")]
    found = space.costs.named(rows, [*names, "macs", "parameters"])
    for k, genes in enumerate(rows.tolist()):
        wanted = truth(space, genes)
        assert {n: int(found[n][k]) for n in names} == {n: wanted[n] for n in names}
        for cost in ("macs", "parameters"):
            inside = sum(found[n][k] for n in names if n.endswith(cost))
            assert found[cost][k] - inside == wanted[f".{cost}"]


# constraints and goals ---------------------------------------------------------------------------------------------

SMALL = """hrdsl 1

use std.blocks
use std.fusion

space s {
  input = [3, 16, 16]
  stem = conv(3, width = 8, stride = 2)
  branch fine at 1/2 { width in {8, 16} }
  branch coarse at 1/4 { width in {8, 24} }
  stage s1 on fine { cell = conv(kernel in {1, 3}) }
  stage s2 on fine, coarse {
    cell in {blocks.residual, conv(1), identity} per branch
    fuse = fusion.exchange
  }
  head = fusion.concat_up -> conv(1, width = 11)
  require fine.macs <= 250k
}

train t for s {
  images = 16
  steps = 2
  batch = 4
}

search q for s {
  maximize miou
  minimize coarse.macs
  require 2 * coarse.parameters <= fine.parameters + 9k
  strategy = nsga2(population = 8, generations = 4)
  validate = 8
  recalibrate = 8
}
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("small"), SMALL)


@cache
def feasible() -> tuple[set[tuple[int, ...]], set[tuple[int, ...]]]:
    """The architectures of the space without its constraint, and those that meet both, by the truth."""
    space = compile_text(SMALL.replace("  require fine.macs <= 250k\n", ""))
    every, good = set(space.decisions.enumerate()), set()
    for genes in every:
        costs = truth(space, genes)
        if costs["fine.macs"] <= 250_000 and 2 * costs["coarse.parameters"] <= costs["fine.parameters"] + 9_000:
            good.add(genes)
    return every, good


def test_feasible_architectures(small: Path) -> None:
    """Counted, listed, drawn and repaired: those that meet the constraints, and no other."""
    every, good = feasible()
    space = compile_file(small).restricted("q").decisions
    assert 10 < len(good) < len(every) - 10
    assert set(space.enumerate()) == good and space.count().value == len(good)
    rows = space.sample(np.random.default_rng(0), 40 * len(good))
    assert set(map(tuple, rows.tolist())) == good
    mended = space.repair(np.array(sorted(every - good), np.int16), np.random.default_rng(0))
    assert set(map(tuple, mended.tolist())) <= good


def test_search(small: Path) -> None:
    """Every candidate is feasible, and the goal of a branch is its cost."""
    _, good = feasible()
    space = compile_file(small)
    run = space.run("search")
    assert run is not None
    asked: dict[tuple[int, ...], Evaluation] = {}

    def measure(genomes: Sequence[tuple[int, ...]]) -> list[tuple[tuple[int, ...], Evaluation]]:
        asked.update({g: Evaluation((float(sum(g)),)) for g in genomes})
        return [(g, asked[g]) for g in genomes]

    problem = problem_of(space.restricted("q"), run, measure)
    assert [(o.name, o.exact) for o in objectives_of(run)] == [("miou", False), ("coarse.macs", True)]
    config = Config(seed=1, population=8, generations=200)
    front = search(problem, config, ENGINES["nsga2"](problem, config), None, None)
    assert set(asked) == good
    points = {g: (sum(g), truth(space, g)["coarse.macs"]) for g in good}
    best = {p for p in points.values() if not any(q != p and q[0] >= p[0] and q[1] <= p[1] for q in points.values())}
    assert {m.values for m in front.members} == best


def test_command(small: Path, tmp_path: Path) -> None:
    """A whole search from the command line; networks that are found keep their constraint."""
    status, data = command(
        "search", small, "--study", tmp_path / "st", "--cache", tmp_path / "cache", "--device", "cpu"
    )
    assert status == 0
    for network in data["front"]:
        found = compile_file(network["path"])
        assert "require fine.macs <= 250k" in found.model.module.source.text
        assert truth(found, ())["coarse.macs"] == network["coarse.macs"]
        assert truth(found, ())["fine.macs"] <= 250_000


def command(*words: object) -> tuple[int, dict[str, Any]]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main([*map(str, words), "--json"])
    return status, json.loads(out.getvalue())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("require fine.peak_activation_bytes <= 1Mi", ["E510", "`fine` has no `peak_activation_bytes`", "`fine.macs`"]),
        ("require s2.macs <= 1M", ["E510", "`s2` has no `macs` of its own", "`some_branch.parameters`"]),
        ("require s2.fine.macs <= 1M", ["E510", "`s2.fine` has no `macs` of its own", "`fine.macs`"]),
        ("require fine.macs <= 12ms", ["E302"]),
        ("require fine.macs", ["E407"]),
        ("require fine.mac <= 1M", ["E312"]),
        (
            "require fine.macs + coarse.parameters <= 1k",
            ["E403", "fine.macs lies between", "coarse.parameters lies between"],
        ),
        ("wide = fine.macs\n  require wide >= fine.width", []),
    ],
)
def test_what_is_said(line: str, said: list[str], tmp_path: Path) -> None:
    file = written(tmp_path, SMALL, ("require fine.macs <= 250k", line))
    if not said:
        compile_file(file)
        return
    with pytest.raises(ArchError) as fault:
        space = compile_file(file)
        space.decisions.check()
    assert all(words in "".join(map(render, fault.value.found)) for words in said)


@pytest.mark.parametrize(
    ("goal", "said"),
    [
        ("coarse.peak_activation_bytes", ["E510"]),
        ("coarse.miou", ["E510"]),
        ("coarse.mac", ["E502", "did you mean `coarse.macs`?"]),
        ("middle.macs", ["E502"]),
        ("s1.macs", ["E502"]),
    ],
)
def test_what_is_said_of_goals(goal: str, said: list[str], tmp_path: Path) -> None:
    with pytest.raises(ArchError) as fault:
        compile_file(written(tmp_path, SMALL, ("minimize coarse.macs", f"minimize {goal}")))
    assert all(words in "".join(map(render, fault.value.found)) for words in said)


def test_names_of_a_branch_come_first(tmp_path: Path) -> None:
    """An entry, a decision or an override of that name hides the cost."""
    changes = [
        ("fine at 1/2 {", "fine at 1/2 { macs in {1, 2}\n"),
        ("conv(kernel in {1, 3})", "conv(1 + 2 * (macs // 2))"),
    ]
    space = compile_file(written(tmp_path, SMALL, *changes, ("fine.macs <= 250k", "fine.macs <= 1")))
    assert {g[[d.path for d in space.graph.decisions].index("fine.macs")] for g in space.decisions.enumerate()} == {0}


# pruning -----------------------------------------------------------------------------------------------------------

WIDTHS = """hrdsl 1

use std.fusion

space s {
  input = [3, 16, 16]
  stem = conv(3, width = 8, stride = 2)
  branch fine at 1/2 { width = 8 }
  branch coarse at 1/4 { width = 16 }
  stage s1 on fine { cell = conv(3) -> bn -> relu }
  stage s2 on fine, coarse {
    cell = conv(3, width in 1..24 per branch) -> bn -> relu -> conv(1) -> bn -> relu
    fuse = fusion.exchange
  }
  head = fusion.concat_up -> conv(1, width = 11)
  require fine.macs <= 120k
}

train t for s {
  images = 32
  steps = 8
  batch = 4
}

search shrink for s {
  strategy = prune(to = [9/10, 3/5], every = 2)
  require coarse.parameters <= 4k
  validate = 16
  recalibrate = 16
}
"""


def test_pruned_branches(tmp_path: Path) -> None:
    """By a search with a limit of its own, and by `hrdsl prune` with that of the space: every network found keeps to them."""
    file = written(tmp_path, WIDTHS)
    limits = Limits(compile_file(file).restricted("shrink"))
    full = truth(limits.space, limits.genes)
    assert full["fine.macs"] > 120_000 and full["coarse.parameters"] > 4_000
    common = ("--cache", tmp_path / "cache", "--device", "cpu")
    status, data = command("search", file, "--study", tmp_path / "search", *common)
    assert status == 0 and len(data["front"]) == 2
    for network in data["front"]:
        costs = truth(compile_file(network["path"]), ())
        assert costs["fine.macs"] <= 120_000 and costs["coarse.parameters"] <= 4_000
    status, data = command("prune", file, "--study", tmp_path / "prune", "--to", "9/10", *common)
    (network,) = data["front"]
    assert status == 0 and truth(compile_file(network["path"]), ())["fine.macs"] <= 120_000


@pytest.mark.parametrize("seed", range(4))
def test_limits_take_what_lowers_them(seed: int) -> None:
    """For the limit of one branch nothing goes that lives in another, and no more than it needs; what goes matters least."""
    limits = Limits(compile_text(WIDTHS))
    full, names = limits.full("macs"), [g.path for g in limits.groups]
    left, rng = Remaining(limits.groups, limits.genes), np.random.default_rng(seed)
    importance = [rng.random(n) for n in left.counts()]
    queue = Queue(left, importance)
    first = enough(queue, [(limits.cost("macs"), full), *limits.others("macs")])
    dead, fine = queue.dead(first), names.index("s2.fine.conv.width")
    assert list(dead) == [fine]
    assert truth(limits.space, queue.genome(first))["fine.macs"] <= 120_000
    assert truth(limits.space, queue.genome(first - 1))["fine.macs"] > 120_000
    assert sorted(importance[fine])[:first] == sorted(importance[fine][dead[fine]])
    both = enough(queue, [(limits.cost("macs"), 0.6 * full), *limits.others("macs")])
    costs = limits.cost("macs")(np.array([queue.genome(both), queue.genome(both - 1)], np.int16))
    assert both > first and costs[0] <= 0.6 * full < costs[1]


def test_a_limit_that_cannot_be_met(tmp_path: Path) -> None:
    file = written(tmp_path, WIDTHS, ("fine.macs <= 120k", "fine.macs <= 40k"))
    status, data = command("search", file, "--study", tmp_path / "st", "--cache", tmp_path / "cache", "--device", "cpu")
    (found,) = data["diagnostics"]
    assert status == 1 and found["code"] == "E509" and "`fine.macs` down to 40,000" in found["title"]
