"""Where something is used: the place in the text and the condition there, for checks of facts and for faults."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..dsl.diagnostic import Diagnostic, Label, Span
from .conditions import Where, implied
from .kinds import is_number
from .operator import Operator
from .sym import Decision, Table, Value, deps, is_sym
from .values import Cell


class UseSite:
    """Where an operator is applied, under which condition."""

    def __init__(
        self,
        span: Span,
        where: Where,
        places: Mapping[str, Span] | None = None,
        later: "list[Suspicion] | None" = None,
        op: Operator | None = None,
    ) -> None:
        self.span = span
        self.where = where
        self.places = places or {}
        self.op = op
        self.later = later

    def at(self, setting: str) -> Span:
        """Where the value of a setting was written."""
        place = self.places.get(setting)
        return self.span if place is None else place_of(getattr(self.op, setting, None), place)

    def check(self, fact: Value, fault: Callable[[str], Exception]) -> None:
        """Raise unless `fact` holds wherever the condition does; the fault gets a counterexample as text.

        In a space with constraints, what some choices violate waits until the constraints are known.
        """
        against = None if fact is True else implied(self.where.condition, fact)
        if against is None:
            return
        if self.later is None or not is_sym(fact):
            raise fault(counterexample(against))
        self.later.append(Suspicion(self.where.condition, fact, fault))


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A fact that some choices violate; constraints may forbid them."""

    condition: Value
    fact: Value
    fault: Callable[[str], Exception]


def counterexample(against: Mapping[Decision, int]) -> str:
    """` when a = 1, b = 2`."""
    example = ", ".join(f"{d.path} = {d.labels[g]}" for d, g in against.items())
    return f" when {example}" if example else ""


def place_of(value: Any, given: Span) -> Span:
    """Where a setting's value was written: the domain, if it is the value of one decision."""
    made = deps(value)
    numbers = len(made) == 1 and all(is_number(v) for v in made[0].values)
    same = isinstance(value, Table) and numbers and value.values == made[0].values
    return made[0].span if same else given


def used_here(fault: Diagnostic, cell: Cell, span: Span) -> Diagnostic:
    """A fault inside a cell of another file also shows where the cell is used."""
    seen = {label.span.source for label in (fault.here, *fault.there)}
    if span.source in seen or fault.here.span.source is not cell.module.source:
        return fault
    return replace(fault, there=(*fault.there, Label(span, f"`{cell.label}` is used here")))
