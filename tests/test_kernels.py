"""Operations of a plan with a backward pass of their own: the results and the gradients of torch's."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from hrdsl.compiler import kernels
from hrdsl.compiler.api import compile_file
from hrdsl.compiler.kernels import Convolution, Link, Room, chain, depthwise, depthwise_gradient
from hrdsl.compiler.module import extract
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.store import Store

torch.set_num_threads(1)

BLOCK = """hrdsl 1

## Two kernels, expanded and added; the second hidden width is searched, so that its weights are read in part.
cell mixed(width) {
  groups = [x -> conv(1, 24) -> bn -> relu -> depthwise(k) -> bn -> relu6 -> conv(1, width) for k in [3, 5, 7]]
  narrow = x -> conv(1, width = hidden) -> bn -> silu -> depthwise(5, stride = 1) -> bn -> conv(3, width)
  hidden in {8, 16, 40}
  out = x + ([groups, narrow] -> sum -> bn)
}

space s {
  input = [3, 24, 16]
  stem = conv(3, width = 16) -> bn -> relu
  head = repeat(mixed(16), times = 2) -> bn -> relu -> conv(3, width = 4, bias = true)
}
"""


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small maps are treated as large ones are, and nothing has room."""
    for name in ("LARGE", "WIDE", "ROOM", "TILED"):
        monkeypatch.setattr(kernels, name, 0)


def drawn(*size: int, last: bool = False) -> Tensor:
    x = torch.randn(*size, generator=torch.Generator().manual_seed(sum(size)))
    return x.contiguous(memory_format=torch.channels_last) if last else x


