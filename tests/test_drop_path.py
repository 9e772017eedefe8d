"""`drop_path`, stochastic depth: whole samples, their frequency, all forms of a network, and its faults."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from torch import Tensor

from hrdsl.compiler.api import Compiled
from hrdsl.compiler.module import extract
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.source import python_source
from hrdsl.compiler.store import Store
from hrdsl.dsl.diagnostic import ArchError

from .spaces import compile_text

FORMS = {"map": "x", "tokens": "x -> to_tokens", "vector": "x -> global_pool"}
BLOCK = """
use std.hrvit

space s {{
  input = [16, 8, 8]
  head = hrvit.block(2, 8, 2{more})
}}
"""


def alone(flow: str, rate: str) -> Compiled:
    return compile_text(
        f"hrdsl 1\n\nspace s {{\n  input = [3, 4, 4]\n  head = only\n}}\n\n"
        f"cell only() {{ out = {flow} -> drop_path({rate}) }}\n"
    )


def residual() -> Compiled:
    """Convolutions before and behind it, as maps and as tokens."""
    return compile_text("""hrdsl 1

space s {
  input = [3, 8, 8]
  stem = conv(1, width = 6)
  branch main at 1/1 { width = 6 }
  stage a on main { cell in {kept, plain} }
  head = linear_head
}

cell kept() { out = x + (x -> conv(3, x.width) -> bn -> drop_path(1/2)) -> relu }
cell plain() { out = x -> conv(1, x.width) }
cell linear_head() { out = x -> to_tokens -> linear(5) -> drop_path(1/4) -> global_pool -> drop_path }
""")


@pytest.mark.parametrize("form", FORMS)
def test_whole_samples(form: str) -> None:
    """Each is gone, or divided by what is kept; as often as said."""
    space = alone(FORMS[form], "3/10")
    plan = Planner(space.graph, Store(space.graph, 0))(())
    x = torch.rand(4000, 3, 4, 4) + 1
    torch.manual_seed(1)
    whole, dropped = plan(x, "batch", False), plan(x, "batch")
    ratio = (dropped / whole).flatten(1)
    assert torch.equal(plan(x, "stored"), whole)
    assert torch.allclose(ratio, ratio[:, :1].expand_as(ratio))
    gone = ratio[:, 0] == 0
    assert torch.allclose(ratio[~gone], torch.full_like(ratio[~gone], 1 / 0.7))
    assert binomtest(int(gone.sum()), 4000, 0.3).pvalue > 1e-3


def test_nothing_is_left_of_a_rate_of_0() -> None:
    space = alone("x", "0")
    assert Planner(space.graph, Store(space.graph, 0)).specialiser(()) == ()


def test_all_forms_drop_the_same() -> None:
    space = residual()
    store, x = Store(space.graph, 3), torch.rand(32, 3, 8, 8)
    for genes in ((0,), (1,)):
        plan, own = Planner(space.graph, store)(genes), extract(space.graph, store, genes)
        names: dict[str, object] = {}
        exec(python_source(own, "s"), names)
        written = names["Network"]()  # type: ignore[operator]
        written.load_state_dict(own.state_dict())
        wanted = seeded(plan, x)
        assert torch.equal(wanted, seeded(own.train(), x))
        assert torch.equal(wanted, seeded(written.train(), x))
        assert torch.equal(own.eval()(x), written.eval()(x))


def seeded(network: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    torch.manual_seed(5)
    return network(x)


def test_gradients_are_those_of_the_samples_that_stay() -> None:
    space = alone("x", "1/2")
    plan = Planner(space.graph, Store(space.graph, 0))(())
    x = torch.rand(64, 3, 4, 4).add_(1).requires_grad_()
    torch.manual_seed(2)
    out = plan(x, "batch")
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, (out != 0).float() * 2)


@pytest.mark.parametrize(
    ("flow", "code", "words"),
    [
        ("x -> drop_path(1)", "E305", "at least 0 and below 1"),
        ("x -> drop_path(-1/2)", "E305", "at least 0 and below 1"),
        ("x -> windows(2, 2) -> drop_path -> from_windows(x)", "E308", "whole samples"),
    ],
)
def test_faults(flow: str, code: str, words: str) -> None:
    with pytest.raises(ArchError) as fault:
        compile_text(
            f"hrdsl 1\n\nspace s {{\n  input = [3, 4, 4]\n  head = only\n}}\n\ncell only() {{ out = {flow} }}\n"
        )
    (found,) = fault.value.found
    assert found.code == code
    assert words in found.title


def test_blocks_of_hrvit() -> None:
    """Two residual branches; the parameters are those without, and so are the costs."""
    plain, dropped = (compile_text("hrdsl 1\n" + BLOCK.format(more=more)) for more in ("", ", drop = 1/5"))
    names = [[n.op.name for n in space.graph.nodes] for space in (plain, dropped)]
    assert names[0].count("drop_path") == 0
    assert names[1].count("drop_path") == 2
    stores = [Store(space.graph, 0) for space in (plain, dropped)]
    assert list(stores[0].places) == list(stores[1].places)
    for cost in ("parameters", "macs"):
        assert plain.costs.one(())[cost] == dropped.costs.one(())[cost]
    x = torch.rand(2, 16, 8, 8)
    one, other = (Planner(s.graph, t)(())(x, "batch", False) for s, t in zip((plain, dropped), stores, strict=True))
    torch.testing.assert_close(one, other)
    assert np.isfinite(other.detach().numpy()).all()
