"""Prunable units: what is tied, what can go without a trace, and what cannot be pruned."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.compiler.flat import flat_text
from hrdsl.compiler.found import compile_text
from hrdsl.compiler.graph import Graph
from hrdsl.compiler.module import extract
from hrdsl.compiler.open import opened
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.store import Store
from hrdsl.compiler.units import Group, units
from hrdsl.runtime.pruning.penalty import marginal, mean
from hrdsl.runtime.pruning.pruning import with_decisions
from hrdsl.runtime.pruning.shrink import Mask, Remaining
from hrdsl.runtime.results import renamed

EXAMPLES = Path(__file__).parents[1] / "examples"
FACTS = Path(__file__).parent / "facts" / "hrnas"
FIXED = ("resnet50", "hrnetv2_w18", "mobilenetv2", "segformer_b0", "unet")
SMALL = {"hrnetv2_w18": {"base": 8}}


def space(text: str, folder: Path) -> Compiled:
    path = folder / "space.arch"
    path.write_text("hrdsl 1\n\n" + text)
    return compile_file(path)


def silenced(graph: Graph, seed: int) -> tuple[Store, Remaining, dict[int, Mask]]:
    """Random weights in which half of the units, drawn at random, have no importance."""
    genes = tuple(len(d) - 1 for d in graph.decisions)
    groups, _ = units(graph, genes)
    store, rng = Store(graph, seed, dtype=torch.float64), np.random.default_rng(seed)
    torch.manual_seed(seed)
    for name in store.places:
        tensor = store.tensor(name)
        if name.endswith("bias"):
            tensor.normal_()
        elif tensor.dim() == 1:
            tensor.normal_().abs_().add_(0.1)
    dead: dict[int, Mask] = {}
    for k, group in enumerate(groups):
        dead[k] = rng.random(group.count) < 0.5
        dead[k][: group.least] = False
        silence(store, group, dead[k])
    return store, Remaining(groups, genes), dead


def silence(store: Store, group: Group, mask: Mask) -> None:
    """Factors and offsets of 0; where there are no factors, all weights and biases."""
    chosen = (*group.factors, *group.offsets) or group.slices
    for piece in chosen:
        index = torch.from_numpy(piece.rows[mask].reshape(-1))
        store.tensor(piece.weight).index_fill_(piece.axis, index, 0)


def output(graph: Graph, store: Store, genome: Sequence[int], x: torch.Tensor) -> torch.Tensor:
    """With statistics of the batch, and in evaluation with those of the first images."""
    with torch.no_grad():
        plan = Planner(graph, store)(tuple(genome))
        trained = plan(x, "batch", training=False)
        plan(x, "calibrate")
        return torch.cat([trained, plan(x / 2, "stored")])


def unchanged(graph: Graph, side: int = 64, seed: int = 0) -> int:
    """Assert that units without importance can go; how many groups lost some."""
    store, left, dead = silenced(graph, seed)
    x = torch.randn(2, int(graph.input.width), side, side, dtype=torch.float64)
    before = output(graph, store, left.genome, x)
    left.remove(dead, store.places, [store.flat])
    store.release()
    after = output(graph, store, left.genome, x)
    assert float((before - after).abs().max()) <= 1e-10 * float(before.abs().max())
    assert left.counts() == [int((~mask).sum()) for mask in dead.values()]
    return sum(mask.any() for mask in dead.values())


@pytest.mark.parametrize("name", FIXED)
def test_units_without_importance_go_without_a_trace(name: str) -> None:
    found = compile_file(EXAMPLES / "classics" / f"{name}.arch", settings=SMALL.get(name))
    assert unchanged(opened(found.graph)) > 5


def test_units_of_hrnas_go_without_a_trace() -> None:
    given = {"height": 64, "columns": 64, "widths": (4, 8, 12, 16), "first": 8, "stem_width": 8, "last": 24}
    assert unchanged(compile_file(EXAMPLES / "hrnas" / "cityscapes.arch", settings=given).graph) > 100


SPACES = {
    "residual": """cell body(width) { hidden in 1..9
  out = x -> conv(1, hidden) -> bn -> relu -> depthwise(3) -> bn -> gelu -> conv(1, width) -> bn }
space s { input = [3, 32, 32]
  head = conv(3, width = 8) -> bn -> around -> around -> conv(1, width = 4, bias = true) }
cell around() { out = [x, x -> body(8)] -> sum -> relu }""",
    "concat": """cell net() { a in 1..7
  b in 2..10 step 2
  one = x -> conv(3, a) -> bn -> relu
  two = x -> conv(1, b) -> bn -> silu
  out = [one, x, two, one -> average_pool(2) -> resize(x)] -> concat -> conv(1, 6) -> bn -> conv(1, 5) }
space s { input = [3, 32, 32]
  head = net }""",
    "shared width": """cell net() { w in 4..12
  a = x -> conv(3, w) -> bn -> relu
  b = a -> conv(3, w) -> bn
  c = [a, b -> conv(1, w) -> bn -> hardswish] -> sum
  out = c -> global_pool -> linear(w) -> bn -> linear(4) }
space s { input = [3, 32, 32]
  head = net }""",
    "enlarged": """cell net() { w in 1..8
  out = x -> conv(1, w) -> bn -> relu -> up_conv(3, 6, stride = 2) -> bn -> relu -> conv(1, 4) }
space s { input = [3, 32, 32]
  head = net }""",
    "heads of attention": """cell net() { heads in 1..6
  t = x -> conv(1, 8) -> to_tokens
  q = t -> linear(heads * 4)
  k = t -> linear(heads * 4)
  v = t -> linear(heads * 4)
  out = attention(q, k, v, heads = heads) -> linear(8, bias = false) -> bn -> to_map(x) -> conv(1, 4) }
