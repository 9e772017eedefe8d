"""What an expression can stand for while a space is elaborated."""

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from ..dsl.diagnostic import Span
from ..dsl.modules import Module
from ..dsl.syntax import Block
from .operator import Operator
from .record import record
from .shape import Shape
from .sym import Metric, Value, is_sym, samples


@record(frozen=True, slots=True)
class Flow:
    """The output of a node; `lane` is the branch it comes from."""

    node: int
    shape: Shape
    lane: str
    span: Span = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with a unit: `12ms`, `4Ki`."""

    value: Fraction
    unit: str


@record(frozen=True, slots=True)
class Cell:
    """A cell with the arguments given so far."""

    block: Block
    module: Module
    arguments: dict[str, Any]

    @property
    def label(self) -> str:
        return self.block.name or "cell"


@record(frozen=True, slots=True)
class Operation:
    """An operator with the settings and the further inputs given so far."""

    kind: type[Operator]
    settings: dict[str, Any]
    flows: tuple[Any, ...] = ()
    places: dict[str, Span] = field(default_factory=dict, repr=False, compare=False)
    """Where each setting was given."""

    @property
    def label(self) -> str:
        return self.kind.name


@dataclass(frozen=True, slots=True)
class Repeat:
    """`repeat(cell, times = n)`."""

    body: Any
    times: Value
    label: str = "repeat"


@dataclass(frozen=True, slots=True)
class Pipeline:
    """`f -> g` before anything flows through it."""

    links: tuple[tuple[Any, Span], ...]
    label: str = "chain"


@dataclass(frozen=True, slots=True)
class Named:
    """A cell that a name of the scope, or an `if`, stands for: its nodes and decisions lie under that name."""

    label: str
    value: Any


class Unable:
    """An alternative that cannot be chosen where it stands."""

    label = "unable"


UNABLE = Unable()


@record(frozen=True, slots=True)
class Alternatives:
    """Several cells (None: `none`); `select` says which one an architecture uses."""

    select: Value
    options: tuple[Any, ...]
    labels: tuple[str, ...]
    label: str = "choice"


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the language over values: `min`, `log2`. `calls` are the forms in which it is written."""

    name: str
    calls: tuple[str, ...]
    summary: str
    run: Callable[..., Any]
    label: str = "function"


@dataclass(frozen=True, slots=True)
class Namespace:
    """A module that `use` names."""

    module: Module


@dataclass(frozen=True, slots=True)
class Place:
    """A branch, a stage, or a branch within a stage, as an expression names it."""

    scope: Any
    kind: str
    name: str


CALLABLE = (Cell, Operation, Repeat, Pipeline, Named, Unable, Alternatives)
_CALLABLE = frozenset(CALLABLE)


def is_callable(value: Any) -> bool:
    return type(value) in _CALLABLE


def kind_of(value: Any) -> str:
    """What a value is, in words."""
    if value is None:
        return "`none`"
    if is_sym(value):
        kinds = {kind_of(v) for v in samples(value)}
        return kinds.pop() if len(kinds) == 1 else "a value of several kinds"
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, int | Fraction):
        return "a number"
    for kind, words in _WORDS:
        if isinstance(value, kind):
            return words
    return "a value"


_WORDS: tuple[tuple[Any, str], ...] = (
    (str, "a text"),
    (tuple, "a list"),
    (Flow, "a flow"),
    (Quantity, "a number with a unit"),
    (Metric, "a cost"),
    (CALLABLE, "a cell"),
    (Function, "a function"),
    (Namespace, "a module"),
    (Place, "a branch or a stage"),
)
