"""The gradients that a store collects, in place and by copies, against those of networks with weights of their own."""

import pytest
import torch
from torch import Tensor

from hrdsl.compiler import store as stores
from hrdsl.compiler.api import compile_module
from hrdsl.compiler.module import extract
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.store import Store
from hrdsl.dsl.diagnostic import Source
from hrdsl.dsl.modules import load_source

TEXT = """hrdsl 1

space s {
  input = [3, 8, 8]
  stem = conv(3, width in {8, 16}) -> bn -> relu
  wide = conv(3, width = 40) -> bn -> relu
  head = op
  op in {conv(1, width = 4), conv(3, width = 4, bias = true)}
}
"""


@pytest.mark.parametrize("large", (0, 1000, 1 << 40))
def test_gradients_of_passes(large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first pass replaces what is there of what it reads, the others add to it; nothing else is touched."""
    monkeypatch.setattr(stores, "LARGE", large)
    space = compile_module(load_source(Source("test.arch", TEXT)))
    store = Store(space.graph, dtype=torch.float64)
    planner = Planner(space.graph, store)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    store.gradient.fill_(7)
    wanted = {name: store.gradient_of(name).clone() for name in store.places}
    largest, smallest = space.decisions.largest(), space.decisions.smallest()
    for genes, alone in ((largest, True), (smallest, False), (largest, False)):
        plan, own = planner(genes), extract(space.graph, store, genes)
        y = plan(x, "batch")
        with store.collecting(plan.parameters(), alone):
            y.square().sum().backward()
        own.train()(x).square().sum().backward()
        state = dict(own.named_parameters())
        for name, attribute in own.meta["parameters"].items():
            _add(wanted[name], state[attribute].grad, alone)
    for name in store.places:
        torch.testing.assert_close(store.gradient_of(name), wanted[name], rtol=1e-9, atol=1e-9)
    plan = planner(largest)
    assert all(alias.grad is not None and alias.grad.shape == alias.shape for alias in plan.parameters())


def _add(whole: Tensor, part: Tensor | None, alone: bool) -> None:
    assert part is not None
    box = whole[tuple(slice(n) for n in part.shape)]
    box.copy_(part if alone else box + part)
