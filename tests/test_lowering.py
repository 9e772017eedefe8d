"""Every form of an architecture computes the same numbers: plan, over the store, supernet, extracted, source."""

import random
import time
from collections.abc import Callable, Iterator
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from hrdsl.compiler import kernels
from hrdsl.compiler.api import compile_file
from hrdsl.compiler.axis import Runs
from hrdsl.compiler.graph import Graph
from hrdsl.compiler.module import extract, over_store, supernet
from hrdsl.compiler.plan import Plan, Planner
from hrdsl.compiler.source import python_source
from hrdsl.compiler.specialise import Live, Specialiser
from hrdsl.compiler.store import Store
from hrdsl.compiler.sym import at

torch.set_num_threads(1)

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.arch"))
GATES = """hrdsl 1
use std.blocks
use std.fusion

cell mixed(width) {
  cell in {blocks.residual(kernel in {3, 5}), blocks.inverted_residual(kernel in {3, 5, 7}, expand in {2, 4})}
}

cell opened(x0) {
  open in {true, false}
  out = if open then x -> conv(1, width = 6) -> bn else none
}

space gates(classes = 5) {
  input = [3, 32, 32]
  stem = blocks.conv_bn_relu(3, stride = 2, width = 8)
  branch a at 1/2 { width in {8, 12, 16} }
  branch b at 1/4 { width in {16, 24} }
  branch c at 1/8 { width in {16, 32} }
  stage s1 on a, b {
    cell = mixed
    times in 1..3
    fuse = fusion.gated_exchange
  }
  stage s2 on a, b, c {
    cell = mixed
    times in 1..2
    fuse = fusion.gated_exchange
  }
  head = fusion.concat_up -> sides -> conv(3, width = 16, groups = 2) -> relu6 -> conv(1, width = classes, bias = true)
}

cell sides() {
  left = x -> opened(x)
  right = x -> opened(x)
  out = [x, left, right] -> concat -> bn -> conv(1, width in {8, 16}) -> dropout(1/10)
}
"""
TOKENS = """hrdsl 1
use std.blocks
use std.fusion

cell block(width, heads) {
  n = x -> ln
  q = n -> linear(width)
  k = n -> linear(width)
  v = n -> linear(width)
  mixed = x + (attention(q, k, v, heads = heads) -> linear(width))
  out = mixed + (mixed -> ln -> linear(width * ratio) -> gelu -> dropout(1/10) -> linear(width))
  ratio in {1, 2, 3}
}

cell squeezed() {
  weight = x -> global_pool -> linear(width = 4) -> bn -> relu -> linear(width = x.width) -> sigmoid
  out = x * weight
}

cell halves() {
  a = x -> split(2, 0) -> depthwise(3, bias = true) -> hardswish
  b = x -> split(2, 1) -> scale(each = true) -> ln
  out = [a, b] -> concat
}

cell tokens(width) {
  t = x -> to_tokens -> linear(width)
  asked = x -> learned(count in {3, 4}, width = width)
  k = t -> linear(width)
  v = t -> bn -> linear(width)
  seen = attention(asked, k, v, heads in {1, 2}) -> softmax
  pooled = seen -> global_pool
  out = t * pooled -> repeat(block(width = width, heads in {1, 2, 4}), times in 1..2) -> to_map(x)
}

space tokens() {
  input = [3, 16, 16]
  stem = conv(3, width in {8, 16}, stride = 2, bias = true) -> halves -> squeezed
  branch a at 1/2 { width in {8, 16, 24} }
  stage s on a { cell in {tokens, blocks.separable} }
  head = fusion.concat_up -> max_pool(3, 1) -> average_pool(2) -> global_pool -> linear(width = 7)
}
"""
EITHER = """hrdsl 1
use std.fusion

cell either() {
  open in {true, false}
  shut in {true, false}
  left = if open then x -> conv(1, width = 8) else none
  right = if open then none else x -> conv(3, width in {16, 20}, stride = 2) -> bn
  other = if shut then none else left
  out = [left + right, left + other + right -> depthwise(3)] -> concat -> bn
}

space either() {
  input = [3, 16, 16]
  stem = conv(3, width = 8)
  branch a at 1/1 { width = 8 }
  head = either -> relu -> conv(1, width = 3)
}
"""
TEXTS = {"either": EITHER, "gates": GATES, "tokens": TOKENS}
NAMES = [*(p.stem for p in EXAMPLES), *TEXTS]
ROUNDS = 6


class Case:
    """A space with what the tests need of it."""

    def __init__(self, path: Path) -> None:
        self.graph: Graph = compile_file(path).graph
        self.store = Store(self.graph, seed=3)
        self.planner = Planner(self.graph, self.store)
        size = [at(n, ()) for n in (self.graph.input.width, *self.graph.input.extent)]
        self.x = torch.randn(4, *size, generator=torch.Generator().manual_seed(1))

    def genomes(self, count: int = ROUNDS) -> Iterator[tuple[int, ...]]:
        source = random.Random(7)
        yield tuple(0 for _ in self.graph.decisions)
        yield tuple(len(d) - 1 for d in self.graph.decisions)
        for _ in range(count):
            yield tuple(source.randrange(len(d)) for d in self.graph.decisions)


