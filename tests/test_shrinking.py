"""Shrinking while training: the same trajectory as with masks, the same network as compiled afresh, and its edges."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.compiler.found import compile_text, found_text
from hrdsl.compiler.module import extract
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.store import Store
from hrdsl.compiler.units import units
from hrdsl.runtime.optimise import Optimizer, Readings
from hrdsl.runtime.pruning.shrink import Mask, Remaining
from hrdsl.runtime.results import renamed

from .test_units import silence

torch.set_num_threads(1)
HRNAS = Path(__file__).parents[1] / "examples" / "hrnas" / "cityscapes.arch"
TINY: dict[str, Any] = {
    "height": 33,
    "columns": 47,
    "classes": 3,
    "widths": (2, 4, 6, 8),
    "blocks": (1, 1, 1, 1, 1),
    "first": 4,
    "stem_width": 4,
    "last": 6,
    "expand": 2,
    "again": False,
}


class Lab:
    """A space at its largest with half of its units silent, over a float64 store."""

    def __init__(self, space: Compiled, share: float = 0.5, seed: int = 0, genes: tuple[int, ...] = ()) -> None:
        self.space = space
        genes = genes or space.decisions.largest()
        self.left = Remaining(units(space.graph, genes)[0], genes)
        self.store = Store(space.graph, seed, dtype=torch.float64)
        rng = np.random.default_rng(seed)
        self.dead: dict[int, Mask] = {}
        for k, each in enumerate(self.left.left):
            mask = rng.random(len(each)) < share
            mask[: each.group.least] = False
            self.dead[k] = mask
            silence(self.store, each.group, mask)
        self.optimizer = Optimizer(self.store, "adamw", {"lr": 1e-3, "weight_decay": 1e-2})
        self.planner = Planner(space.graph, self.store)
        self.readings = Readings(self.planner)

    def train(self, steps: int, masked: bool) -> list[float]:
        """Losses; with `masked` what is silent is made so again after each step."""
        generator = torch.Generator().manual_seed(0)
        losses = []
        for _ in range(steps):
            x = torch.randn(2, 3, *map(int, self.space.graph.input.extent), dtype=torch.float64, generator=generator)
            plan = self.planner(self.left.genome)
            loss = plan(x, "batch", training=False).square().mean()
            with self.store.collecting(plan.parameters(), alone=True):
                loss.backward()
            self.optimizer.step(self.readings.of((self.left.genome,)), 1e-3)
            if masked:
                self.mask()
            losses.append(float(loss.detach()))
        return losses

    def mask(self) -> None:
        for k, each in enumerate(self.left.left):
            silence(self.store, each.group, self.dead[k])

    def shrink(self) -> None:
        flats = self.store.flat, self.optimizer.first, self.optimizer.second
        self.left.remove(self.dead, self.store.places, flats)
        self.store.release()
        self.optimizer.release()


def test_masked_and_shrunk_training_are_one_trajectory() -> None:
    """20 steps each, after 3 steps that fill the states of the optimizer."""
    masked, shrunk = (Lab(compile_file(HRNAS, settings=TINY)) for _ in range(2))
    for lab in (masked, shrunk):
        lab.train(3, masked=True)
    shrunk.shrink()
    one, other = masked.train(20, masked=True), shrunk.train(20, masked=False)
    assert np.allclose(one, other, rtol=1e-8) and one[-1] != one[0]
    macs = [lab.space.costs.one(lab.left.genome)["macs"] for lab in (masked, shrunk)]
    assert macs[1] < 0.8 * macs[0]


def outputs(lab: Lab, x: Tensor) -> Tensor:
    with torch.no_grad():
        return lab.planner(lab.left.genome)(x, "batch", training=False)


@pytest.mark.parametrize("share", [0.3, 0.97, 1.0])
def test_a_shrunk_network_is_the_one_compiled_from_its_text(share: float) -> None:
    """Bit for bit, with odd sizes; with nearly all units gone, and with none left: every branch lives by its shortcuts."""
    lab = Lab(compile_file(HRNAS, settings=TINY), share)
    x = torch.randn(2, 3, 33, 47, dtype=torch.float64)
    before = outputs(lab, x)
    lab.shrink()
    assert torch.allclose(before, outputs(lab, x), rtol=0, atol=1e-9 * float(before.abs().max()))
    if share == 1.0:
        assert sum(lab.left.counts()) == 0
    found = compile_text(found_text(lab.space, lab.left.genome), lab.space)
    mine = extract(lab.space.graph, lab.store, lab.left.genome).eval()
    fresh = extract(found.graph, None, ()).double().eval()
    fresh.load_state_dict(renamed(mine, fresh))
    with torch.no_grad():
        assert torch.equal(mine(x), fresh(x))


def test_tokens_are_really_removed() -> None:
    """Rows of the projection, the normalisation and the queries, columns of the way back; down to none."""
    space = compile_file(HRNAS, settings={**TINY, "where": "everywhere", "tokens": 4, "side": 3})
    genes = space.decisions.largest()
    groups, _ = units(space.graph, genes)
    group = next(g for g in groups if g.path.endswith("tokens"))
    assert {s.weight.rpartition("token_mixer.")[2] for s in group.slices} == {
        "memory.conv.weight",
        "memory.bn.weight",
        "memory.bn.bias",
        "mixed.yes.decoder.queries.learned.weight",
        "conv.weight",
    }
    left, store = Remaining(groups, genes), Store(space.graph)
    k = groups.index(group)
    full = space.costs.one(left.genome)["parameters"]
    for count in (2, 0):
        keep = np.arange(len(left.left[k])) >= count
        left.remove({k: keep}, store.places, [store.flat])
        network = extract(space.graph, store, left.genome).eval()
        assert sum(p.numel() for p in network.parameters()) == space.costs.one(left.genome)["parameters"] < full
        network(torch.randn(1, 3, 33, 47))
        full = space.costs.one(left.genome)["parameters"]


SHARED = """hrdsl 1

