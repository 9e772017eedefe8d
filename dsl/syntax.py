"""The syntax tree: what the text says, with the place of every part. No meaning yet.

Spans stand outside equality, so two texts with the same tree say the same.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

from .diagnostic import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Syntax:
    """Any part of a file; `span` is where it stands."""

    span: Span = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Number(Syntax):
    """`3`, `1/4` is an expression, `600M`, `12ms`. `value` is exact and in the base unit of `unit`."""

    value: Fraction
    unit: str
    text: str


@dataclass(frozen=True, slots=True)
class Constant(Syntax):
    """A string, `true`, `false` or `none`."""

    value: str | bool | None


@dataclass(frozen=True, slots=True)
class Name(Syntax):
    """`width`."""

    text: str


@dataclass(frozen=True, slots=True)
class Attribute(Syntax):
    """`base.name`."""

    base: "Expr"
    name: str


@dataclass(frozen=True, slots=True)
class Index(Syntax):
    """`base[index]`."""

    base: "Expr"
    index: "Expr"


@dataclass(frozen=True, slots=True)
class Call(Syntax):
    """`function(positional, name = value, name in domain)`."""

    function: "Expr"
    positional: tuple["Expr", ...]
    named: tuple["Fix | Vary", ...]


@dataclass(frozen=True, slots=True)
class ListOf(Syntax):
    """`[a, b]`."""

    items: tuple["Expr", ...]


@dataclass(frozen=True, slots=True)
class Comprehension(Syntax):
    """`[item for variable in iterable ... if condition]`; the last loop turns fastest."""

    item: "Expr"
    loops: tuple["Loop", ...]
    condition: "Expr | None"


@dataclass(frozen=True, slots=True)
class Loop(Syntax):
    """`for variable in iterable`."""

    variable: str
    iterable: "Expr"


@dataclass(frozen=True, slots=True)
class Unary(Syntax):
    """`-a`, `not a`."""

    operator: str
    operand: "Expr"


@dataclass(frozen=True, slots=True)
class Binary(Syntax):
    """`a + b`, `a and b`."""

    operator: str
    left: "Expr"
    right: "Expr"


@dataclass(frozen=True, slots=True)
class If(Syntax):
    """`if condition then a else b`."""

    condition: "Expr"
    then: "Expr"
    otherwise: "Expr"


@dataclass(frozen=True, slots=True)
class Chain(Syntax):
    """`x -> f -> g`: `links[0]` flows through the rest, left to right."""

    links: tuple["Expr", ...]


Expr = Number | Constant | Name | Attribute | Index | Call | ListOf | Comprehension | Unary | Binary | If | Chain


@dataclass(frozen=True, slots=True)
class Members(Syntax):
    """`{a, b, c}`: an ordered set of values or cells."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Interval(Syntax):
    """`first .. last step by`: both ends belong to it."""

    first: Expr
    last: Expr
    by: Expr | None


@dataclass(frozen=True, slots=True)
class Listed(Syntax):
    """A domain that an expression gives: `[8 * k for k in range(1, 5)]`."""

    value: Expr


Domain = Members | Interval | Listed


@dataclass(frozen=True, slots=True)
class Target(Syntax):
    """The left side of an entry: `width`, `coarse.times`, `fine[1].kernel`."""

    parts: tuple[str | int, ...]

    def __str__(self) -> str:
        return path_text(self.parts)


@dataclass(frozen=True, slots=True)
class Fix(Syntax):
    """`target = value`: the author decided."""

    target: Target
    value: Expr
    docs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Vary(Syntax):
    """`target in domain per scope`: the search decides."""

    target: Target
    domain: Domain
    per: str | None = None
    docs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Require(Syntax):
    """`require condition`."""

    condition: Expr
    docs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Goal(Syntax):
    """`maximize miou`, `minimize macs`."""

    direction: str
    value: Expr
    docs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Weight(Syntax):
    """`value: weight` of a prior."""

    value: Expr
    weight: Expr


@dataclass(frozen=True, slots=True)
class Prior(Syntax):
    """`prior quantity {value: weight, ...}`."""

    quantity: Expr
    weights: tuple[Weight, ...]
    docs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parameter(Syntax):
    """`name` or `name = default` of a cell or a space."""

    name: str
    default: Expr | None


@dataclass(frozen=True, slots=True)
class Clause(Syntax):
    """`on fine, coarse`, `at 1/4`, `for tiny`."""

    kind: str
    names: tuple[Name, ...] = ()
    value: Expr | None = None


@dataclass(frozen=True, slots=True)
class Block(Syntax):
    """`kind name(parameters) clauses { lines }`: cells, spaces, branches, stages, train and search alike."""

    kind: str
    name: str | None
    parameters: tuple[Parameter, ...] | None
    clauses: tuple[Clause, ...]
    lines: tuple["Line", ...]
    docs: tuple[str, ...]
    head: Span = field(repr=False, compare=False)


Line = Fix | Vary | Require | Goal | Prior | Block


@dataclass(frozen=True, slots=True)
class Use(Syntax):
    """`use std.blocks as b`."""

    path: tuple[str, ...]
    alias: str | None


@dataclass(frozen=True, slots=True)
class File(Syntax):
    """A whole file."""

    edition: int
    items: tuple[Use | Block, ...]


def path_text(parts: tuple[str | int, ...]) -> str:
    """`("s2", "fine", 1, "kernel")` as `s2.fine[1].kernel`."""
    return (_inside(parts[:-1]) + _step(parts[-1])).lstrip(".") if parts else ""


@lru_cache(1 << 12)
def _inside(parts: tuple[str | int, ...]) -> str:
    """What many paths begin with."""
    return "".join(map(_step, parts))


def _step(part: str | int) -> str:
    return f"[{part}]" if type(part) is int else f".{part}"