@pytest.fixture(scope="module", params=NAMES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    name = request.param
    if name not in TEXTS:
        return made(next(p for p in EXAMPLES if p.stem == name))
    path = tmp_path_factory.getbasetemp() / f"{name}.arch"
    path.write_text(TEXTS[name])
    return made(path)


@cache
def made(path: Path) -> Case:
    return Case(path)


def seeded(network: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """With the same dropout every time."""
    torch.manual_seed(0)
    return network(x)


def calibrated(case: Case, genes: tuple[int, ...]) -> Plan:
    plan = case.planner(genes)
    gather(plan, case.x)
    return plan


@torch.no_grad()
def gather(plan: Plan, x: Tensor) -> None:
    plan.reset_statistics()
    plan(x, "calibrate")
    plan(x * 0.5 + 1, "calibrate")


def test_forms_agree_with_batch_statistics(case: Case) -> None:
    whole = supernet(case.graph, case.store)
    whole.graph.lint()
    for genes in case.genomes():
        plan = case.planner(genes)
        expected = seeded(plan, case.x)
        shared = over_store(case.graph, case.store, genes)
        shared.graph.lint()
        assert torch.equal(seeded(shared, case.x), expected)
        whole.set_architecture(genes)
        assert torch.equal(seeded(whole, case.x), expected)
        assert torch.equal(seeded(extract(case.graph, case.store, genes), case.x), expected)


def test_forms_agree_with_stored_statistics(case: Case) -> None:
    whole = supernet(case.graph, case.store)
    for genes in case.genomes():
        plan = calibrated(case, genes)
        expected = plan(case.x, "stored")
        own = extract(case.graph, case.store, genes, plan.statistics).eval()
        own.graph.lint()
        assert torch.equal(own(case.x), expected)
        assert torch.equal(network_of(own)(case.x), expected)
        assert torch.equal(fx.symbolic_trace(own)(case.x), expected)
        whole.set_architecture(genes)
        whole.set_mode("stored")
        gather(whole.plan, case.x)
        assert torch.equal(whole(case.x), expected)


def network_of(own: fx.GraphModule) -> nn.Module:
    """The network that the Python source of an extracted one describes."""
    scope: dict[str, Any] = {}
    exec(compile(python_source(own, "a network"), "<source>", "exec"), scope)
    network: nn.Module = scope["Network"]()
    network.load_state_dict(own.state_dict(), strict=True)
    return network.eval()


def test_calibration_is_the_mean_over_batches(case: Case) -> None:
    genes = next(case.genomes())
    plan = calibrated(case, genes)
    own = extract(case.graph, case.store, genes)
    for module in own.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = None
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    with torch.no_grad():
        own(case.x)
        own(case.x * 0.5 + 1)
    for name, (mean, variance) in plan.statistics.items():
        module = own.get_submodule(own.meta["statistics"][name])
        torch.testing.assert_close(module.running_mean, mean)
        torch.testing.assert_close(module.running_var, variance)


def test_gradients_land_in_the_slices(case: Case) -> None:
    for genes in case.genomes():
        case.store.zero_grad()
        plan = case.planner(genes)
        own = extract(case.graph, case.store, genes)
        seeded(plan, case.x).square().mean().backward()
        seeded(own, case.x).square().mean().backward()
        expected = spread(case, genes, own)
        torch.testing.assert_close(case.store.gradient, expected, rtol=0, atol=float(1e-6 * expected.abs().max()))
        assert untouched(case, genes)
        plan.zero_grad()
        assert not case.store.gradient.any()
        seeded(over_store(case.graph, case.store, genes), case.x).square().mean().backward()
        torch.testing.assert_close(case.store.gradient, expected, rtol=0, atol=float(1e-6 * expected.abs().max()))
        plan.zero_grad()


def spread(case: Case, genes: tuple[int, ...], own: fx.GraphModule) -> Tensor:
    """The gradients of an extracted network at their places in the store."""
    flat = torch.zeros_like(case.store.gradient)
    parameters = dict(own.named_parameters())
    for name, runs in slices(case, genes):
        place = case.store.places[name]
        whole = flat[place.offset : place.offset + prod(place.size)].view(place.size)
        gradient = parameters[own.meta["parameters"][name]].grad
        assert gradient is not None
        whole[torch.meshgrid(*map(indices, runs), indexing="ij")] = gradient
    return flat


def slices(case: Case, genes: tuple[int, ...]) -> Iterator[tuple[str, tuple[Runs, ...]]]:
    for live in Specialiser(case.graph)(genes):
        for name, runs in live.entry.weights:
            yield f"{case.graph.nodes[live.node].name}.{name}", runs


def indices(runs: Runs) -> Tensor:
    return torch.cat([torch.arange(start, start + length) for start, length in runs])


def untouched(case: Case, genes: tuple[int, ...]) -> bool:
    """Whether nothing outside the slices of an architecture has a gradient."""
    rest = case.store.gradient.clone()
    for name, runs in slices(case, genes):
        place = case.store.places[name]
        whole = rest[place.offset : place.offset + prod(place.size)].view(place.size)
        whole[torch.meshgrid(*map(indices, runs), indexing="ij")] = 0
    return not rest.any()


class Calls(TorchDispatchMode):
    """Names of all calls that reach ATen."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.name())
        return func(*args, **(kwargs or {}))


def calls(network: Callable[[Tensor], Tensor], x: Tensor) -> list[str]:
    network(x).square().mean().backward()
    with Calls() as seen:
        network(x).square().mean().backward()
    return seen.names


def test_no_slices_on_the_tape_and_no_more_calls_than_a_network_of_its_own(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WIDE", "MANY", "LARGE"):  # what is large is computed by more calls, which are faster
        monkeypatch.setattr(kernels, name, 1 << 40)
    for genes in case.genomes():
        plan, own = case.planner(genes), extract(case.graph, case.store, genes)
        planned = calls(plan, case.x)
        alone = calls(own, case.x)
        joined = [len(c) for _, runs in slices(case, genes) for c in runs if len(c) > 1]
        assert planned.count("aten::slice_backward") == alone.count("aten::slice_backward")
        assert len(planned) - sum(2 * n + 1 for n in joined) <= 1.02 * len(alone)
    case.store.zero_grad()


def test_macs_are_what_torch_counts(case: Case) -> None:
    for genes in case.genomes():
        own = extract(case.graph, None, genes).eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            own(case.x)
        lives = Specialiser(case.graph)(genes)
        assert counter.get_total_flops() == 2 * len(case.x) * sum(macs(case.graph, live, genes) for live in lives)
        sizes = sum(prod(sum(n for _, n in axis) for axis in runs) for live in lives for _, runs in live.entry.weights)
        assert sizes == sum(p.numel() for p in own.parameters())
        assert sizes == sum(p.numel() for p in case.planner(genes).parameters())


def macs(graph: Graph, live: Live, genes: tuple[int, ...]) -> int:
    node = graph.nodes[live.node]
    x = tuple(graph.nodes[i].shape for i in node.inputs if i is not None)
    return sum(prod(at(factor, genes) for factor in term) for term in node.op.macs(x, node.shape))


def test_export(case: Case) -> None:
    genes = list(case.genomes())[1]
    own = extract(case.graph, case.store, genes).eval()
    exported = torch.export.export(own, (case.x,))
    torch.testing.assert_close(exported.module()(case.x), own(case.x))


def test_switching_is_fast(case: Case) -> None:
    """A warm switch costs a look-up for each live operation: far below what lowering again would cost."""
    planner = Planner(case.graph, case.store, most=0)
    genomes = list(case.genomes(20))
    for genes in genomes * 2:
        planner(genes)
    spent = time.process_time()
    operations = sum(len(planner(genes).pieces) for genes in genomes * 5)
    assert time.process_time() - spent < 20e-6 * operations


def test_a_parameter_depends_on_seed_and_name_only(case: Case) -> None:
    names = list(case.store.places)
    again, other = Store(case.graph, seed=3), Store(case.graph, seed=4)
    assert torch.equal(again.flat, case.store.flat)
    drawn = [n for n in names if case.store.places[n].weight.init in ("conv", "linear", "normal")]
    assert all(not torch.equal(other.tensor(n), again.tensor(n)) for n in drawn)


def test_state_of_a_store() -> None:
    case = made(EXAMPLES[0])
    one, two = Store(case.graph, 1), Store(case.graph, 2)
    plan = Planner(case.graph, two)(next(case.genomes()))
    two.load_state_dict(one.state_dict())
    assert torch.equal(one.flat, two.flat)
    with pytest.raises(ValueError, match="do not fit"):
        two.load_state_dict({"nothing": torch.zeros(1)})
    two.to("cpu")
    with pytest.raises(RuntimeError, match="moved"):
        plan(case.x)


def test_a_factor_begins_where_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "s.arch"
    path.write_text("hrdsl 1\nspace s {\n  input = [3, 8, 8]\n  head = bn -> bn(init = 0) -> bn(init = 1/4)\n}\n")
    factors = [p for n, p in extract(compile_file(path).graph, None, ()).named_parameters() if n.endswith("weight")]
    assert [f.tolist() for f in factors] == [[1.0] * 3, [0.0] * 3, [0.25] * 3]


def test_two_halves_are_stored_as_one_whole(tmp_path: Path) -> None:
    """Halves of a prefix leave no gap behind them: in the largest architecture all is read."""
    halves = "cell halves() {\n  parts = [x -> split(2, i) -> split(2, j) for i in range(2) for j in range(2)]\n  out = parts -> concat\n}\n"
    path = tmp_path / "s.arch"
    path.write_text(
        f"hrdsl 1\n{halves}\nspace s {{\n  input = [3, 8, 8]\n  stem = conv(1, width in {{8, 12}})\n  head = halves -> conv(1, width = 5)\n}}\n"
    )
    store = Store(compile_file(path).graph, 0)
    assert store.full("head.conv.weight").shape == (5, 12, 1, 1)
