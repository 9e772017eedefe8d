"""Architectures whose cells run compiled: the same results as their plans, and no more graphs than forms of cells."""

import logging
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.backends.registry import lookup_backend
from torch._dynamo.exc import Unsupported

from hrdsl.compiler.api import Compiled
from hrdsl.compiler.cells import Cells, instance
from hrdsl.compiler.module import extract
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.store import Store
from hrdsl.dsl.settings import Chosen
from hrdsl.runtime import compiling
from hrdsl.runtime.faults import RunError
from hrdsl.runtime.retrain import train_network
from hrdsl.runtime.task import Examples
from hrdsl.runtime.train import SupernetTrainer

from .spaces import compile_text

# torch's compiler looks at `.grad` of what it is given, and hides that warning from everybody but pytest.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
CPU = torch.device("cpu")
SPACE = """hrdsl 1
use std.blocks
space s {
  input = [3, 8, 8]
  stem = blocks.conv_bn_relu(3, stride = 2, width = 8)
  branch fine at 1/2 { width in {4, 6, 8} }
  stage s1 on fine {
    cell = blocks.separable(kernel in {3, 5})
    times in 1..3
  }
  head = conv(1, width = 5, bias = true)
}
"""
SETTINGS: dict[str, Any] = {
    "optimizer": Chosen("adamw", {"lr": 0.01, "weight_decay": 0.1}),
    "sample": Chosen("sandwich", {"random": 1}),
    "steps": 3,
    "batch": 4,
}


@cache
def space() -> Compiled:
    return compile_text(SPACE)


def data() -> Examples:
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (8, 3, 8, 8), generator=rng, dtype=torch.uint8)
    return Examples(images, torch.randint(0, 5, (8, 8, 8), generator=rng, dtype=torch.uint8), 5, 255)


def planner() -> Planner:
    store = Store(space().graph, 1)
    torch.manual_seed(2)
    store.flat.add_(0.1 * torch.randn_like(store.flat))
    return Planner(space().graph, store)


class Counting:
    """A backend of `torch.compile` that counts its graphs."""

    def __init__(self, name: str) -> None:
        self.graphs = 0
        self._backend = lookup_backend(name)

    def __call__(self, module: torch.fx.GraphModule, inputs: Any) -> Any:
        self.graphs += 1
        return self._backend(module, inputs)


def both_passes(network: Any, store: Store, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    store.zero_grad()
    y = network(x)
    y.square().mean().backward()
    return y.detach(), store.gradient.clone()


def test_a_cell_is_what_stands_at_one_place() -> None:
    names = "s2.fine[1].residual.body.conv", "s2.fine.fuse.exchange.sum", "stem.conv_bn_relu.bn", "head"
    assert [*map(instance, names)] == ["s2.fine[1]", "s2.fine.fuse.exchange", "stem.conv_bn_relu", ""]


def test_as_many_graphs_as_forms_and_the_results_of_plans() -> None:
    plans, backend = planner(), Counting("eager")
    cells = Cells(plans, backend)
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 8)
    everyone = [tuple(map(int, genes)) for genes in space().decisions.sample(np.random.default_rng(0), 24)]
    assert len(set(everyone)) > 12
    grown = []
    for genes in everyone:
        wanted = both_passes(plans(genes), plans.store, x)
        found = both_passes(cells(genes), plans.store, x)
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
        grown.append(backend.graphs)
    assert grown[-1] == len(cells.forms) < len(cells(everyone[-1]).cells) * 4
    assert grown[-1] == grown[11], "the second half is made of what the first half compiled"


def test_a_cell_that_torch_cannot_trace_runs_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    def untraced(module: torch.fx.GraphModule, inputs: Any) -> Any:
        raise AssertionError("nothing is traced")

    plans, genes = planner(), space().decisions.largest()
    cells, x = Cells(plans, untraced), torch.ones(1, 3, 8, 8)
    for bound in cells(genes).cells:
        refuse = Unsupported("no such thing\nmore")
        bound.form._run = lambda *_, fault=refuse: (_ for _ in ()).throw(fault)
    with caplog.at_level(logging.WARNING, "hrdsl.compiler.cells"):
        found = [cells(genes)(x) for _ in range(2)]
    assert all(torch.equal(y, plans(genes)(x)) for y in found)
    assert len(caplog.records) == len(cells.forms) and not any(form.compiled for form in cells.forms.values())


def test_architectures_are_forgotten_when_the_store_moves() -> None:
    plans = planner()
    cells, genes = Cells(plans, "eager"), space().decisions.largest()
    before = cells(genes)
    assert cells(genes) is before
    plans.store.to("cpu")
    assert cells(genes) is not before


def test_training_through_cells_is_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "BACKEND", "eager")
    stores = []
    for compiled in (False, True):
        trainer = SupernetTrainer(space(), {**SETTINGS, "compile": compiled}, data(), CPU)
        trainer.run()
        stores.append(trainer.store.flat)
    torch.testing.assert_close(stores[1], stores[0], rtol=1e-4, atol=1e-6)


def retrained(compiled: bool) -> torch.Tensor:
    network = extract(space().graph, None, space().decisions.largest(), seed=3)
    train_network(network, {**SETTINGS, "compile": compiled}, data(), CPU)
    with torch.no_grad():
        found: torch.Tensor = network(torch.ones(1, 3, 8, 8))
    return found


def test_retraining_compiled_is_retraining(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "BACKEND", "eager")
    torch.testing.assert_close(retrained(True), retrained(False), rtol=1e-4, atol=1e-5)


def test_what_cannot_be_compiled_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(module: torch.fx.GraphModule, inputs: Any) -> Any:
        raise OSError("no compiler here")

    monkeypatch.setattr(compiling, "BACKEND", broken)
    with pytest.raises(RunError, match=r"torch.compile failed: .*no compiler here.*leave out `compile`"):
        retrained(True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_through_inductor() -> None:
    torch.testing.assert_close(retrained(True), retrained(False), rtol=1e-3, atol=1e-4)
    stores, brief = [], {"steps": 1, "sample": Chosen("single", {})}
    for compiled in (False, True):
        trainer = SupernetTrainer(space(), {**SETTINGS, **brief, "compile": compiled}, data(), CPU)
        trainer.run()
        stores.append(trainer.store.flat)
    torch.testing.assert_close(stores[1], stores[0], rtol=1e-3, atol=1e-4)
