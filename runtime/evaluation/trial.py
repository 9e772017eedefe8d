"""A call for a group of candidates, where one may fail without the others."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ..search.front import Genome
from ..search.guard import LOST
from ..search.problem import Evaluation, reason_of

T = TypeVar("T")


def tried(
    call: Callable[[Mapping[Genome, Any]], dict[Genome, T]], group: Mapping[Genome, Any]
) -> tuple[dict[Genome, T], dict[Genome, Evaluation]]:
    """What a call gives for a group. Where it raises, each is tried alone: who raises then has its reason."""
    try:
        return call(group), {}
    except Exception as fault:
        if type(fault).__name__ == LOST:
            raise
        if len(group) == 1:
            return {}, {genome: Evaluation((), reason_of(fault)) for genome in group}
    found, failed = dict[Genome, T](), dict[Genome, Evaluation]()
    for genome, what in group.items():
        good, bad = tried(call, {genome: what})
        found |= good
        failed |= bad
    return found, failed
