"""Names that nothing declares, found without evaluating anything: so that one run reports them all.

Syntax in, diagnostics out. A cell sees its parameters, its entries and `x`; a space is taken as one large scope, so what
is reported here is certain. Imports `dsl`, the operators and the functions.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from fractions import Fraction
from functools import cache
from typing import Any

from ..dsl import errors
from ..dsl.diagnostic import MOST, Diagnostic, Span
from ..dsl.model import COSTS, TIMES
from ..dsl.modules import STD, Module
from ..dsl.syntax import (
    Attribute,
    Block,
    Call,
    Clause,
    Comprehension,
    Fix,
    Name,
    Syntax,
    Vary,
)
from .functions import FUNCTIONS
from .operator import Operator, signature

Operators = Mapping[str, type[Operator]]
PLACES = ("stride", "index", "halvings", "layer", "branch", "down")
"""Values that every branch has."""
_PLAIN = (Span, Fraction, int, str, str | None, str | bool | None, tuple[str, ...], tuple[str | int, ...])
"""The types of fields that hold no syntax."""


def parts(node: Syntax) -> list[Syntax]:
    """The syntax directly within another."""
    out: list[Syntax] = []
    kind: Any = type(node)
    for name in _fields(kind):
        value = getattr(node, name)
        if isinstance(value, tuple):
            out += value
        elif value is not None:
            out.append(value)
    return out


@cache
def _fields(kind: Any) -> tuple[str, ...]:
    """The fields that hold syntax, or tuples of it."""
    return tuple(f.name for f in fields(kind) if f.type not in _PLAIN)


def inside(node: Syntax) -> Iterator[Syntax]:
    """A node and all that is within it."""
    todo = [node]
    while todo:
        node = todo.pop()
        yield node
        todo += parts(node)


def blocks_of(block: Block) -> Iterator[Block]:
    """A block and all blocks within it."""
    yield block
    for line in block.lines:
        if isinstance(line, Block):
            yield from blocks_of(line)


def declared(block: Block) -> set[str]:
    """The names that a block and the blocks within it declare, overrides included."""
    out: set[str] = set()
    for inner in blocks_of(block):
        out |= {inner.name or "", *(p.name for p in inner.parameters or ())}
        out |= {str(line.target.parts[-1]) for line in inner.lines if isinstance(line, Fix | Vary)}
    return out


def unknown_names(module: Module, operators: Operators, blocks: Iterable[Block]) -> list[Diagnostic]:
    """The faults of some cells and spaces of a module; a name that is unknown in several places is said once."""
    language = {*module.cells, *module.uses, *operators, *FUNCTIONS, *COSTS, *TIMES}
    found: list[Diagnostic] = []
    for block in blocks:
        own = declared(block) | ({"x"} if block.kind == "cell" else set(PLACES))
        finder = _Finder(module, operators, own, own | language)
        for part in parts(block):
            finder.visit(part, frozenset())
        found += finder.found
    return list({d.title: d for d in reversed(found)}.values())[::-1]


class _Finder:
    """The walk over one block; `own` are the names that it declares, which hide those of the language."""

    def __init__(self, module: Module, operators: Operators, own: set[str], known: set[str]) -> None:
        self.module = module
        self.operators = operators
        self.own = own
        self.known = known
        self.found: list[Diagnostic] = []

    def visit(self, node: Syntax, bound: frozenset[str]) -> None:
        match node:
            case Clause():
                if node.value is not None:
                    self.visit(node.value, bound)
                return
            case Comprehension():
                bound |= {loop.variable for loop in node.loops}
            case Name(text=text) if text not in bound and text not in self.known and len(self.found) < MOST:
                self.found.append(unknown(text, node.span, self.known, self.own - {""}))
            case Attribute(base=Name(text=text)) if self.is_free(text, bound) and text in self.module.uses:
                self.cell_of(node, self.module.uses[text])
            case Call():
                self.arguments(node, bound)
        for part in parts(node):
            self.visit(part, bound)

    def is_free(self, name: str, bound: frozenset[str]) -> bool:
        return name not in bound and name not in self.own

    def cell_of(self, node: Attribute, module: Module) -> None:
        if node.name not in module.cells:
            place = Span(node.span.source, node.span.stop - len(node.name), node.span.stop)
            where = f" of `{module.name}`"
            self.found.append(errors.unknown_name(node.name, "cell", place, module.cells, where))

    def arguments(self, call: Call, bound: frozenset[str]) -> None:
        known = self.parameters(call, bound)
        for given in call.named if known is not None else ():
            if str(given.target) not in (known or ()):
                name = call.function.span.text.rsplit(".", 1)[-1]
                self.found.append(errors.unknown_argument(str(given.target), name, given.target.span, known or ()))

    def parameters(self, call: Call, bound: frozenset[str]) -> list[str] | None:
        """What a call may set by name; None where the callee is not known for certain."""
        match call.function:
            case Name(text=name) if self.is_free(name, bound):
                if name in self.module.cells:
                    return settable(self.module.cells[name])
                if name in self.operators and name not in FUNCTIONS and name not in self.module.uses:
                    return [f.name for f in signature(self.operators[name])]
            case Attribute(base=Name(text=alias), name=name) if self.is_free(alias, bound):
                module = self.module.uses.get(alias)
                return settable(module.cells[name]) if module and name in module.cells else None
        return None


def settable(cell: Block) -> list[str]:
    """What a call of a cell may give by name: its parameters and its decisions."""
    inner = [str(line.target) for line in cell.lines if isinstance(line, Vary)]
    return [p.name for p in cell.parameters or ()] + inner


def unknown(name: str, span: Span, known: Iterable[str], own: Iterable[str]) -> Diagnostic:
    """A name that nothing declares; one of the library's modules is only not used."""
    if (STD / f"{name}.arch").is_file():
        return errors.not_used(name, f"std.{name}", span)
    return errors.unknown_name(name, "name", span, known, listed=own, cell="x" in own)
