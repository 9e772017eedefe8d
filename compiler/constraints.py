"""What can be said of constraints at a glance, without tables of costs: for `check`, which must answer at once."""

from ..dsl import errors
from ..dsl.diagnostic import ArchError, Diagnostic
from .graph import Graph
from .sym import depends_on_cost


def at_a_glance(graph: Graph) -> list[Diagnostic] | None:
    """Warnings on constraints that are always met; None where a closer look is needed. Raises ArchError for a hopeless one.

    A single constraint over decisions that is not constant can be met; several, or one over costs, need `Decisions.check`.
    """
    open_ones = [c for c in graph.constraints if not isinstance(c.condition, bool)]
    hopeless = [c for c in graph.constraints if c.condition is False]
    if hopeless:
        raise ArchError(*(errors.never_met(c.syntax.span, "it is false for every choice") for c in hopeless))
    if len(open_ones) > 1 or any(depends_on_cost(c.condition) for c in open_ones):
        return None
    return [errors.always_met(c.syntax.span) for c in graph.constraints if c.condition is True]
