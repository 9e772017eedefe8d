"""Windows of maps against plain torch views: values, counts and costs, also where sides are no multiples of a window."""

from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from hrdsl.compiler.api import Compiled, compile_module
from hrdsl.compiler.constraints import figures
from hrdsl.compiler.module import extract
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.store import Store
from hrdsl.dsl.diagnostic import ArchError, Source
from hrdsl.dsl.modules import load_source

from .every_form import every_form

torch.set_num_threads(1)

HEIGHT, COLUMNS, SIZES = 7, 10, ((0, 1, 3, 7, 8), (0, 1, 4, 5, 12))
SEARCHED = """
cell local(height, columns, heads) {
  cut = windows(height, columns)
  q = x -> conv(1, width = 4, bias = true) -> cut
  v = x -> conv(1, width = 6, bias = true) -> cut
  k = x -> conv(1, width = 4, bias = true) -> cut
  mask = x -> ones -> cut
  out = masked_attention(q, k, v, mask, heads = heads) -> from_windows(x)
}
space s {
  input = [3, 7, 10]
  height in {0, 1, 3, 7, 8}
  columns in {0, 1, 4, 5, 12}
  head = local(height, columns, heads = 2)
}
"""


@cache
def compiled(text: str) -> Compiled:
    return compile_module(load_source(Source("s.arch", f"hrdsl 1\n{text}")))


def space(head: str, cells: str = "", size: str = "3, 7, 10") -> Compiled:
    return compiled(f"{cells}\nspace s {{\n  input = [{size}]\n  width = 4\n  head = {head}\n}}\n")


def chosen(made: Compiled, genes: tuple[int, ...]) -> list[int]:
    return [d.values[g] for d, g in zip(made.graph.decisions, genes, strict=True)]


def image(*size: int) -> Tensor:
    return torch.randn(2, *(size or (3, HEIGHT, COLUMNS)), generator=torch.Generator().manual_seed(0))


# the truth: views and permutations ----------------------------------------------------------------------------------


