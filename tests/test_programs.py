"""Random programs: what holds for every space, on spaces that nobody wrote."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hrdsl.compiler.found import compile_text as compile_found
from hrdsl.compiler.found import found_text
from hrdsl.dsl.diagnostic import Source
from hrdsl.dsl.format import format_text

from .spaces import Reference, compile_text

BRANCHES = ("fine", "coarse", "low")
INLINE = {
    "plain": "cell plain(width) {\n  kernel in {1, 3}\n  out = x -> conv(kernel, width) -> bn -> relu\n}",
    "wavering": "cell wavering(width) {\n  act in {true, false}\n  out = if act then x -> conv(1, width) -> relu else x -> conv(3, width)\n}",
    "gated": "cell gated(width) {\n  base = x -> conv(1, width)\n  side = base -> maybe\n  out = base + side\n}",
    "tower": "cell tower(width) {\n  depth in 0..2\n  out = x -> conv(1, width) -> repeat(conv(3, width), times = depth)\n}",
    "mixed": "cell mixed(width) {\n  cell in {plain, conv(3, width, groups in {1, 2}), tower}\n}",
}
MAYBE = "cell maybe(width) {\n  open in {true, false}\n  out = if open then x -> plain else none\n}"
CELLS = (
    *INLINE,
    "blocks.residual",
    "blocks.residual(kernel in {1, 3})",
    "blocks.separable(kernel in {3, 5})",
    "blocks.light_attention",
)
CELLS += (
    "blocks.bottleneck(ratio in {1/4, 1/2})",
    "blocks.light_attention(heads in {1, 2})",
    "conv(3, width) -> relu",
    "conv({k}, width)",
)
FUSES = ("fusion.exchange", "fusion.gated_exchange", "none")
TIMES = ("times = 2", "times in 1..2", "times in 1..2 per branch", "times in {1, 3}", "")
WIDTHS = ("width = 8", "width in {8, 16}", "width in 8..24 step 8", "width = 16")
PER = ("", " per branch", " per cell")
REQUIRES = (
    "require macs <= 100G",
    "require parameters >= 1 and macs >= 1",
    "require k <= 5",
    "require {b}.width >= 8",
    "require k == 3 or {b}.width <= 16",
)


@st.composite
def programs(draw: st.DrawFn) -> str:
    """The text of a valid space."""
    branches = BRANCHES[: draw(st.integers(1, 3))]
    rows = ["hrdsl 1", "use std.blocks", "use std.fusion", "space s(classes = 3) {", "input = [3, 32, 32]"]
    rows += [f"stem = blocks.conv_bn_relu(3, width = 8, stride = {draw(st.sampled_from((1, 2)))})"]
    rows += [f"k in {{3, 5}}{draw(st.sampled_from(PER[:2]))}" if draw(st.booleans()) else "k = 3"]
    shared = "per" not in rows[-1]
    rows += [f"branch {b} at 1/{2 << i} {{ {draw(st.sampled_from(WIDTHS))} }}" for i, b in enumerate(branches)]
    for i in range(draw(st.integers(len(branches), 3))):
        on = branches[: i + 1]
        fuse = draw(st.sampled_from(FUSES))
        rows += [f"stage s{i} on {', '.join(on)} {{", cells(draw), draw(st.sampled_from(TIMES)), f"fuse = {fuse}", "}"]
    rows += ["head = fusion.concat_up -> conv(1, width = classes, bias = true)"]
    if shared and draw(st.booleans()):
        rows += [draw(st.sampled_from(REQUIRES)).format(b=branches[-1])]
    return "\n".join([*rows, "}", *INLINE.values(), MAYBE, ""])


def cells(draw: st.DrawFn) -> str:
    some = draw(st.lists(st.sampled_from(CELLS), min_size=1, max_size=3, unique=True))
    some = [c.format(k="k") if c.startswith("conv({") else c for c in some]
    if len(some) == 1:
        return f"cell = {some[0]}"
    return f"cell in {{{', '.join(some)}}}{draw(st.sampled_from(PER))}"


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(text=programs(), seed=st.integers(0, 1000))
def test_what_holds_for_every_space(text: str, seed: int) -> None:
    formatted = format_text(Source("s.arch", text))
    assert format_text(Source("s.arch", formatted)) == formatted
    space, rng = compile_text(formatted, "s.arch"), np.random.default_rng(seed)
    decisions, reference = space.decisions, Reference(space.graph)

    raw = rng.integers(0, decisions.cardinalities or (), (6, len(decisions.cardinalities)))
    canonical = decisions.canonical(raw)
    assert (decisions.canonical(canonical) == canonical).all()
    for before, after in zip(raw.tolist(), canonical.tolist(), strict=True):
        assert reference.network(before) == reference.network(after)
    one, two = space.costs(raw), space.costs(canonical)
    assert all((one[name] == two[name]).all() for name in one)

    drawn = decisions.sample(rng, 4)
    assert decisions.feasible(drawn).all()
    assert (decisions.canonical(drawn) == drawn).all()
    assert len({reference.network(g) for g in drawn.tolist()}) == len({tuple(g) for g in drawn.tolist()})
    assert decisions.count().value >= 1
    assert decisions.feasible(decisions.repair(raw, rng)).all()
    for genes in drawn.tolist()[:1]:
        assert decisions.read(decisions.labels(genes)) == tuple(genes)


@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(text=programs(), seed=st.integers(0, 1000))
def test_every_found_network_is_a_file(text: str, seed: int) -> None:
    space = compile_text(format_text(Source("s.arch", text)), "s.arch")
    [genes] = space.decisions.sample(np.random.default_rng(seed), 1).tolist()
    again = compile_found(found_text(space, genes), space)
    assert again.decisions.count().value == 1
    assert again.costs.one(()) == space.costs.one(genes)
