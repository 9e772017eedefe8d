"""What is in a study: its table of evaluations in, plain data out. Reads without the lock, so a search may be running."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..search.front import Member, filtered, hypervolume, member_losses
from ..search.study import Identity, Row, StudyError, read

FILE = "study.sqlite"


def summary(folder: Path) -> dict[str, Any]:
    """Identity, evaluations, failures, front, generations and time of a study. Raises StudyError."""
    path = folder / FILE
    if not path.exists():
        raise StudyError(f"there is no study in {folder}: `hrdsl search FILE --study {folder}` begins one")
    identity, rows = read(path)
    names = [goal.split()[1] for goal in identity.objectives]
    failed = [row for row in rows if row.evaluation.error is not None]
    reasons = Counter(row.evaluation.error for row in failed)
    return {
        "path": str(folder),
        "identity": identity.space,
        "seed": identity.seed,
        "objectives": list(identity.objectives),
        "configuration": identity.configuration,
        "evaluated": len(rows),
        "failed": len(failed),
        "estimated": sum(row.evaluation.images > 0 for row in rows),
        "failures": [{"reason": reason, "count": count} for reason, count in reasons.most_common()],
        "front": [{**dict(zip(names, m.values, strict=True)), "genome": list(m.genome)} for m in front(identity, rows)],
        "generations": generations(identity, rows),
        "seconds": round(sum(row.evaluation.seconds for row in rows), 3),
    }


def front(identity: Identity, rows: Sequence[Row]) -> tuple[Member, ...]:
    """The non-dominated evaluations."""
    return filtered(_members(rows), _signs(identity))


def generations(identity: Identity, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """By generation: what was evaluated, and where the front stood behind it.

    `hypervolume` is the share of the rectangle between the best and the worst values of the whole study that the front
    dominates, so it grows to at most 1 and compares generations of one study, not studies.
    """
    signs = _signs(identity)
    losses = member_losses(_members(rows), signs)
    if len(losses):
        best, span = losses.min(axis=0), np.ptp(losses, axis=0)
        span[span == 0] = 1.0
    found: list[dict[str, Any]] = []
    kept: tuple[Member, ...] = ()
    for number in sorted({row.generation for row in rows}):
        mine = [row for row in rows if row.generation == number]
        new = _members(mine)
        kept = filtered((*kept, *new), signs)
        scaled = (member_losses(kept, signs) - best) / span if kept else np.zeros((0, len(signs)))
        found.append(
            {
                "generation": number,
                "evaluated": len(mine),
                "failed": sum(row.evaluation.error is not None for row in mine),
                "front": len(kept),
                "best": list(kept[0].values) if kept else None,
                "hypervolume": round(hypervolume(scaled, [1.0] * len(signs)), 6),
                "seconds": round(sum(row.evaluation.seconds for row in mine), 3),
            }
        )
    return found


def _members(rows: Sequence[Row]) -> tuple[Member, ...]:
    """Those that were measured in full."""
    found = (row for row in rows if row.evaluation.error is None and not row.evaluation.images)
    return tuple(Member(row.genome, row.evaluation.values) for row in found)


def _signs(identity: Identity) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([-1.0 if goal.startswith("max ") else 1.0 for goal in identity.objectives])
