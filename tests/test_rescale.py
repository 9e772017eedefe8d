"""`rescale`, a factor that is not learned, and heads of several results, in every form of a network."""

import json
from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrdsl.compiler.api import Compiled
from hrdsl.compiler.interchange.documents import graph_document, read_graph
from hrdsl.compiler.module import extract, over_store, supernet
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.source import python_source
from hrdsl.compiler.store import Store
from hrdsl.dsl.diagnostic import ArchError

from .spaces import compile_text

torch.set_num_threads(1)


def space(lines: str, cells: str = "", size: str = "3, 15, 22") -> Compiled:
    return compile_text(f"hrdsl 1\n{cells}\nspace s(deploy = false) {{\n  input = [{size}]\n{lines}\n}}\n")


def image(size: tuple[int, int] = (15, 22)) -> Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))


# rescale -----------------------------------------------------------------------------------------------------------

RATIOS = (Fraction(1, 2), Fraction(1, 3), Fraction(2), Fraction(3, 2), Fraction(3, 10), Fraction(1))


@pytest.mark.parametrize("ratio", RATIOS, ids=str)
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_rescale_reads_the_size_when_the_network_runs(ratio: Fraction, mode: str) -> None:
    made = space(f'  head = rescale({ratio}, mode = "{mode}")')
    network = extract(made.graph, None, ())
    shape = made.graph.nodes[made.graph.output].shape
    for size in ((15, 22), (7, 9), (64, 33), (30, 300)):
        sides = tuple(int(side * ratio) for side in size)
        corners = False if mode == "bilinear" else None
        want = F.interpolate(x := image(size), sides, mode=mode, align_corners=corners)
        assert torch.equal(network(x), want)
        if size == (15, 22):
            assert (shape.width, *shape.extent, shape.stride) == (3, *sides, 1 / ratio)
    assert made.costs.one(())["macs"] == made.costs.one(())["parameters"] == 0


@pytest.mark.parametrize("side", [3, 7, 49, 98, 147])
def test_a_whole_multiple_is_not_rounded_down(side: int) -> None:
    made = space(f"  head = rescale(1/{side})", size=f"3, {side}, {2 * side}")
    assert extract(made.graph, None, ())(image((side, 2 * side))).shape[2:] == (1, 2)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("rescale(0)", "E305"),
        ("rescale(-1/2)", "E305"),
        ("rescale(1/16)", "E305"),
        ('rescale(1/2, mode = "cubic")', "E316"),
        ("rescale", "E209"),
        ("rescale(ratio in {1/2, 1/4})", "E404"),
        ("global_pool -> rescale(1/2)", "E308"),
    ],
)
def test_faults_of_rescale(call: str, code: str) -> None:
    with pytest.raises(ArchError) as fault:
        space(f"  head = {call}")
    assert [d.code for d in fault.value.found] == [code]


# a fixed factor ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("each", ["true", "false"])
def test_a_factor_that_is_not_learned(each: str) -> None:
    made = space(f"  head = scale(5/2, each = {each}, learned = false)")
    network = extract(made.graph, None, ())
    assert not [*network.parameters()]
    assert made.costs.one(())["parameters"] == 0
    assert torch.equal(network(image()), 2.5 * image())


# heads of several results ------------------------------------------------------------------------------------------

BOTH = """
cell both(width) {
  trunk = x -> conv(3, width in {4, 8}) -> bn
  out = [trunk -> conv(1, 1), trunk -> conv(1, 2) -> scale(4, learned = false)]
}
"""
HEADS = """  heads {
    labels = conv(1, 4)
    instance = both(width = 8)
    side = if deploy then none else conv(1, 3)
  }"""


def flat(result: object) -> list[Tensor]:
    assert isinstance(result, dict)
    return [t for part in result.values() for t in (part if isinstance(part, list) else [part])]


