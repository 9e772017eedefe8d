"""What an operator is. One class, one place.

Its fields are what `.arch` may set or search; its methods are the questions that the compiler asks. Nothing else in the
code knows an operator by name. Operators of other packages register through the entry point group `hrdsl.operators`.
No torch here: `lower` names functions by their dotted path.
"""

from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Any, ClassVar, Literal, Protocol, cast

from ..dsl.diagnostic import Span
from .axis import Axis
from .record import record
from .shape import Shape
from .sym import Decision, Value, apply, is_sym, merge

Init = Literal["conv", "linear", "zeros", "ones", "normal", "constant"]
Family = Literal["", "attention", "windows"]


@record(frozen=True, slots=True)
class Weight:
    """A parameter: the index set of each of its axes, and how it is initialised.

    `fan` is the number of inputs of one output (for `conv`, `linear`); `gain` scales; `value` is for `constant`-like inits.
    """

    name: str
    axes: tuple[Axis, ...]
    init: Init
    fan: tuple[int, ...] = ()
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class In:
    """Input `index` of the node."""

    index: int


@dataclass(frozen=True, slots=True)
class Par:
    """The slice of parameter `name` that the architecture reads."""

    name: str


@dataclass(frozen=True, slots=True)
class Out:
    """The result of call `index` of the same node."""

    index: int


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a torch function: `function` is its dotted path, arguments are constants, In, Par, Out or lists of them."""

    function: str
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Norm:
    """Batch normalisation of In(0) over `channels`: batch statistics in training, stored ones in evaluation."""

    channels: int
    eps: float
    momentum: float


Step = Call | Norm
Ask = Callable[[Value], Any]


class Site(Protocol):
    """Where an operator is used: for faults."""

    span: Span

    def at(self, setting: str) -> Span:
        """Where the value of a setting was written."""

    def check(self, fact: Value, fault: Callable[[str], Exception]) -> None:
        """Raise `fault(example)` unless `fact` holds for every architecture that reaches this place."""


class Operator:
    """Base of all operators. Subclasses are frozen dataclasses; fields without a default are required."""

    name: ClassVar[str]
    inputs: ClassVar[int | None] = 1
    """How many flows it takes; None: a list of any length."""
    summary: ClassVar[str] = ""
    channels_last: ClassVar[bool] = False
    """Whether it is slow unless maps have their channels last."""
    family: ClassVar[Family] = ""
    """What pictures know it as, beyond what its weights tell."""
    like: ClassVar[tuple[int, ...]] = ()
    """The inputs that it only reads the size of."""
    mixes: ClassVar[bool] = False
    """Whether each of its channels is made of all channels of the input."""
    joins: ClassVar[bool] = False
    """Whether it takes the same channel of several inputs together."""
    affine: ClassVar[bool] = False
    """Whether a constant that is added to its input, the same everywhere, adds a constant to its result."""
    scales: ClassVar[str] = ""
    """The parameter with a factor for each channel."""

    def shape(self, site: Site, *x: Shape) -> Shape:
        """The output's shape; faults are raised through `site`."""
        raise NotImplementedError

    def weights(self, x: tuple[Shape, ...], y: Shape) -> tuple[Weight, ...]:
        """Its parameters, each axis with the index set that is shared between architectures."""
        return ()

    def macs(self, x: tuple[Shape, ...], y: Shape) -> tuple[tuple[Value, ...], ...]:
        """Multiply-accumulates of one sample, or of one window of it, as a sum of products."""
        return ()

    def work(self, x: tuple[Shape, ...], y: Shape) -> tuple[tuple[Value, ...], ...]:
        """Multiply-accumulates of one sample with all its windows."""
        return tuple([(*factors, y.copies) for factors in self.macs(x, y)])

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        """The torch calls for one architecture; `ask` gives the value of anything symbolic."""
        raise NotImplementedError

    def level(self) -> bool:
        """Whether what is the same everywhere in its input is the same everywhere in its result."""
        return self.affine

    def ordered(self) -> tuple[Literal["channels", "tokens"], ...]:
        """What cannot change places, or be fewer, without another meaning for the rest."""
        return ()

    def settings(self) -> dict[str, Value]:
        return {name: getattr(self, name) for name in _names(cast(Any, type(self)))}

    def deps(self) -> tuple[Decision, ...]:
        """The decisions that its fields depend on."""
        found = [value.deps for name in _names(cast(Any, type(self))) if is_sym(value := getattr(self, name))]
        return merge(found) if found else ()


def agreements(one: Operator, other: Operator) -> list[Value]:
    """When each field agrees, of two operators of one kind; without those that plainly do."""
    pairs = [(getattr(one, name), getattr(other, name)) for name in names(type(one))]
    return [apply("==", ours, theirs) for ours, theirs in pairs if ours is not theirs]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an operator as the language sees it."""

    name: str
    kind: str
    required: bool
    default: Any = None


def names(kind: type[Operator]) -> tuple[str, ...]:
    """The names of an operator's fields."""
    return _names(cast(Any, kind))


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind))


KINDS = ("whole", "number", "flag", "text")
"""What a field can hold: a whole number, which may be searched, or a fixed number, truth or text."""


def signature(kind: type[Operator]) -> tuple[Field, ...]:
    """What `.arch` may set, in order. `kind` of a field is one of KINDS."""
    return _signature(cast(Any, kind))


def optional(kind: type[Operator]) -> bool:
    """Whether all that `.arch` may set has a default."""
    return _optional(cast(Any, kind))


@cache
def _optional(kind: Any) -> bool:
    return not any(f.required for f in signature(kind))


@cache
def _signature(kind: Any) -> tuple[Field, ...]:
    out = []
    for f in fields(kind):
        required = f.default is MISSING
        out.append(Field(f.name, str(f.metadata.get("kind", "whole")), required, None if required else f.default))
    return tuple(out)
