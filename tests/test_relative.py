"""Overlapping windows, attention with relative positions and channels by heads, against plain torch written here."""

from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from hrdsl.compiler.api import Compiled, compile_module
from hrdsl.compiler.module import extract
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.store import Store
from hrdsl.dsl.diagnostic import ArchError, Source
from hrdsl.dsl.modules import load_source

from .every_form import every_form

torch.set_num_threads(1)

HEIGHT, COLUMNS = 5, 6
CELLS = """
cell around(kernel, keys, values, heads) {
  near = windows(1, 1, margin = kernel // 2)
  q = x -> conv(1, keys, heads = heads) -> windows(1, 1)
  k = x -> conv(1, keys, heads = heads) -> near
  v = x -> conv(1, values, heads = heads) -> near
  out = relative_attention(q, k, v, heads) -> from_windows(x)
}
cell along(height, columns, keys, values, heads) {
  cut = windows(height, columns)
  q = x -> conv(1, keys) -> cut
  k = x -> conv(1, keys) -> cut
  v = x -> conv(1, values) -> cut
  out = relative_attention(q, k, v, heads, divisor = 1) -> from_windows(x)
}
"""
SEARCHED = """
space s {
  input = [3, 5, 6]
  head = choice
}
cell choice() {
  cell in {
    around(kernel in {1, 3, 5}, keys in {8, 16}, values in {8, 24}, heads in {1, 2, 4}) -> conv(1, 5),
    along(height in {0, 1, 2}, columns in {0, 1, 3}, keys in {4, 8}, values = 6, heads in {1, 2}) -> conv(1, 5),
  }
}
"""


@cache
def compiled(text: str) -> Compiled:
    return compile_module(load_source(Source("s.arch", f"hrdsl 1\n{CELLS}\n{text}")))


def space(head: str, cells: str = "", size: str = f"3, {HEIGHT}, {COLUMNS}") -> Compiled:
    return compiled(f"{cells}\nspace s {{\n  input = [{size}]\n  head = {head}\n}}\n")


def image(*size: int) -> Tensor:
    return torch.randn(2, *(size or (3, HEIGHT, COLUMNS)), generator=torch.Generator().manual_seed(0))


def weights(network: torch.nn.Module) -> dict[str, Tensor]:
    """By the two last parts of their names, `q_weight`; without the name of the operator."""
    named = {}
    for name, p in network.named_parameters():
        parts = [part for part in name.split("_") if part not in ("conv", "relative", "attention")]
        named["_".join(parts[-2:] if parts[-1] == "weight" else parts[-1:])] = p
    return named


# the truth ---------------------------------------------------------------------------------------------------------