def test_every_form_gives_the_list() -> None:
    made = space(HEADS, BOTH)
    store = Store(made.graph, 0)
    for genes in ((0,), (1,)):
        with torch.no_grad():
            plan = Planner(made.graph, store)(genes)(image(), "batch")
            forms = [over_store(made.graph, store, genes)(image()), supernet(made.graph, store, genes)(image())]
        assert list(plan) == ["labels", "instance", "side"]
        assert [tuple(t.shape[1:]) for t in plan["instance"]] == [(1, 15, 22), (2, 15, 22)]
        for form in forms:
            assert all(torch.equal(a, b) for a, b in zip(flat(plan), flat(form), strict=True))


def test_the_source_and_an_exported_program_give_the_list() -> None:
    network = extract(space(HEADS, BOTH).graph, None, (1,)).eval()
    scope: dict[str, type[nn.Module]] = {}
    text = python_source(network, "s")
    assert "-> dict[str, Tensor | list[Tensor]]:" in text
    exec(text, scope)
    again = scope["Network"]().eval()
    again.load_state_dict(network.state_dict())
    exported = torch.export.export(network, (image(),)).module()
    with torch.no_grad():
        want = flat(network(image()))
        for form in (again, exported):
            torch.testing.assert_close(flat(form(image())), want)


def test_a_graph_with_a_list_goes_through_json() -> None:
    graph = space(HEADS, BOTH).graph
    assert str(read_graph(json.dumps(graph_document(graph)))) == str(graph)


def test_a_head_that_is_none_is_left_out() -> None:
    made = compile_text(f"hrdsl 1\n{BOTH}\nspace s(deploy = true) {{\n  input = [3, 15, 22]\n{HEADS}\n}}\n")
    assert list(extract(made.graph, None, (0,))(image())) == ["labels", "instance"]


@pytest.mark.parametrize(
    ("heads", "code"),
    [
        ("  heads {\n    a = none\n  }", "E310"),
        ("  heads {\n    a = empty\n  }", "E310"),
        ("  heads {\n    a = missing\n  }", "E310"),
        ("  head = both(width = 8)", "E301"),
    ],
)
def test_faults_of_heads(heads: str, code: str) -> None:
    cells = (
        BOTH
        + "\ncell empty() { out = [] }\ncell missing() { out = [x, if open then x else none]\n open in {true, false} }\n"
    )
    with pytest.raises(ArchError) as fault:
        space(heads, cells)
    assert [d.code for d in fault.value.found] == [code]


# what routes passed ------------------------------------------------------------------------------------------------

ROUTES = """hrdsl 1

cell lists(flows) { out = [flow -> global_pool -> linear(2) for flow in flows] -> sum }
cell all_of() { out = [flow -> global_pool -> linear(2) for flow in x] -> sum }

space s {
  input = [3, 16, 16]
  branch high at 1/1 {}
  branch low at 1/2 {}
  routes paths on high, low {
    layers = 4
    OPEN
    DOWN
    cell = conv(3)
    width = 4 * layer
  }
  heads {
    all = all_of
    low = lists(paths.low.passed)
  }
}
"""


def routes(opened: str, down: str) -> Compiled:
    return compile_text(ROUTES.replace("OPEN", opened).replace("DOWN", down))


def pooled(made: Compiled) -> list[tuple[object, object]]:
    nodes = made.graph.nodes
    pools = [nodes[n.inputs[0] or 0] for n in nodes if n.op.name == "global_pool" and n.name.startswith("heads.low")]
    return [(n.shape.width, n.shape.stride) for n in pools]


def test_the_last_flow_at_each_stride() -> None:
    assert pooled(routes("", "down = [[], [2]]")) == [(4, 1), (16, 2)]


def test_a_searched_place_is_a_choice() -> None:
    made = routes("", "down in subsets(range(1, layers), halvings) per branch")
    for k, width in enumerate((3, 4, 8)):
        network = extract(made.graph, None, (k,)).eval()
        linear = network.get_parameter("heads_low_lists_high_linear_weight")
        assert linear.shape == (2, width)


def test_a_route_that_may_be_closed_passed_none() -> None:
    """The head that reads it alone would have nothing."""
    with pytest.raises(ArchError) as fault:
        routes("open in {true, false} per branch", "down = [[], [2]]")
    assert [d.code for d in fault.value.found] == ["E310", "E310"]
