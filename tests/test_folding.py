"""The channels of each point as tokens, against plain torch views: values, sharing, costs, and what is refused."""

from functools import cache

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from hrdsl.compiler.api import Compiled
from hrdsl.compiler.module import extract
from hrdsl.compiler.store import Store
from hrdsl.dsl.diagnostic import ArchError

from .every_form import every_form
from .spaces import compile_text

torch.set_num_threads(1)

FACTORS = """
cell factors(rows) {
  columns = x.width / rows
  out = x -> fold_channels(rows) -> linear(columns) -> gelu -> unfold_channels(x)
}
"""
LAYERS = {"map": "factors(rows = 4)", "tokens": "to_tokens -> factors(rows = 4)"}


@cache
def space(head: str, cells: str = FACTORS, width: str = "12") -> Compiled:
    stem = f"conv(1, width {'in' if '{' in width else '='} {width})"
    return compile_text(f"hrdsl 1\n{cells}\nspace s {{\n  input = [3, 5, 6]\n  stem = {stem}\n  head = {head}\n}}\n")


def image() -> Tensor:
    return torch.randn(2, 3, 5, 6, generator=torch.Generator().manual_seed(0))


def factored(x: Tensor, weight: Tensor, bias: Tensor, rows: int) -> Tensor:
    """[B, N, C] -> the same: each row of the matrix of a token through one linear map."""
    matrix = x.reshape(*x.shape[:2], rows, -1)
    return torch.nn.functional.gelu(matrix @ weight.T + bias).reshape(x.shape)


@pytest.mark.parametrize("form", LAYERS)
def test_values(form: str) -> None:
    network, x = extract(space(LAYERS[form]).graph, None, ()), image()
    stem, weight, bias = network.parameters()
    tokens = torch.nn.functional.conv2d(x, stem).flatten(2).transpose(1, 2)
    wanted = factored(tokens, weight, bias, 4)
    found = network(x)
    torch.testing.assert_close(found if form == "tokens" else found.flatten(2).transpose(1, 2), wanted)


def test_another_size() -> None:
    network = extract(space(LAYERS["map"]).graph, None, ())
    assert network(torch.zeros(3, 3, 4, 9)).shape == (3, 12, 4, 9)


def test_of_windows() -> None:
    """The channels of pixels of windows: folding is of each pixel, so windows change nothing."""
    cut = "cell cut() { out = x -> windows(2, 3) -> factors(rows = 4) -> from_windows(x) }"
    network, x = extract(space("cut", FACTORS + cut).graph, None, ()), image()
    plain = extract(space(LAYERS["map"]).graph, None, ())
    plain.load_state_dict(dict(zip(plain.state_dict(), network.state_dict().values(), strict=True)))
    torch.testing.assert_close(network(x), plain(x))


def test_all_forms_agree_where_rows_and_widths_are_searched() -> None:
    made, x = space("factors(rows in {2, 4})", width="{8, 12}"), image()
    store = Store(made.graph, 0)
    for genes in ((0, 0), (0, 1), (1, 0), (1, 1)):
        own, (wanted, *outputs) = every_form(made, store, genes, x)
        assert all(torch.equal(out, wanted) for out in outputs)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            own(x)
        costs = made.costs.one(genes)
        assert costs["macs"] * 2 * len(x) == counter.get_total_flops()
        assert costs["parameters"] == sum(p.numel() for p in own.parameters())


def test_sharing_is_of_prefixes() -> None:
    """The matrix of the widest rows is the one that is stored."""
    store = Store(space("factors(rows in {2, 4})", width="{8, 12}").graph, 0)
    assert store.full("head.factors.linear.weight").shape == (6, 6)


@pytest.mark.parametrize(
    ("code", "head", "cells"),
    [
        ("E309", "fold_channels(5)", ""),
        ("E305", "fold_channels(0)", ""),
        ("E308", "global_pool -> fold_channels(2)", ""),
        ("E308", "fold_channels(2)", ""),
        ("E308", "a", "cell a() { out = x -> unfold_channels(x) }"),
        ("E307", "a", "cell a() { out = x -> fold_channels(2) -> unfold_channels(x -> average_pool) }"),
        ("E307", "a", "cell a() { out = x -> to_tokens -> unfold_channels(x) }"),
    ],
)
def test_what_is_refused(code: str, head: str, cells: str) -> None:
    with pytest.raises(ArchError) as fault:
        space(head, cells)
    assert fault.value.found[0].code == code