def local(x: Tensor, w: dict[str, Tensor], kernel: int, heads: int) -> Tensor:
    """By `unfold`: keys of zeros beyond the map, their positions too."""
    q = F.conv2d(x, w["q_weight"]).flatten(2).unflatten(1, (heads, -1))
    k, v = (F.unfold(F.conv2d(x, w[n]), kernel, padding=kernel // 2) for n in ("k_weight", "v_weight"))
    k, v = (t.unflatten(1, (heads, -1, kernel**2)) for t in (k, v))
    logits = torch.einsum("bhcp,bhckp->bhkp", q, k)
    if kernel > 1:
        half = q.shape[2] // 2
        rows, columns = w["rows"].repeat_interleave(kernel, 0), w["columns"].repeat(kernel, 1)
        logits = logits + torch.einsum("bhcp,kc->bhkp", q[:, :, :half], rows)
        logits = logits + torch.einsum("bhcp,kc->bhkp", q[:, :, half:], columns)
    found = torch.einsum("bhkp,bhckp->bhcp", (logits * q.shape[2] ** -0.5).softmax(2), v)
    return found.flatten(1, 2).unflatten(2, x.shape[2:])


def axial(q: Tensor, k: Tensor, v: Tensor, table: Tensor, heads: int) -> Tensor:
    """Along the last axis but one of [B, C, H, W], each column by itself; row j - i + H - 1 of the table for key j, query i."""
    q, k, v = (t.unflatten(1, (heads, -1)) for t in (q, k, v))
    n = q.shape[3]
    offsets = torch.arange(n)[None] - torch.arange(n)[:, None] + n - 1
    logits = torch.einsum("bhciw,bhcjw->bhwij", q, k) + torch.einsum("bhciw,ijc->bhwij", q, table[offsets])
    return torch.einsum("bhwij,bhcjw->bhciw", logits.softmax(4), v).flatten(1, 2)


def pairwise(q: Tensor, k: Tensor, v: Tensor, rows: Tensor, columns: Tensor, heads: int) -> Tensor:
    """One pair of pixels after the other; q may be smaller than k."""
    out = torch.zeros(*v.shape[:2], *q.shape[2:])
    (h, w), (hk, wk), d = q.shape[2:], k.shape[2:], q.shape[1] // heads
    for b, head, i, j in product(range(len(q)), range(heads), range(h), range(w)):
        mine = q[b, head * d : head * d + d, i, j]
        logits = torch.empty(hk, wk)
        for m, n in product(range(hk), range(wk)):
            r = torch.cat([rows[m - i + h - 1], columns[n - j + w - 1]])
            logits[m, n] = mine @ (k[b, head * d : head * d + d, m, n] + r)
        weight = (logits * d**-0.5).flatten().softmax(0).view(hk, wk)
        share = v.shape[1] // heads
        out[b, head * share : (head + 1) * share, i, j] = (v[b, head * share : (head + 1) * share] * weight).sum((1, 2))
    return out


# values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("height", "columns", "margin"), [(1, 1, 1), (1, 1, 3), (2, 4, 1), (0, 1, 2), (9, 3, 1), (5, 6, 0)]
)
def test_a_margin_is_what_lies_around(height: int, columns: int, margin: int) -> None:
    """The windows of a map that is padded, cut where those without a margin are: the mean of each."""
    cell = f"cell means() {{ seen = x -> windows({height}, {columns}, {margin})\n own = x -> windows({height}, {columns})\n out = own * (seen -> global_pool) -> from_windows(x) }}"
    made, x = space("means", cell), image()
    h, w = (min(n or side, side) for n, side in zip((height, columns), x.shape[2:], strict=True))
    wanted = torch.zeros_like(x)
    around = F.pad(x, (margin, margin + w, margin, margin + h))
    for top, left in product(range(0, HEIGHT, h), range(0, COLUMNS, w)):
        seen = around[:, :, top : top + h + 2 * margin, left : left + w + 2 * margin]
        wanted[:, :, top : top + h, left : left + w] = (
            seen.sum((2, 3), keepdim=True) / (h + 2 * margin) / (w + 2 * margin)
        )
    network = extract(made.graph, None, ())
    torch.testing.assert_close(network(x), x * wanted)
    nodes = {n.shape.copies for n in made.graph.nodes if n.op.name == "windows"}
    assert nodes == {-(-HEIGHT // h) * -(-COLUMNS // w)}


@pytest.mark.parametrize(("kernel", "heads"), [(1, 1), (3, 1), (3, 4), (5, 2), (7, 2)])
def test_local_attention(kernel: int, heads: int) -> None:
    network, x = extract(space(f"around({kernel}, 8, 12, {heads})").graph, None, ()), image()
    torch.testing.assert_close(network(x), local(x, weights(network), kernel, heads))


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_axial_attention(heads: int) -> None:
    """Columns, then rows, each with a table of its own."""
    head = f"along(0, 1, 8, 12, {heads}) -> along(1, 0, 4, 8, {heads})"
    network, x = extract(space(head).graph, None, ()), image()
    q1, k1, v1, rows, q2, k2, v2, columns = in_order(network)
    assert (rows.shape, columns.shape) == ((2 * HEIGHT - 1, 8 // heads), (2 * COLUMNS - 1, 4 // heads))
    first = axial(*(F.conv2d(x, w) for w in (q1, k1, v1)), rows, heads)
    turned = (F.conv2d(first, w).transpose(2, 3) for w in (q2, k2, v2))
    torch.testing.assert_close(network(x), axial(*turned, columns, heads).transpose(2, 3))


def in_order(network: torch.nn.Module) -> list[Tensor]:
    """Parameters in the order of use: q, k, v, then the table."""
    return list(network.parameters())


@pytest.mark.parametrize(("side", "margin"), [((2, 3), 1), ((0, 0), 0), ((5, 2), 2)])
def test_two_axes_pair_by_pair(side: tuple[int, int], margin: int) -> None:
    """Whole maps, and blocks of queries within a margin of keys (halo attention)."""
    cell = f"cell blocks() {{ keys = x -> windows{(*side, margin)}\n out = relative_attention(x -> windows{side}, keys, keys, heads = 2) -> from_windows(x) }}"
    x = image(8, HEIGHT, COLUMNS)
    network = extract(space("blocks", cell, f"8, {HEIGHT}, {COLUMNS}").graph, None, ())
    rows, columns = network.parameters()
    h, w = side[0] or HEIGHT, side[1] or COLUMNS
    assert (rows.shape, columns.shape) == ((2 * h + 2 * margin - 1, 2), (2 * w + 2 * margin - 1, 2))
    padded = F.pad(x, (margin, margin + w, margin, margin + h))
    inner = F.pad(x, (0, w, 0, h))
    wanted = torch.zeros_like(inner)
    for top, left in product(range(0, HEIGHT, h), range(0, COLUMNS, w)):
        own = inner[:, :, top : top + h, left : left + w]
        keys = padded[:, :, top : top + h + 2 * margin, left : left + w + 2 * margin]
        wanted[:, :, top : top + h, left : left + w] = pairwise(own, keys, keys, rows, columns, 2)
    torch.testing.assert_close(network(x), wanted[:, :, :HEIGHT, :COLUMNS])


def test_tokens_have_one_axis() -> None:
    cell = """cell seen() {
  tokens = x -> to_tokens -> linear(8)
  out = relative_attention(x -> learned(4, 8), tokens, tokens, heads = 2)
}"""
    network, x = extract(space("seen", cell).graph, None, ()), image()
    (linear, bias, queries, table) = network.parameters()
    keys = F.linear(x.flatten(2).transpose(1, 2), linear, bias).transpose(1, 2)[..., None]
    assert table.shape == (4 + HEIGHT * COLUMNS - 1, 4)
    q = queries.t()[None, :, :, None].expand(2, -1, -1, -1)
    rows = torch.cat([table, torch.zeros(len(table), 0)], 1)
    wanted = pairwise(q, keys, keys, rows, torch.zeros(1, 0), 2)
    torch.testing.assert_close(network(x), wanted[..., 0].transpose(1, 2))


# counts, forms, gradients ------------------------------------------------------------------------------------------


def genomes(made: Compiled) -> list[tuple[int, ...]]:
    return [tuple(int(g) for g in row) for row in made.decisions.enumerate()]


def test_every_architecture_costs_what_torch_counts() -> None:
    made, x = compiled(SEARCHED), image()
    found = genomes(made)
    assert len(found) == 3 * 2 * 2 * 3 + 3 * 3 * 2 * 2
    together = made.costs(np.array(found))
    for row, genes in enumerate(found):
        network = extract(made.graph, None, genes)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(x)
        assert int(together["macs"][row]) * 2 * len(x) == counter.get_total_flops()
        assert together["parameters"][row] == sum(p.numel() for p in network.parameters())


def test_costs_by_hand() -> None:
    """q.k and q.r for each pair, then the values; tables of 2 * 3 - 1 and 5 rows."""
    made, points = space("around(5, 8, 12, 2)"), HEIGHT * COLUMNS
    found = made.costs.one(())
    assert found["parameters"] == 3 * (8 + 8 + 12) + 2 * 5 * 2
    assert found["macs"] == points * (3 * (8 + 8 + 12) + 25 * (8 + 8 + 12))


def test_all_forms_agree() -> None:
    made, x = compiled(SEARCHED), image()
    store = Store(made.graph, 0)
    for genes in genomes(made)[::7]:
        _, (wanted, *outputs) = every_form(made, store, genes, x)
        assert all(torch.equal(out, wanted) for out in outputs)


def test_gradients_reach_the_store() -> None:
    made, x = compiled(SEARCHED), image()
    store = Store(made.graph, 0)
    for genes in genomes(made)[3::17]:
        store.zero_grad()
        plan, own = Planner(made.graph, store)(genes), extract(made.graph, store, genes)
        with store.collecting(plan.parameters()):
            plan(x).square().sum().backward()
        own(x).square().sum().backward()
        assert sum(p.grad.double().square().sum() for p in own.parameters()).item() == pytest.approx(
            store.gradient.double().square().sum().item()
        )


def test_a_network_of_fixed_windows_runs_at_other_sizes() -> None:
    network, x = extract(space("around(3, 8, 12, 2)").graph, None, ()), image(3, 9, 4)
    torch.testing.assert_close(network(x), local(x, weights(network), 3, 2))


# index sets --------------------------------------------------------------------------------------------------------


def test_a_smaller_table_is_the_centre_of_the_largest() -> None:
    """The same offset has the same vector, and each half is a prefix."""
    made = space("around(kernel in {3, 5, 7}, keys in {8, 16}, values = 8, heads in {1, 2})")
    store = Store(made.graph, 0)
    (node,) = [n for n in made.graph.nodes if n.op.name == "relative_attention"]
    table = store.tensor(f"{node.name}.columns")
    assert table.shape == (7, 8)
    for genes in genomes(made):
        kernel, keys, heads = (d.values[g] for d, g in zip(made.graph.decisions, genes, strict=True))
        own = weights(extract(made.graph, store, genes))["columns"]
        first = (7 - kernel) // 2
        assert torch.equal(own, table[first : first + kernel, : keys // heads // 2])


def test_channels_by_heads() -> None:
    """Rows of the largest weight, each with its head; what reads them reads the same."""
    made = space("conv(1, width in {8, 16, 24}, heads in {2, 4}) -> bn -> conv(1, 5)")
    store = Store(made.graph, 0)
    first, last = (store.tensor(f"{n.name}.weight") for n in made.graph.nodes if n.op.name == "conv")
    for genes in genomes(made):
        width, heads = (d.values[g] for d, g in zip(made.graph.decisions, genes, strict=True))
        rows = [head * 24 // heads + i for head in range(heads) for i in range(width // heads)]
        own = [p for p in extract(made.graph, store, genes).parameters() if p.dim() == 4]
        assert torch.equal(own[0], first[rows])
        assert torch.equal(own[1], last[:, rows])


@pytest.mark.parametrize(
    ("code", "head", "cells"),
    [
        ("E309", "conv(1, width = 10, heads = 4)", ""),
        ("E305", "conv(1, width = 8, heads = 0)", ""),
        ("E305", "windows(1, 1, margin = 0 - 1)", ""),
        ("E309", "around(3, 8, 8, 8)", ""),
        ("E309", "around(3, 6, 6, 2)", ""),
        ("E309", "around(3, 8, 6, 4)", ""),
        ("E306", "bad", "cell bad() { out = relative_attention(x, x -> conv(1, 6), x) }"),
        ("E307", "bad", "cell bad() { out = relative_attention(x -> windows(1, 1), x, x) -> from_windows(x) }"),
        ("E308", "bad", "cell bad() { p = x -> global_pool\n out = relative_attention(p, p, p) }"),
    ],
)
def test_what_is_refused(code: str, head: str, cells: str) -> None:
    with pytest.raises(ArchError) as fault:
        extract(space(head, cells, "4, 8, 8").graph, None, ())
    assert fault.value.found[0].code == code
