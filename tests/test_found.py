"""A found network is the same file with every `in` turned into `=`: it formats, compiles, counts 1 and costs the same."""

from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from hrdsl.compiler.api import Compiled, compile_module
from hrdsl.compiler.found import compile_text as compile_found
from hrdsl.compiler.found import found_text
from hrdsl.compiler.sym import at
from hrdsl.dsl.diagnostic import Source
from hrdsl.dsl.format import format_text
from hrdsl.dsl.modules import load_source

from .spaces import EXAMPLES, SPACES, Reference, compile_example, compile_space, compile_text

every = pytest.mark.parametrize(
    "case", [*SPACES, *EXAMPLES], ids=lambda c: c if isinstance(c, str) else f"examples/{c.stem}"
)


@cache
def compiled(case: str | Path) -> Compiled:
    return compile_space(case) if isinstance(case, str) else compile_example(case)


def architectures(space: Compiled) -> list[tuple[int, ...]]:
    drawn = space.decisions.sample(np.random.default_rng(7), 12).tolist()
    return [*dict.fromkeys([space.decisions.largest(), space.decisions.smallest(), *map(tuple, drawn)])]


@every
def test_found(case: str | Path) -> None:
    space = compiled(case)
    for genes in architectures(space):
        text = found_text(space, genes, ("found by a test",))
        assert format_text(Source("found.arch", text)) == text
        assert "\nsearch " not in text
        again = compile_found(text, space)
        assert again.graph.decisions == ()
        assert (again.decisions.count().value, again.decisions.count().exact) == (1, True)
        assert again.costs.one(()) == space.costs.one(genes)


@every
def test_found_network_is_the_architecture(case: str | Path) -> None:
    """The live operators are the same ones, with the same settings, in the same order."""
    space = compiled(case)
    for genes in architectures(space)[:4]:
        again = compile_found(found_text(space, genes), space)
        assert operators(again, ()) == operators(space, genes)


def operators(space: Compiled, genes: tuple[int, ...]) -> list[tuple[str, str, tuple[int, ...]]]:
    """The live operators in order; a sum or concatenation of one flow is that flow."""
    live, _ = Reference(space.graph).resolve(genes)
    number: dict[int, int] = {}
    out = []
    for i, read in live.items():
        node = space.graph.nodes[i]
        if node.op.inputs is None and len(read) == 1:
            number[i] = number[read[0]]
            continue
        number[i] = len(out)
        settings = {k: at(v, genes) for k, v in node.op.settings().items()}
        out.append((node.op.name, repr(settings), tuple(number[k] for k in read)))
    return out


def test_comments_stay() -> None:
    text = found_text(compiled("dead"), compiled("dead").decisions.largest(), ("one", "two"))
    assert "# one\n# two\n" in text
    assert "## Decisions under a closed gate" in text


def test_documentation_goes_with_what_it_documents() -> None:
    text = """hrdsl 1

space s {
  input = [3, 8, 8]
  branch a at 1/1 { width in {8, 16} }
  stage t on a {
    cell = conv(k)
    times = 2
    ## Kernels.
    k in {1, 3} per cell
  }
  head = concat -> conv(1, 4)
  ## Even widths
  ## are as likely.
  prior a.width {8: 1, 16: 1}
}

## A search,
## on two lines.
search front for s { maximize miou }
"""
    made = compile_text(text)
    found = found_text(made, (0, 0, 1))
    assert "##" not in found
    assert compile_found(found, made).graph.decisions == ()


def test_what_was_set_from_outside_becomes_the_default() -> None:
    """The text alone, without `--set`, is the network that was found."""
    text = """hrdsl 1
space s(size = 8, widths = [4, 8], bias = false, ratio = 1) {
  input = [3, size, size]
  head = conv(kernel in {1, 3}, width = widths[0] * ratio, bias = bias) -> conv(1, width = widths[1])
}
"""
    given = {"size": 16, "widths": (6, 10), "bias": True, "ratio": Fraction(3, 2)}
    made = compile_module(load_source(Source("s.arch", text)), settings=given)
    found = found_text(made, (1,))
    assert "size = 16, widths = [6, 10], bias = true, ratio = 3/2" in found
    assert compile_text(found).costs.one(()) == made.costs.one((1,))
