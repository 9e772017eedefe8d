"""A measure that survives its candidates: who raises fails alone, with its reason. Imports `problem`."""

import time
from collections.abc import Iterator, Sequence

from ..faults import RunError
from .front import Genome
from .problem import Evaluation, Measure, reason_of

LOST = "AcceleratorError"
"""What torch raises once a device has failed: nothing that this process asks of it is answered any more."""


def guarded(measure: Measure) -> Measure:
    """Where a group raises, those without an answer are asked one by one; who raises then is recorded.

    Raises RunError if the device is lost: the next candidates would fail for the fault of another.
    """

    def measured(genomes: Sequence[Genome]) -> Iterator[tuple[Genome, Evaluation]]:
        left = dict.fromkeys(genomes)
        if len(left) > 1:
            try:
                for genome, answer in measure(genomes):
                    left.pop(genome, None)
                    yield genome, answer
                return
            except Exception as fault:
                _check(fault)
        for genome in left:
            yield from _alone(measure, genome)

    return measured


def _alone(measure: Measure, genome: Genome) -> Iterator[tuple[Genome, Evaluation]]:
    start = time.perf_counter()
    try:
        answers = list(measure([genome]))
    except Exception as fault:
        _check(fault)
        answers = [(genome, Evaluation((), reason_of(fault), time.perf_counter() - start))]
    yield from answers


def _check(fault: Exception) -> None:
    """Raises what is no fault of a candidate."""
    if isinstance(fault, RunError):
        raise fault
    if type(fault).__name__ == LOST:
        raise RunError(
            f"the device failed: {reason_of(fault)}; the same command goes on, with --workers also past such a candidate"
        ) from fault