cell body() {
  hidden in 1..6
  out = [x, x -> conv(1, hidden) -> bn -> relu -> conv(1, 4) -> bn] -> sum
}

cell twice() {
  one = x -> body
  out = one -> relu
}

space s {
  input = [4, 5, 7]
  head = twice -> conv(1, 2, bias = true)
}
"""


def test_one_surviving_unit(tmp_path: Path) -> None:
    path = tmp_path / "s.arch"
    path.write_text(SHARED)
    lab = Lab(compile_file(path), 1.0)
    assert lab.dead[0].tolist() == [False, True, True, True, True, True]
    x = torch.randn(3, 4, 5, 7, dtype=torch.float64)
    before = outputs(lab, x)
    lab.shrink()
    assert lab.left.counts() == [1]
    assert torch.allclose(before, outputs(lab, x), atol=1e-12)
    with pytest.raises(ValueError, match="keeps at least 1 units, not 0"):
        lab.left.remove({0: np.array([True])}, lab.store.places, [lab.store.flat])


def test_order_of_removals_does_not_matter() -> None:
    """In two goes as in one: the same units at the same places."""
    one, two = (Lab(compile_file(HRNAS, settings=TINY)) for _ in range(2))
    one.shrink()
    first = {k: m & (np.arange(len(m)) % 2 == 0) for k, m in two.dead.items()}
    two.left.remove(first, two.store.places, [two.store.flat])
    rest = {k: m[~first[k]] for k, m in two.dead.items()}
    two.left.remove(rest, two.store.places, [two.store.flat])
    assert one.left.genome == two.left.genome
    assert all(np.array_equal(a.units, b.units) for a, b in zip(one.left.left, two.left.left, strict=True))
    x = torch.randn(2, 3, 33, 47, dtype=torch.float64)
    two.store.release()
    assert torch.equal(outputs(one, x), outputs(two, x))


ROUTES = """hrdsl 1

use std.blocks

cell body(width, stride = 1) {
  hidden in 1..5
  out = x -> conv(1, hidden) -> bn -> relu -> depthwise(3, stride) -> bn -> relu -> conv(1, width) -> bn -> relu
}

cell merge() {
  ups = [if f.stride == x[0].stride then f else f -> resize(x[0]) for f in x]
  out = ups -> concat -> conv(1, width = 8) -> bn
}

space s {
  input = [3, 32, 32]
  stem = blocks.conv_bn_relu(3, stride = 2, width = 4)
  branch high at 1/2 {}
  branch low at 1/4 {}
  routes paths on high, low {
    layers = 3
    open in {true, false} per branch
    down in subsets(range(1, 3), halvings) per branch
    cell = body
    width = 4
    fuse = merge
  }
  head = concat -> conv(1, width = 4)
  require any([r.open for r in paths.branches])
}
"""


def test_cells_that_share_weights(tmp_path: Path) -> None:
    """Two routes that begin alike have their first cell in common as long as it is the same: it keeps its units, and says so;
    all others go."""
    path = tmp_path / "s.arch"
    path.write_text(ROUTES)
    space = compile_file(path)
    values = {d.path: d for d in space.graph.decisions}
    genes = [len(d) - 1 for d in space.graph.decisions]
    for name, label in (("paths.high.open", "true"), ("paths.low.open", "true"), ("paths.low.down", "[2]")):
        genes[values[name].index] = values[name].labels.index(label)
    lab = Lab(space, 0.6, genes=tuple(genes))
    _, refused = units(space.graph, genes)
    reasons = {r.decision.path: r.reason for r in refused}
    shared = {path: reason for path, reason in reasons.items() if "[1]" in path}
    assert shared and set(shared.values()) == {"which of several flows goes on depends on it"}
    assert {each.group.path for each in lab.left.left}.isdisjoint(shared) and len(lab.left.left) >= 4
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    before = outputs(lab, x)
    lab.shrink()
    assert torch.allclose(before, outputs(lab, x), rtol=0, atol=1e-9 * float(before.abs().max()))
    found = compile_text(found_text(space, lab.left.genome), space)
    assert found.costs.one(()) == space.costs.one(lab.left.genome)