@pytest.mark.parametrize("last", (False, True))
@pytest.mark.parametrize("tiled", (0, kernels.TILED))
@pytest.mark.parametrize("size", ((5, 6), (6, 23), (17, 23)))
@pytest.mark.parametrize("stride", (1, 2, 3))
@pytest.mark.parametrize("padding", ("same", "valid"))
@pytest.mark.parametrize("kernel", (5, 7, 9, 11))
def test_gradient_of_wide_filters(
    monkeypatch: pytest.MonkeyPatch,
    kernel: int,
    padding: str,
    stride: int,
    size: tuple[int, int],
    tiled: int,
    last: bool,
) -> None:
    monkeypatch.setattr(kernels, "TILED", tiled)
    how = Convolution(stride, kernel // 2 if padding == "same" else 0, 1, 20)
    sides = [max(side, kernel - 2 * how.padding) for side in size]
    x, weight = drawn(2, 20, *sides, last=last), drawn(20, 1, kernel, kernel).requires_grad_()
    y = torch.conv2d(x, weight, None, *how)
    g = drawn(*y.shape, last=last)
    (wanted,) = torch.autograd.grad(y, weight, g)
    torch.testing.assert_close(depthwise_gradient(g, x, kernel, how), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("biased", (False, True))
def test_depthwise_is_a_convolution(always: None, biased: bool) -> None:
    x, weight = drawn(2, 8, 12, 9).requires_grad_(), drawn(8, 1, 5, 5).requires_grad_()
    bias = drawn(8).requires_grad_() if biased else None
    inputs = [t for t in (x, weight, bias) if t is not None]
    mine = depthwise(x, weight, bias, 1, 2, 1, 8)
    theirs = torch.conv2d(x, weight, bias, 1, 2, 1, 8)
    assert "Depthwise" in type(mine.grad_fn).__name__
    assert torch.equal(mine, theirs)
    for a, b in zip(*(torch.autograd.grad(y.square().sum(), inputs) for y in (mine, theirs)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_what_is_traced_sees_functions_of_torch() -> None:
    x, weight = drawn(1, 8, 12, 9), drawn(8, 1, 5, 5).requires_grad_()
    with torch.no_grad():
        assert depthwise(x, weight, None, 1, 2, 1, 8).grad_fn is None
    with torch.autocast("cpu", torch.bfloat16):
        assert "Depthwise" not in type(depthwise(x, weight, None, 1, 2, 1, 8).grad_fn).__name__
    with FlopCounterMode(display=False) as counter:
        depthwise(x, weight, None, 1, 2, 1, 8)
    assert counter.get_total_flops() == 2 * 8 * 12 * 9 * 25


def precise(*size: int) -> Tensor:
    return drawn(*size).double().requires_grad_()


def links() -> Iterator[Link]:
    def normal(width: int) -> tuple[Tensor, Tensor, float]:
        return precise(width), precise(width), 1e-3

    yield Link(None, None, precise(24, 6, 1, 1), None, Convolution(1, 0, 1, 1))
    for activation in (torch.relu, F.relu6, F.silu, F.hardswish, None):
        weight, bias = precise(24, 1, 5, 5), precise(24)
        yield Link(normal(24), activation, weight, bias, Convolution(1, 2, 1, 24))
    yield Link(normal(24), torch.relu, precise(5, 24, 3, 3), None, Convolution(2, 1, 1, 1))


def test_what_has_room_is_kept(always: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first chain of a run keeps what lies between its links, as torch does; the second finds no room left."""
    row = list(links())
    x = precise(3, 6, 13, 11)
    between = 3 * 13 * 11 * 24 * 12  # six convolved maps, six normalised and activated ones
    monkeypatch.setattr(kernels, "ROOM", between)
    room = Room()
    assert "Chain" not in type(chain(x, room, *row).grad_fn).__name__
    assert room.left == 0
    assert "Chain" in type(chain(x, room, *row).grad_fn).__name__


@pytest.mark.parametrize("first", (0, 1))
def test_a_chain_is_its_links_in_a_row(always: None, first: int) -> None:
    row = list(links())[first:]
    x = precise(3, 24 if first else 6, 13, 11)
    mine, theirs = chain(x, Room(), *row), x
    for link in row:
        theirs = link(theirs)
    assert "Chain" in type(mine.grad_fn).__name__
    assert torch.equal(mine, theirs)
    inputs = [x, *(t for link in row for t in link.tensors() if t is not None)]
    g = precise(*mine.shape).detach()
    for a, b in zip(*(torch.autograd.grad(y, inputs, g) for y in (mine, theirs)), strict=True):
        scale = max(float(b.abs().max()), 1e-3)
        torch.testing.assert_close(a / scale, b / scale, rtol=0, atol=1e-9)


def test_a_plan_keeps_less_and_gives_the_same(always: None, tmp_path: Path) -> None:
    path = tmp_path / "s.arch"
    path.write_text(BLOCK)
    space = compile_file(path)
    x = drawn(2, 3, 24, 16)
    store = Store(space.graph, 0)
    planner = Planner(space.graph, store)
    for genes in (space.decisions.largest(), space.decisions.smallest()):
        plan, own = planner(genes), extract(space.graph, store, genes).double()
        program = plan.program("batch", True)
        assert any(i.fn is chain for i, _ in program)
        plan.zero_grad()
        y = plan(x, "batch")
        with store.collecting(plan.parameters(), alone=True):
            y.square().mean().backward()  # type: ignore[no-untyped-call]
        own.train()(x.double()).square().mean().backward()
        state = dict(own.named_parameters())
        for name, attribute in own.meta["parameters"].items():
            wanted, found = state[attribute].grad, store.gradient_of(name)
            assert wanted is not None
            part = found[tuple(slice(0, n) for n in wanted.shape)] if found.shape != wanted.shape else found
            scale = max(float(wanted.abs().max()), 1e-4)
            if part.shape[2:] == wanted.shape[2:]:
                torch.testing.assert_close(part.double() / scale, wanted / scale, rtol=0, atol=2e-3)
        with torch.no_grad():
            assert torch.equal(plan(x, "batch"), y)
