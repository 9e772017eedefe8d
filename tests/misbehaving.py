"""A search of a toy space whose candidates misbehave as they are told. Run as a script: one search with workers."""

import ctypes
import json
import math
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hrdsl.runtime.search import nsga2
from hrdsl.runtime.search.front import Front, Genome
from hrdsl.runtime.search.guard import guarded
from hrdsl.runtime.search.problem import Config, Evaluation, Genes, Measure, Objective, Problem, one_by_one, search
from hrdsl.runtime.search.study import Study, identify
from hrdsl.runtime.workers.pool import Crew, Limits, Workers

MEASURE = "misbehaving:measure"
SIZES = (3, 4, 3, 4)
OBJECTIVES = (Objective("accuracy", maximize=True), Objective("size", exact=True))
CONFIG = Config(seed=2, population=10, generations=6)
LIMITS = Limits(1.0, 1 << 29)


def measure(kinds: Mapping[str, str], log: str | None = None, seconds: float = 0.0) -> Measure:
    """The accuracy of a toy network; `kinds` says what some genomes do instead. Each that is begun is logged, with the process."""

    def one(genome: Genome) -> tuple[float]:
        if log is not None:
            with Path(log).open("a") as file:
                file.write(f"{os.getpid()} {key(genome)}\n")
        time.sleep(seconds)
        return (misbehaved(kinds.get(key(genome), "")) or accuracy(genome),)

    return one_by_one(one)


def key(genome: Genome) -> str:
    return ",".join(map(str, genome))


def accuracy(genome: Genome) -> float:
    return sum(math.sin(1.7 * column + gene) + gene / 3 for column, gene in enumerate(genome))


def misbehaved(kind: str) -> float | None:
    """Does what it says; most of it does not return."""
    match kind:
        case "raises":
            raise ValueError("no\ngood")
        case "nan":
            return math.nan
        case "hangs":
            time.sleep(3600)
        case "hoards":
            hoard = [np.zeros(1 << 20)]
            while True:
                hoard.append(np.zeros(1 << 20))
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "crashes":
            ctypes.string_at(0)
        case "aborts":
            os.write(2, b"terminate called: no reason\n")
            os.abort()
        case "exits":
            os._exit(3)
        case "prints":
            os.write(1, b"{}" * 99)
            print("words", flush=True)
        case _ if kind.startswith("once "):
            marker = Path(kind.removeprefix("once "))
            if not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
    return None


def cannot_begin() -> Measure:
    raise OSError("the disk is gone")


def dies_at_once() -> Measure:
    os._exit(4)


def large() -> Measure:
    """Does not fit."""
    held = np.zeros(1 << 28)
    return one_by_one(lambda _: (held[0],))


def surroundings() -> Measure:
    """How many threads a worker may use."""
    return one_by_one(lambda genome: (float(os.environ["OMP_NUM_THREADS"]),))


def failing_device() -> Measure:
    """A device that is lost with its second candidate, for every candidate of the process from then on."""
    lost = []

    class AcceleratorError(RuntimeError): ...

    def each(genomes: Sequence[Genome]) -> Iterator[tuple[Genome, Evaluation]]:
        for genome in genomes:
            if genome == (1, 1) or lost:
                lost.append(genome)
                raise AcceleratorError("CUDA error: device-side assert triggered\nCompile with `TORCH_USE_CUDA_DSA`")
            yield genome, Evaluation((1.0,))

    return each


class Grid:
    """Every combination is an architecture."""

    cardinalities = SIZES

    def sample(self, rng: np.random.Generator, count: int) -> Genes:
        return rng.integers(0, SIZES, (count, len(SIZES))).astype(np.int16)

    def canonical(self, genes: Genes) -> Genes:
        return genes

    def feasible(self, genes: Genes) -> npt.NDArray[np.bool_]:
        return np.ones(len(genes), bool)

    def repair(self, genes: Genes, rng: np.random.Generator) -> Genes:
        return genes


def sizes(genes: Genes) -> npt.NDArray[np.float64]:
    return genes.sum(axis=1, keepdims=True).astype(np.float64)


def crew(count: int, limits: Limits = LIMITS, measure: str = MEASURE, **arguments: Any) -> Workers:
    if measure == MEASURE:
        arguments = {"kinds": {}, **arguments}
    return Workers(Crew(count, limits), measure, arguments)


def searched(path: Path, workers: Workers | None, kinds: dict[str, str] | None = None) -> Front:
    """A search of the grid: in this process, or by workers."""
    expensive = guarded(measure(kinds or {})) if workers is None else workers
    problem = Problem(Grid(), OBJECTIVES, expensive, sizes)
    with Study(path, identify("grid", OBJECTIVES, CONFIG, "nsga2")) as study:
        return search(problem, CONFIG, nsga2.engine(problem, CONFIG), study, None)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where whoever started the tests ignores it
    told: dict[str, str] = json.loads(sys.argv[3])
    with crew(2, Limits(), kinds=told, log=sys.argv[2], seconds=0.05) as hired:
        print(searched(Path(sys.argv[1]), hired))
