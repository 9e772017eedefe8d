"""When units go, and down to which cost: removals at equal distances between warming up and tuning."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..faults import RunError


@dataclass(frozen=True, slots=True)
class Removal:
    """After `step` steps the cost falls to `wanted`. `budget`: the one that it meets; `share`: of the way to the first one."""

    step: int
    wanted: float
    budget: int | None
    share: float


def removals(
    budgets: Sequence[float], full: float, steps: int, every: int, warm: float, tune: float
) -> tuple[Removal, ...]:
    """The removals of a training of so many steps, one after each `every` of them: the first after the share `warm` of the
    steps, none within the share `tune` at the end. The cost falls geometrically from `full` to the last of the falling
    `budgets`, and meets the others on the way. Raises RunError if there are fewer removals than budgets."""
    first = min(steps, max(1, round(warm * steps)))
    count = 1 + max(0, (round((1 - tune) * steps) - first) // every)
    if count < len(budgets):
        raise RunError(
            f"{len(budgets)} budgets need as many removals, and {steps} steps have {count}: train longer, or lower `every`"
        )
    aims = [full * (budgets[-1] / full) ** ((k + 1) / count) for k in range(count)]
    places = _places(budgets, aims)
    out: list[Removal] = []
    met, wanted = 0, full
    for k, aim in enumerate(aims):
        here = met if places[met] == k else None
        wanted = budgets[met] if here is not None else max(min(aim, wanted), budgets[met])
        out.append(Removal(first + k * every, wanted, here, min(1.0, (k + 1) / (places[0] + 1))))
        met += here is not None
    return tuple(out)


def _places(budgets: Sequence[float], aims: Sequence[float]) -> list[int]:
    """The removal at which each budget is met: the first that goes so far, one for each, the last for the last."""
    places = [next((k for k, aim in enumerate(aims) if aim <= b), len(aims) - 1) for b in budgets]
    places[-1] = len(aims) - 1
    for k in reversed(range(len(places) - 1)):
        places[k] = min(places[k], places[k + 1] - 1)
    for k in range(1, len(places)):
        places[k] = max(places[k], places[k - 1] + 1)
    return [max(k, p) for k, p in enumerate(places)]
