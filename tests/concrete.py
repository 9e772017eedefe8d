"""Concrete values of the language, for one architecture: scopes, cells and operators with their arguments, functions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations, product
from math import gcd
from typing import Any

from hrdsl.dsl.modules import Module
from hrdsl.dsl.syntax import Block

from .torch_operators import Flow, Wrong

Path = tuple[str | int, ...]
ABSENT = object()
"""A value that reads a decision which the architecture lacks."""


@dataclass(slots=True)
class Scope:
    kind: str
    path: Path
    module: Module
    outer: "Scope | None" = None
    entries: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    def chain(self) -> "Iterator[Scope]":
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.outer


@dataclass(frozen=True, slots=True)
class Op:
    label: str
    settings: dict[str, Any]
    flows: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Cell:
    block: Block
    module: Module
    arguments: dict[str, Any]

    @property
    def label(self) -> str:
        return str(self.block.name)


@dataclass(frozen=True, slots=True)
class Links:
    links: tuple[Any, ...]
    label: str = "chain"


@dataclass(frozen=True, slots=True)
class Repeat:
    body: Any
    times: int
    label: str = "repeat"


@dataclass(frozen=True, slots=True)
class Closed:
    """The result of a route that the architecture lacks: no flow, but its stride is known."""

    stride: Fraction
    lane: str


@dataclass(frozen=True, slots=True)
class Place:
    scope: Scope


CALLABLE = (Op, Cell, Links, Repeat)


def nothing(value: Any) -> bool:
    return value is None or isinstance(value, Closed)


def plain(value: Any) -> Any:
    return int(value) if isinstance(value, Fraction) and value.denominator == 1 else value


def label(value: Any) -> str:
    if isinstance(value, CALLABLE):
        return value.label
    if isinstance(value, tuple):
        return f"[{', '.join(map(label, value))}]"
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def labels(values: list[Any]) -> tuple[str, ...]:
    out: list[str] = []
    plain_labels = [label(v) for v in values]
    for i, text in enumerate(plain_labels):
        rank = plain_labels[: i + 1].count(text)
        out.append(text if rank == 1 else f"{text}{rank}")
    return tuple(out)


def arithmetic(operator: str, a: Any, b: Any) -> Any:
    if operator in ("/", "//", "%") and b == 0:
        raise Wrong("division by zero")
    known: dict[str, Callable[[], Any]] = {
        "+": lambda: a + b,
        "-": lambda: a - b,
        "*": lambda: a * b,
        "/": lambda: Fraction(a) / b,
        "//": lambda: a // b,
        "%": lambda: a % b,
        "<": lambda: a < b,
        "<=": lambda: a <= b,
        ">": lambda: a > b,
        ">=": lambda: a >= b,
        "==": lambda: a == b,
        "!=": lambda: a != b,
        "or": lambda: a or b,
    }
    return plain(known[operator]())


def log2(value: Any) -> int:
    n = 0
    while 2 ** (n + 1) <= value:
        n += 1
    return n


def present(items: Any) -> list[Any]:
    return [i for i in items if i is not ABSENT]


def apart(pairs: Any) -> bool:
    return all(a != b for a, b in pairs if a is not ABSENT and b is not ABSENT)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "repeat": Repeat,
    "min": lambda *a: min(*a),
    "max": lambda *a: max(*a),
    "round": round,
    "log2": log2,
    "gcd": gcd,
    "length": len,
    "range": lambda *a: tuple(range(*a)),
    "subsets": lambda items, n: tuple(combinations(items, n)),
    "all": lambda items: all(present(items)),
    "any": lambda items: any(present(items)),
    "count": lambda items: sum(present(items)),
    "sum": lambda *a: sum(present(a[0] if isinstance(a[0], tuple) else a)),
    "distinct": lambda items: apart(combinations(items, 2)),
    "disjoint": lambda *lists: all(apart(product(a, b)) for a, b in combinations(lists, 2)),
    "contains": lambda items, v: ABSENT if v is ABSENT else v in present(items),
}
AGGREGATES = ("all", "any", "count", "sum", "distinct", "disjoint", "contains", "length")


def streams(value: Any) -> bool:
    return isinstance(value, Flow | Closed) or (isinstance(value, tuple) and any(map(streams, value)))


def flatten(items: Any) -> Iterator[Any]:
    for item in items:
        if isinstance(item, tuple):
            yield from flatten(item)
        else:
            yield item


def owner(use: Scope, declared: Scope, per: str | None) -> Scope:
    if per is None:
        return declared
    return next(s for s in use.chain() if s.kind == {"branch": "lane", "cell": "slot"}[per])
