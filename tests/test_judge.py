"""Shapes under constraints: what a `require` excludes may be wrong, and nothing else."""

import numpy as np
import pytest
import torch

from hrdsl.compiler.api import Compiled, compile_module
from hrdsl.compiler.module import extract
from hrdsl.dsl.diagnostic import ArchError, Source
from hrdsl.dsl.modules import load_source

SPACE = """hrdsl 1

cell attend(width, heads) {{ out = attention(x, x, x, heads = heads) -> conv(1, width) }}

space s {{
  input = [3, 8, 8]
  stem = conv(3, width = inner)
  inner in {{8, 9, 12}}
  branch b at 1/1 {{ width = 4 }}
  stage s1 on b {{
    heads in {{1, 2, 3}}
    cell = attend
  }}
  stage s2 on b {{
    kernel in {{1, 3}}
    cell = conv(kernel)
    times in 0..1
  }}
  head = concat
{requires}
}}
"""


def compiled(*requires: str) -> Compiled:
    text = SPACE.format(requires="\n".join(f"  require {r}" for r in requires))
    return compile_module(load_source(Source("s.arch", text)))


def faults(*requires: str) -> list[tuple[str, str]]:
    with pytest.raises(ArchError) as caught:
        compiled(*requires)
    return [(d.code, d.here.text) for d in caught.value.found]


def test_without_constraints_every_choice_has_to_fit() -> None:
    [(code, text)] = faults()
    assert code == "E309" and "heads = 3" in text and "inner = 8" in text


def test_a_constraint_that_excludes_what_does_not_fit() -> None:
    space = compiled("inner % s1.heads == 0")
    assert space.decisions.count().value == 7 * 3
    rng = np.random.default_rng(0)
    for genes in space.decisions.sample(rng, 30):
        network = extract(space.graph, None, tuple(int(g) for g in genes)).eval()
        assert network(torch.randn(1, 3, 8, 8)).shape == (1, 4, 8, 8)


def test_a_constraint_that_excludes_some_of_it() -> None:
    [(code, text)] = faults("inner != 9 or s1.heads == 3")
    assert code == "E309" and "heads = 3" in text and "inner = 8" in text


def test_parts_of_a_constraint_count_alone() -> None:
    assert compiled("inner % s1.heads == 0 and s2.times <= 1").decisions.count().value == 21


def test_a_constraint_says_nothing_where_a_decision_that_it_reads_is_inactive() -> None:
    """With `s2.times = 0` there is no `s2.kernel`, and the constraint excludes nothing."""
    [(code, text)] = faults("not (inner % s1.heads > 0 or (s2.kernel == 3 and inner == 12))")
    assert code == "E309" and "s2.times = 0" in text


def test_costs_do_not_make_shapes_right() -> None:
    [(code, _)] = faults("macs <= 1 or inner % s1.heads == 0")
    assert code == "E309"


def test_an_output_that_constraints_keep() -> None:
    """Two gates, one of which is open."""
    text = """hrdsl 1

cell maybe(open) { out = if open then x -> conv(1, 2) else none }

space s {
  input = [3, 8, 8]
  left in {true, false}
  right in {true, false}
  head = both(left, right)
  %s
}

cell both(left, right) { out = [x -> maybe(left), x -> maybe(right)] -> sum }
"""
    with pytest.raises(ArchError) as caught:
        compile_module(load_source(Source("s.arch", text % "")))
    assert [d.code for d in caught.value.found] == ["E310"]
    space = compile_module(load_source(Source("s.arch", text % "require left or right")))
    assert space.decisions.count().value == 3


def test_a_part_that_is_no_condition() -> None:
    """Each part of a constraint is judged alone; a cell beside a condition is a fault of its own."""
    assert [code for code, _ in faults("s1.cell and inner == 8 and s1.heads > 1")] == ["E407"]
