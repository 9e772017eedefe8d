"""The parts of a split search: for each value that a quantity takes, the same space with that value required."""

from dataclasses import replace
from typing import TYPE_CHECKING

from ..dsl import errors
from ..dsl.diagnostic import ArchError
from ..dsl.syntax import Require
from .constraints import existing
from .factors import TooWide
from .graph import Constraint, Split
from .kinds import label_of
from .sym import Value, apply

if TYPE_CHECKING:
    from .api import Compiled
    from .decisions import Decisions

MOST = 100
"""A search has no more parts."""


def parts(compiled: "Compiled", search: str) -> "dict[str, Compiled]":
    """The parts of a search by the value of its `split`, smallest first; one without a name where it has none.

    `compiled` is under the constraints of the search. Raises ArchError where the values cannot be told.
    """
    split = compiled.graph.splits.get(search)
    if split is None:
        return {"": compiled}
    quantity, exists = existing(split.quantity, compiled.decisions.active)
    found = {_label(split, v): [apply("==", quantity, v)] for v in taken(compiled.decisions, split, quantity)}
    if exists is not True:
        raise ArchError(
            errors.bad_setting("split", "some architectures lack what it reads", split.syntax.span, EXAMPLE)
        )
    syntax = Require(split.syntax, span=split.syntax.span)
    return {
        label: replace(
            compiled,
            graph=replace(
                compiled.graph,
                constraints=(*compiled.graph.constraints, *(Constraint(c, syntax, declared=False) for c in conditions)),
            ),
        )
        for label, conditions in found.items()
    }


EXAMPLE = "count([route.open for route in paths.branches])"


def taken(space: "Decisions", split: Split, quantity: Value) -> tuple[Value, ...]:
    """The values that a quantity takes among the architectures, as far as structure goes."""
    try:
        values = space.values(quantity)
    except TooWide:
        why = "its values cannot be told: it ties too many decisions together"
        raise ArchError(errors.bad_setting("split", why, split.syntax.span, EXAMPLE)) from None
    if len(values) > MOST:
        why = f"it takes {len(values):,} values; a search has at most {MOST} parts"
        raise ArchError(errors.bad_setting("split", why, split.syntax.span, EXAMPLE))
    return values


def _label(split: Split, value: Value) -> str:
    return split.labels[value] if split.labels else label_of(value)