space s { input = [3, 8, 8]
  head = net }""",
    "tokens and attention": """cell net() { w in 1..8
  q = x -> conv(1, 4) -> to_tokens
  out = q -> linear(w) -> bn -> relu -> linear(4) -> bn -> to_map(x) -> conv(1, 4) }
space s { input = [3, 8, 8]
  head = net }""",
}


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("seed", range(3))
def test_units_of_spaces_go_without_a_trace(name: str, seed: int, tmp_path: Path) -> None:
    assert unchanged(space(SPACES[name], tmp_path).graph, 8 if "attention" in name else 32, seed)


REFUSED = {
    "`attention` reads channels by their place or their number": """cell net() { w in 2..8 step 2
  q = x -> conv(1, w)
  out = attention(q, q, q, heads = 2) -> conv(1, 4) }""",
    "`ln` reads channels by their place or their number": """cell net() { w in 1..8
  out = x -> conv(1, w) -> ln -> conv(1, 4) }""",
    "`split` reads channels by their place or their number": """cell net() { w in 2..8 step 2
  out = x -> conv(1, w) -> split(2, 0) -> conv(1, 4) }""",
    "which of several flows goes on depends on it": """cell net() { w in 1..8
  out = (if w > 4 then x -> conv(3, w) else x -> conv(1, w)) -> conv(1, 4) }""",
    "`sum` joins flows whose units differ": """cell net() { a in 1..4
  one = x -> conv(1, a)
  two = x -> conv(1, 2)
  out = [[one, two] -> concat, [two, one] -> concat] -> sum }""",
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_pruned_says_why_and_where(reason: str, tmp_path: Path) -> None:
    found = space(REFUSED[reason] + "\nspace s { input = [3, 8, 8]\n  head = net }", tmp_path)
    groups, refused = units(found.graph, found.decisions.largest())
    assert not groups and [r.reason for r in refused] == [reason]
    assert refused[0].span.text and refused[0].decision.span.text


def penalties(name: str, given: dict[str, Any], convention: str = "macs") -> tuple[Remaining, list[float], float]:
    """The groups of an HR-NAS space at its largest, the marginal cost of each, and the mean cost of a unit as its code has it."""
    found = compile_file(EXAMPLES / "hrnas" / f"{name}.arch", settings=given)
    genes = found.decisions.largest()
    left = Remaining(units(found.graph, genes)[0], genes)
    counts = found.costs if convention == "macs" else found.counted(convention)

    def cost(rows: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return np.asarray(counts(rows, peak=False)["macs" if convention == "macs" else "operations"], np.float64)

    total = sum(left.counts())
    return left, marginal(left, cost).tolist(), mean(left, cost) * total / (total + 1e-5)


@pytest.mark.parametrize(
    ("name", "file", "side"),
    [("seg_cityscapes", "cityscapes", 224), ("cls_imagenet", "imagenet", 0), ("keypoint_coco", "coco", 224)],
)
def test_conv_penalties_of_hrnas(name: str, file: str, side: int) -> None:
    """All 567, in three supernets: exact marginal MACs at 224 x 224 over the normaliser."""
    wanted = json.loads((FACTS / "penalties.json").read_text())[name]
    left, costs, unit = penalties(file, {"height": side, "columns": side} if side else {})
    assert (unit, sum(left.counts())) == (wanted["normalizer"], wanted["units"])
    assert sorted(c / unit for c in costs) == sorted(e["penalty"] for e in wanted["entries"])


def test_token_penalties_of_hrnas() -> None:
    """With transformers everywhere, as the released profiler counts: 61 token costs, 183 conv penalties, the normaliser."""
    wanted = json.loads((FACTS / "penalties.json").read_text())["seg_cityscapes+T_all_n64"]
    left, costs, unit = penalties(
        "cityscapes", {"height": 224, "columns": 224, "where": "everywhere"}, "hrnas-profiler"
    )
    tokens = [each.group.path.endswith("tokens") for each in left.left]
    assert unit == wanted["normalizer"]
    found = [c / unit for c, is_token in zip(costs, tokens, strict=True) if is_token]
    assert sorted(found) == sorted(e["penalty"] for e in wanted["entries"])
    found = [c / unit for c, is_token in zip(costs, tokens, strict=True) if not is_token]
    assert sorted(found) == sorted(wanted["conv_penalty"].values())


def test_opened_at_full_width_is_the_network() -> None:
    for name in FIXED:
        found = compile_file(EXAMPLES / "classics" / f"{name}.arch")
        wide = with_decisions(found)
        genes = tuple(len(d) - 1 for d in wide.graph.decisions)
        assert wide.costs.one(genes) == found.costs.one(())
        assert len(wide.graph.decisions) == len(units(wide.graph, genes)[0])


@pytest.mark.parametrize("name", FIXED)
def test_flat_texts_are_the_same_network(name: str) -> None:
    """Bit for bit, at random widths."""
    wide = with_decisions(compile_file(EXAMPLES / "classics" / f"{name}.arch", settings=SMALL.get(name)))
    rng = np.random.default_rng(0)
    genes = tuple(int(rng.integers(len(d) // 2, len(d))) for d in wide.graph.decisions)
    flat = compile_text(flat_text(wide.graph, genes), wide)
    assert flat.costs.one(()) == wide.costs.one(genes)
    store = Store(wide.graph, 0)
    one, other = extract(wide.graph, store, genes).eval(), extract(flat.graph, None, ()).eval()
    other.load_state_dict(renamed(one, other))
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(one(x), other(x))
