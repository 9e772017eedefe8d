"""One architecture as a flat `.arch` text: one cell with a line for each operation.

For networks that have no short text, as after pruning, when every layer has a width of its own. The text compiles to the same
operations in the same order.
"""

import re
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from ..dsl.diagnostic import Source
from ..dsl.format import format_text
from ..dsl.pieces import WORDS
from .graph import Graph, Node, Outputs
from .operator import signature
from .specialise import Live, Specialiser
from .sym import at

RESERVED = WORDS | {"x", "out"}


def flat_text(graph: Graph, genes: Sequence[int], notes: Sequence[str] = (), blocks: Sequence[str] = ()) -> str:
    """The text of an architecture. `blocks` are further blocks of the file, as `train` blocks for it.

    Raises ValueError for a network with several outputs.
    """
    lives = Specialiser(graph)(genes)
    if any(isinstance(graph.nodes[live.node].op, Outputs) for live in lives):
        raise ValueError("a network with several outputs has no flat text")
    lines, last = _lines(graph, lives, genes)
    size = ", ".join(str(at(n, genes)) for n in (graph.input.width, *graph.input.extent))
    text = "\n".join(
        [
            "hrdsl 1",
            "",
            *(f"## {note}" for note in notes),
            f"space {graph.name} {{ input = [{size}]\nhead = network }}",
            "",
            "## All operations in their order.",
            f"cell network() {{\n{chr(10).join(lines)}\nout = {last} }}",
            *blocks,
            "",
        ]
    )
    return format_text(Source(graph.name, text))


def _lines(graph: Graph, lives: Sequence[Live], genes: Sequence[int]) -> tuple[list[str], str]:
    """A line for each chain of operations of which only the next one reads the result, and the name of the last."""
    readers = Counter(i for live in lives for i in live.inputs)
    known, taken = {0: "x"}, set(RESERVED)
    lines: list[str] = []
    chain: list[str] = []
    for k, live in enumerate(lives):
        node = graph.nodes[live.node]
        chain.append(_call(node, [known[i] for i in live.inputs[bool(chain) :]], genes, bool(chain)))
        following = lives[k + 1] if k + 1 < len(lives) else None
        if following and following.inputs == (live.node,) and readers[live.node] == 1 and _alone(graph, following):
            continue
        known[live.node] = _name(node.name, taken)
        lines.append(f"{known[live.node]} = {' -> '.join(chain)}")
        chain = []
    return lines, known[lives[-1].node] if lives else "x"


def _alone(graph: Graph, live: Live) -> bool:
    """Whether an operation takes one flow, not a list of one."""
    return graph.nodes[live.node].op.inputs == 1


def _name(path: str, taken: set[str]) -> str:
    """A name that is a word of the language, from the place of an operation in the space."""
    word = re.sub(r"\W+", "_", path).strip("_")
    name = next(n for n in (word, *(f"{word}_{k}" for k in range(2, len(taken) + 2))) if n not in taken)
    taken.add(name)
    return name


def _call(node: Node, flows: Sequence[str], genes: Sequence[int], piped: bool) -> str:
    """An operation with its settings; one that is piped into takes no flow by name."""
    settings = [
        f"{f.name} = {_value(value)}"
        for f in signature(type(node.op))
        if (value := at(getattr(node.op, f.name), genes)) != f.default or f.required
    ]
    alone = f"{node.op.name}({', '.join(settings)})".removesuffix("()")
    if piped:
        return alone
    if node.op.inputs is None:
        return f"[{', '.join(flows)}] -> {alone}"
    return f"{flows[0]} -> {alone}" if len(flows) == 1 else f"{node.op.name}({', '.join([*flows, *settings])})"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return str(value) if isinstance(value, int | Fraction) else repr(value)