def cut(x: Tensor, h: int, w: int) -> Tensor:
    """[B, C, H, W] -> [B, rows of windows, columns of windows, C, h, w], zeros at the bottom and at the right."""
    b, c, height, columns = x.shape
    h, w = min(h or height, height), min(w or columns, columns)
    x = F.pad(x, (0, -columns % w, 0, -height % h))
    return x.view(b, c, x.shape[2] // h, h, x.shape[3] // w, w).permute(0, 2, 4, 1, 3, 5)


def joined(x: Tensor, height: int, columns: int) -> Tensor:
    b, rows, places, c, h, w = x.shape
    return x.permute(0, 3, 1, 4, 2, 5).reshape(b, c, rows * h, places * w)[:, :, :height, :columns]


def attend(q: Tensor, k: Tensor, v: Tensor, h: int, w: int, heads: int, masked: bool) -> Tensor:
    """Window after window, over the pixels that are there."""
    height, columns = q.shape[2:]
    parts, real = [cut(t, h, w) for t in (q, k, v)], cut(torch.ones_like(q[:, :1]), h, w)
    out = torch.zeros_like(parts[2])
    for place in product(*map(range, real.shape[:3])):
        one, two, three = (t[place].flatten(1).unflatten(0, (heads, -1)).transpose(1, 2) for t in parts)
        keys = real[place].flatten() > 0 if masked else slice(None)
        found = F.scaled_dot_product_attention(one, two[:, keys], three[:, keys])
        out[place] = found.transpose(1, 2).reshape(out[place].shape)
    return joined(out, height, columns)


# values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [*product(*SIZES)], ids=str)
def test_windows_are_views_of_the_padded_map(size: tuple[int, int]) -> None:
    """A convolution that sees no neighbouring window."""
    made = space("centred", f"cell centred() {{ out = x -> windows{size} -> conv(3, width = 3) -> from_windows(x) }}")
    network, x = extract(made.graph, None, ()), image()
    (kernel,) = network.parameters()
    parts = cut(x, *size)
    wanted = F.conv2d(parts.flatten(0, 2), kernel, padding=1).unflatten(0, parts.shape[:3])
    torch.testing.assert_close(network(x), joined(wanted, HEIGHT, COLUMNS))


def test_masked_attention_sees_no_padding() -> None:
    made, x = compiled(SEARCHED), image()
    for genes in made.decisions.enumerate():
        size = chosen(made, tuple(genes))
        network = extract(made.graph, None, tuple(genes))
        wq, bq, wv, bv, wk, bk = ordered(network, "q", "v", "k")
        q, k, v = F.conv2d(x, wq, bq), F.conv2d(x, wk, bk), F.conv2d(x, wv, bv)
        torch.testing.assert_close(network(x), attend(q, k, v, *size, heads=2, masked=True))


def ordered(network: torch.nn.Module, *names: str) -> list[Tensor]:
    return [getattr(network, f"head_local_{n}_conv_{kind}") for n in names for kind in ("weight", "bias")]


@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_with_and_without_mask(tokens: bool, masked: bool) -> None:
    lay, back = (" -> to_tokens", " -> to_map(x -> cut)") if tokens else ("", "")
    mask = f", x -> ones -> cut{lay}" if masked else ""
    cell = f"""cell local() {{
  cut = windows(3, 4)
  flow = x -> cut{lay}
  out = {"masked_" * masked}attention(flow, flow, flow{mask}, heads = 3){back} -> from_windows(x)
}}"""
    x = image()
    found = extract(space("local", cell).graph, None, ())(x)
    torch.testing.assert_close(found, attend(x, x, x, 3, 4, heads=3, masked=masked))


@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize(("divisor", "by"), [(0, 2), (1, 1), (5, 5)])
def test_products_are_divided(divisor: int, by: int, tokens: bool) -> None:
    lay = " -> to_tokens" if tokens else ""
    cell = f"cell a() {{\n  flow = x{lay}\n  out = attention(flow, flow, flow, heads = 2, divisor = {divisor}) }}"
    found = extract(space("a", cell, "4, 7, 10").graph, None, ())(image(4, 7, 10))
    parts = image(4, 7, 10).flatten(2).unflatten(1, (2, 2)).transpose(2, 3)
    weights = (parts @ parts.transpose(2, 3) / by**0.5).softmax(-1)
    wanted = (weights @ parts).transpose(2, 3).flatten(1, 2)
    torch.testing.assert_close(found, wanted.transpose(1, 2) if tokens else wanted.unflatten(2, (7, 10)))


def test_the_divisor_is_searched() -> None:
    made, x = space("a", "cell a() { out = attention(x, x, x, divisor in {1, 9}) }", "4, 3, 3"), image(4, 3, 3)
    one, nine = (extract(made.graph, None, (g,))(x) for g in (0, 1))
    assert not torch.allclose(one, nine)
    fixed = space("a", "cell a() { out = attention(x, x, x, heads = 1, divisor = 9) }", "4, 3, 3")
    assert torch.equal(nine, extract(fixed.graph, None, ())(x))


def test_a_mask_weighs_the_keys() -> None:
    """Weights between 0 and 1 scale those of the softmax."""
    cell = "cell a() { out = masked_attention(x, x, x, x -> conv(1, width = 1) -> sigmoid) }"
    network, x = extract(space("a", cell).graph, None, ()), image()
    (kernel,) = network.parameters()
    flat = x.flatten(2)
    weights = (flat.transpose(1, 2) @ flat * 3**-0.5).softmax(-1) * F.conv2d(x, kernel).sigmoid().flatten(2)
    wanted = flat @ (weights / weights.sum(-1, keepdim=True)).transpose(1, 2)
    torch.testing.assert_close(network(x).flatten(2), wanted)


CROSS = """
cell stripes(values, height, columns, heads) {
  cut = windows(height, columns)
  keys = values -> cut
  out = masked_attention(x -> cut, keys, keys, x -> ones -> cut, heads = heads) -> from_windows(x)
}
cell cross(size, heads = 2) {
  q = x -> conv(1, x.width, bias = true)
  v = x -> conv(1, x.width, bias = true)
  rows = q -> split(2, 0) -> stripes(v -> split(2, 0), size, 0, heads)
  columns = q -> split(2, 1) -> stripes(v -> split(2, 1), 0, size, heads)
  out = [rows, columns] -> concat
}
"""


def test_cross_shaped_attention() -> None:
    """As HRViT (Gu et al. 2022): stripes of padded projections, values as keys, -100 where a key is padding."""
    network, x = extract(space("cross(3)", CROSS, "8, 7, 10").graph, None, ()), image(8, HEIGHT, COLUMNS)
    wq, bq, wv, bv = network.parameters()
    q, v = F.conv2d(x, wq, bq), F.conv2d(x, wv, bv)

    def stripes(q: Tensor, v: Tensor) -> Tensor:
        one, two, real = (cut(t, 3, 0).flatten(0, 2).flatten(2) for t in (q, v, torch.ones_like(q[:, :1])))
        one, two = one.unflatten(1, (2, 2)), two.unflatten(1, (2, 2))
        weights = (one.transpose(2, 3) @ two * 2**-0.5 - 100 * (1 - real[:, None])).softmax(-1)
        found = two @ weights.transpose(2, 3)
        return joined(found.reshape(2, -1, 1, 4, 3, q.shape[3]), *q.shape[2:])

    rows = stripes(q[:, :4], v[:, :4])
    columns = stripes(q[:, 4:].transpose(2, 3), v[:, 4:].transpose(2, 3)).transpose(2, 3)
    torch.testing.assert_close(network(x), torch.cat([rows, columns], 1))


def test_windows_of_windows() -> None:
    cell = "cell twice() { outer = x -> windows(4, 5)\n inner = outer -> windows(2, 2) -> conv(3, width = 3)\n out = inner -> from_windows(outer) -> from_windows(x) }"
    network, x = extract(space("twice", cell).graph, None, ()), image()
    (kernel,) = network.parameters()
    outer = cut(x, 4, 5)
    inner = cut(outer.flatten(0, 2), 2, 2)
    mixed = F.conv2d(inner.flatten(0, 2), kernel, padding=1).unflatten(0, inner.shape[:3])
    wanted = joined(joined(mixed, 4, 5).unflatten(0, outer.shape[:3]), HEIGHT, COLUMNS)
    torch.testing.assert_close(network(x), wanted)


def test_windows_of_another_resolution() -> None:
    """Windows that are halved cover a map that is halved."""
    cell = "cell half() { out = x -> windows(4, 4) -> conv(3, 4, 2) -> from_windows(x -> average_pool) }"
    made = space("half", cell, "3, 8, 12")
    output = made.graph.nodes[made.graph.output].shape
    assert (output.extent, output.stride, output.copies) == ((4, 6), 2, 1)
    assert extract(made.graph, None, ())(image(3, 8, 12)).shape == (2, 4, 4, 6)


def test_learned_tokens_are_the_same_in_every_window() -> None:
    cell = "cell asked() { cut = x -> windows(4, 4)\n seen = attention(cut -> learned(2, 3), cut -> to_tokens, cut -> to_tokens)\n out = cut * (seen -> global_pool) -> from_windows(x) }"
    made, x = space("asked", cell), image()
    network = extract(made.graph, None, ())
    (queries,) = network.parameters()
    keys = cut(x, 4, 4).flatten(4).transpose(3, 4)
    seen = F.scaled_dot_product_attention(queries.expand(*keys.shape[:3], -1, -1), keys, keys).mean(3)
    torch.testing.assert_close(network(x), joined(cut(x, 4, 4) * seen[..., None, None], HEIGHT, COLUMNS))
    assert made.costs.one(())["parameters"] == 2 * 3


def test_a_network_runs_at_other_sizes() -> None:
    """The windows keep their size, a whole side stays whole, and a new border is padded."""
    network = extract(compiled(SEARCHED).graph, None, (2, 0)).eval()
    x = image(3, 11, 13)
    wq, bq, wv, bv, wk, bk = ordered(network, "q", "v", "k")
    wanted = attend(F.conv2d(x, wq, bq), F.conv2d(x, wk, bk), F.conv2d(x, wv, bv), 3, 0, heads=2, masked=True)
    torch.testing.assert_close(network(x), wanted)


# forms, counts and costs -------------------------------------------------------------------------------------------


def test_all_forms_agree() -> None:
    made, x = compiled(SEARCHED), image()
    store = Store(made.graph, 0)
    for genes in ((0, 0), (2, 2), (4, 1)):
        _, (wanted, *outputs) = every_form(made, store, genes, x)
        assert all(torch.equal(out, wanted) for out in outputs)


def test_the_supernet_trains() -> None:
    """Gradients of an architecture's store are those of its extracted network."""
    made, x = compiled(SEARCHED), image()
    store = Store(made.graph, 0)
    plan, own = Planner(made.graph, store)((2, 3)), extract(made.graph, store, (2, 3))
    with store.collecting(plan.parameters()):
        plan(x).square().sum().backward()
    own(x).square().sum().backward()
    names = own.meta["parameters"]
    for name, p in own.named_parameters():
        (kept,) = [n for n, mine in names.items() if mine == name]
        torch.testing.assert_close(store.full(kept).grad, p.grad)


def test_every_architecture_costs_what_torch_counts() -> None:
    made, x = compiled(SEARCHED), image()
    found = [tuple(int(g) for g in row) for row in made.decisions.enumerate()]
    assert made.decisions.count().value == len(set(found)) == len(SIZES[0]) * len(SIZES[1])
    together = made.costs(np.array(found))
    for row, genes in enumerate(found):
        network = extract(made.graph, None, genes)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(x)
        macs = int(together["macs"][row])
        assert macs * 2 * len(x) == counter.get_total_flops()
        assert macs == figures(made.graph, genes)["macs"]
        assert together["parameters"][row] == sum(p.numel() for p in network.parameters())
        assert together["peak_activation_bytes"][row] == peak(*chosen(made, genes))


def peak(height: int, columns: int) -> int:
    """By hand: the image, and, window by window, q, v, k and the mask beside what is made of them."""
    windows = cut(torch.zeros(1, 1, HEIGHT, COLUMNS), height, columns)
    map_, cells = HEIGHT * COLUMNS, windows.numel()
    last = {"k": 3 * map_ + (4 + 6) * cells + 4 * map_ + 4 * cells, "result": 3 * map_ + (4 + 6 + 4 + 1 + 6) * cells}
    return 4 * max(last.values())


def test_a_constraint_on_costs_knows_the_windows() -> None:
    bound = sorted(compiled(SEARCHED).costs(np.array([*compiled(SEARCHED).decisions.enumerate()]))["macs"].tolist())[4]
    made = compiled(SEARCHED.rstrip("}\n") + f"\n  require macs < {bound}\n}}\n")
    assert made.decisions.count().value == 4


# what is refused ---------------------------------------------------------------------------------------------------

OUTER = "cell cuts() {\n  one = x -> windows(2, 2)\n  other = x -> windows(4, 4)\n  out = "


@pytest.mark.parametrize(
    ("code", "head", "cells"),
    [
        ("E308", "windows(2, 2)", ""),
        ("E308", "windows(height in {0, 2}, columns = 0)", ""),
        ("E307", "cuts", OUTER + "one + (other -> resize(one)) -> from_windows(x) }"),
        ("E307", "cuts", OUTER + "(one -> global_pool) + (other -> global_pool) }"),
        ("E307", "cuts", OUTER + "other -> from_windows(x -> average_pool) }"),
        ("E307", "cuts", OUTER + "one * (x -> global_pool) -> from_windows(x) }"),
        ("E307", "cuts", OUTER + "attention(one, x, x) -> from_windows(x) }"),
        ("E307", "cuts", OUTER + "one -> to_tokens -> to_map(other -> average_pool) }"),
        ("E307", "cuts", OUTER + "masked_attention(one, one, one, x -> average_pool(4) -> ones) -> from_windows(x) }"),
        ("E306", "cuts", OUTER + "masked_attention(one, one, one, one) -> from_windows(x) }"),
        ("E308", "to_tokens -> windows(2, 2)", ""),
        ("E305", "windows(0 - 1, 2)", ""),
        ("E304", "windows(1 / 2, 2)", ""),
        ("E305", "cuts", "cell cuts() { out = attention(x, x, x, divisor = 0 - 1) }"),
    ],
)
def test_what_is_refused(code: str, head: str, cells: str) -> None:
    with pytest.raises(ArchError) as fault:
        extract(space(head, cells, "3, 8, 8").graph, None, ())
    assert fault.value.found[0].code == code


def test_what_is_too_large_is_judged_window_by_window() -> None:
    """The largest window and the largest number of windows do not meet in one architecture."""
    cell = "cell local(size) { flow = x -> windows(size, size)\n out = attention(flow, flow, flow) -> from_windows(x) }"
    made = space("local(size in {0, 8})", cell, "64, 512, 512")
    assert made.costs.one((0,))["macs"] == 2 * (512 * 512) ** 2 * 64
    assert made.costs.one((1,))["macs"] == 2 * 64 * 512 * 512 * 64
