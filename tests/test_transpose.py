"""`transpose`, `resize_to` and `coordinates` against plain torch: values, index sets, costs, and what is refused."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from hrdsl.compiler.api import Compiled
from hrdsl.compiler.module import extract, over_store
from hrdsl.compiler.store import Store
from hrdsl.dsl.diagnostic import ArchError

from .every_form import every_form
from .spaces import compile_text

torch.set_num_threads(1)

MIXER = """
cell mixer(side) {
  small = x -> resize_to(side, side)
  placed = [small, small -> coordinates] -> concat
  tokens = placed -> conv(1, width in {2, 3, 6}) -> bn -> to_tokens -> transpose
  mixed = tokens + (tokens -> linear(side * side, bias = false))
  out = mixed -> transpose -> to_map(small) -> conv(1, 5)
}
"""
JOINED = """
cell joined() {
  first = x -> conv(1, width in {1, 2})
  second = x -> conv(1, width = 3)
  tokens = [first, second] -> concat -> to_tokens -> transpose -> linear(9) -> relu
  out = tokens -> transpose -> linear(4)
}
"""


@cache
def space(head: str, cells: str = "", size: str = "3, 5, 6") -> Compiled:
    return compile_text(f"hrdsl 1\n{cells}\nspace s {{\n  input = [{size}]\n  head = {head}\n}}\n")


def image(*size: int) -> Tensor:
    return torch.randn(2, *(size or (3, 5, 6)), generator=torch.Generator().manual_seed(0))


def grid(height: int, columns: int, kind: str) -> Tensor:
    """[2, H, W] in exact arithmetic: column and row."""
    row, column = np.mgrid[0:height, 0:columns].astype(np.float64)
    if kind == "unit":
        return torch.tensor(np.stack([column / columns, row / height])).float()
    axes = [a - a.mean() for a in (column, row)]
    return torch.tensor(np.stack([a / a.std() if a.std() else a for a in axes])).float()


# values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("size", [(2, 3), (8, 8), (5, 6), (1, 20)])
def test_resize_to(size: tuple[int, int], mode: str) -> None:
    made = space(f'resize_to({size[0]}, {size[1]}, mode = "{mode}")')
    corners = None if mode == "nearest" else False
    wanted = functional.interpolate(image(), size, mode=mode, align_corners=corners)
    torch.testing.assert_close(extract(made.graph, None, ())(image()), wanted)
    assert made.graph.nodes[made.graph.output].shape.extent == size
    assert made.graph.nodes[made.graph.output].shape.stride * size[0] == 5


@pytest.mark.parametrize("kind", ["standard", "unit"])
@pytest.mark.parametrize("size", [(5, 6), (8, 8), (1, 7), (1, 1), (40, 3)])
def test_coordinates(size: tuple[int, int], kind: str) -> None:
    network = extract(space(f'coordinates("{kind}")').graph, None, ())
    found = network(image(3, *size))
    torch.testing.assert_close(found, grid(*size, kind).expand(2, -1, -1, -1), rtol=1e-6, atol=1e-6)


def test_transpose() -> None:
    made = space("to_tokens -> transpose -> linear(4)")
    network = extract(made.graph, None, ())
    weight, bias = network.parameters()
    torch.testing.assert_close(network(image()), image().flatten(2) @ weight.T + bias)
    assert made.graph.nodes[made.graph.output].shape.extent == (3,)


# index sets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", range(3))
def test_units_go_through_and_come_back(code: int) -> None:
    """The channels of the projection are units of its norm and of the columns of the inverse projection."""
    made, x = space("mixer(side = 2)", MIXER), image()
    store, n = Store(made.graph, 0), (2, 3, 6)[code]
    full = {
        node: store.full(f"head.mixer.{node}.weight") for node in ("tokens.conv", "tokens.bn", "mixed.linear", "conv")
    }
    assert [tuple(w.shape[:2]) for w in full.values()] == [(6, 5), (6,), (4, 4), (5, 6)]
    small = functional.interpolate(x, (2, 2), mode="bilinear", align_corners=False)
    placed = torch.cat([small, grid(2, 2, "standard").expand(2, -1, -1, -1)], 1)
    tokens = functional.conv2d(placed, full["tokens.conv"][:n])
    tokens = functional.batch_norm(tokens, None, None, full["tokens.bn"][:n], training=True).flatten(2)
    mixed = tokens + tokens @ full["mixed.linear"].T
    wanted = functional.conv2d(mixed.unflatten(2, (2, 2)), full["conv"][:, :n])
    torch.testing.assert_close(over_store(made.graph, store, (code,))(x), wanted)


def test_gaps_come_back() -> None:
    """Behind a concatenation the index set has a gap; behind two transpositions it has the same."""
    made, x = space("joined", JOINED, "3, 2, 2"), image(3, 2, 2)
    store = Store(made.graph, 0)
    last = store.full("head.joined.linear.weight")
    assert last.shape == (4, 5)
    first, second = (store.full(f"head.joined.{name}.conv.weight") for name in ("first", "second"))
    tokens = torch.cat([functional.conv2d(x, first[:1]), functional.conv2d(x, second)], 1).flatten(2)
    hidden = functional.linear(
        tokens, store.full("head.joined.tokens.linear.weight"), store.full("head.joined.tokens.linear.bias")
    )
    wanted = torch.relu(hidden).transpose(1, 2) @ last[:, [0, 2, 3, 4]].T + store.full("head.joined.linear.bias")
    torch.testing.assert_close(over_store(made.graph, store, (0,))(x), wanted)


def test_tokens_of_a_choice() -> None:
    """Alternatives whose tokens were channels share one axis of units."""
    cell = (
        "cell either() {\n  wide in {true, false}\n  a = x -> conv(1, 4) -> to_tokens -> transpose\n"
        "  b = x -> conv(1, 2) -> to_tokens -> transpose\n  out = (if wide then a else b) -> transpose -> linear(3)\n}"
    )
    made, x = space("either", cell, "3, 2, 2"), image(3, 2, 2)
    store = Store(made.graph, 0)
    assert store.full("head.either.linear.weight").shape == (3, 4)
    for genes in ((0,), (1,)):
        network = over_store(made.graph, store, genes)
        assert network(x).shape == (2, 4, 3)


# forms and costs ---------------------------------------------------------------------------------------------------


def test_all_forms_agree() -> None:
    made, x = space("mixer(side in {2, 3})", MIXER), image()
    store = Store(made.graph, 0)
    for genes in ((0, 0), (0, 2), (1, 1)):
        own, (wanted, *outputs) = every_form(made, store, genes, x, training=True)
        for out in outputs:
            torch.testing.assert_close(out, wanted, rtol=1e-5, atol=1e-6)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            own(x)
        costs = made.costs.one(genes)
        assert costs["macs"] * 2 * len(x) == counter.get_total_flops()
        assert costs["parameters"] == sum(p.numel() for p in own.parameters())


@pytest.mark.parametrize(
    ("code", "head"),
    [
        ("E308", "transpose"),
        ("E308", "global_pool -> transpose"),
        ("E308", "to_tokens -> resize_to(2, 2)"),
        ("E308", "to_tokens -> coordinates"),
        ("E305", "resize_to(0, 2)"),
        ("E304", "resize_to(2, 1/2)"),
        ("E316", 'resize_to(2, 2, mode = "cubic")'),
        ("E316", 'coordinates("polar")'),
    ],
)
def test_what_is_refused(code: str, head: str) -> None:
    with pytest.raises(ArchError) as fault:
        space(head)
    assert fault.value.found[0].code == code
