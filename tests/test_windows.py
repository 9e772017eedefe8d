"""Operators with windows, padded or not, and transposed: against windows counted and pixels spread by hand."""

from collections.abc import Iterator
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hrdsl.compiler.api import Compiled
from hrdsl.compiler.module import extract
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.store import Store
from hrdsl.compiler.sym import at
from hrdsl.dsl.diagnostic import ArchError

from .spaces import compile_text

SEARCHED = """hrdsl 1

cell small() {
  out = x
      -> conv(kernel in {2, 3, 4}, width in {4, 6}, stride in {1, 2}, padding = "valid")
      -> max_pool(2, stride = 1, padding = "valid")
      -> depthwise(kernel in {1, 2}, padding = "valid")
}

cell large() {
  out = x -> up_conv(kernel in {2, 4}, width in {3, 5}, stride in {2, 3}, bias = true) -> relu
}

space searched {
  input = [3, 9, 10]
  head = small -> large -> global_pool
}
"""


def space_of(head: str, height: int, width: int) -> Compiled:
    return compile_text(f"hrdsl 1\nspace s {{\n  input = [3, {height}, {width}]\n  head = {head}\n}}\n", "s.arch")


def image_of(space: Compiled) -> Tensor:
    size = [at(n, ()) for n in space.graph.input.extent]
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))


def run(space: Compiled) -> Tensor:
    with torch.no_grad():
        out: Tensor = extract(space.graph, None, ()).eval()(image_of(space))
    return out


def starts(side: int, span: int, stride: int) -> int:
    """How many windows of `span` pixels lie within a side."""
    return sum(start + span <= side for start in range(0, side, stride))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
def test_windows_that_fit(kernel: int, stride: int) -> None:
    for head, span in (
        (f'conv({kernel}, width = 4, stride = {stride}, padding = "valid")', kernel),
        (f'conv({kernel}, width = 4, stride = {stride}, dilation = 2, padding = "valid")', 2 * kernel - 1),
        (f'depthwise({kernel}, stride = {stride}, padding = "valid")', kernel),
        (f'max_pool({kernel}, stride = {stride}, padding = "valid")', kernel),
    ):
        space = space_of(head, 7, 10)
        expected = starts(7, span, stride), starts(10, span, stride)
        assert space.graph.nodes[space.graph.output].shape.extent == expected
        assert run(space).shape[2:] == expected


@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
def test_up_conv_spreads_each_pixel(kernel: int, stride: int) -> None:
    space = space_of(f"up_conv({kernel}, width = 2, stride = {stride}, bias = true)", 3, 4)
    own = extract(space.graph, None, ()).eval()
    weight, bias = (p.detach() for p in own.parameters())
    nn.init.normal_(bias)
    image = image_of(space)
    cut = max(0, kernel - stride + 1) // 2
    spread = torch.zeros(2, 2, 3 * stride + kernel + cut, 4 * stride + kernel + cut)
    for i, j in product(range(3), range(4)):
        window = torch.einsum("nc,cokl->nokl", image[:, :, i, j], weight)
        spread[:, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel] += window
    expected = spread[:, :, cut : cut + 3 * stride, cut : cut + 4 * stride] + bias.reshape(1, -1, 1, 1)
    assert space.graph.nodes[space.graph.output].shape.extent == (3 * stride, 4 * stride)
    torch.testing.assert_close(own(image), expected)


def genomes(space: Compiled) -> Iterator[tuple[int, ...]]:
    return product(*(range(len(d)) for d in space.graph.decisions))


def test_searched() -> None:
    """Every architecture: the plan agrees with its own network, and torch counts the same."""
    space = compile_text(SEARCHED, "searched.arch")
    store = Store(space.graph, seed=3)
    planner, image = Planner(space.graph, store), image_of(space)
    for genes in genomes(space):
        own = extract(space.graph, store, genes)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            torch.testing.assert_close(planner(genes)(image), own(image))
        costs = space.costs.one(genes)
        assert counter.get_total_flops() == 2 * 2 * 2 * costs["macs"]
        assert sum(p.numel() for p in own.parameters()) == costs["parameters"]


@pytest.mark.parametrize(
    ("head", "code", "words"),
    [
        ("max_pool(2)", "E315", "must be odd"),
        ("conv(2, width = 4)", "E315", "must be odd"),
        ('conv(6, width = 4, padding = "valid")', "E305", "at most 5 pixels"),
        ('max_pool(kernel in {2, 6}, padding = "valid")', "E305", "at most 5 pixels"),
        ('depthwise(3, dilation = 3, padding = "valid")', "E305", "at most 5 pixels"),
        ('conv(3, width = 4, padding = "full")', "E316", "cannot be `full`"),
        ("up_conv(2, width = 4, stride = 1)", "E305", "at least 2"),
        ("global_pool -> up_conv(2, width = 4)", "E308", "up_conv"),
    ],
)
def test_faults(head: str, code: str, words: str) -> None:
    with pytest.raises(ArchError) as caught:
        space_of(head, 5, 8)
    [fault] = caught.value.found
    assert fault.code == code
    assert words in fault.title
