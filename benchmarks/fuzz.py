"""Fuzzing for as long as wished: random programs held against plain torch, and damaged files that must end in diagnostics.

`--programs N [--first K] [--jobs J]` judges the programs of seeds K to K + N; a run that was broken off goes on with
`--first`. `--mutate SECONDS [--first K]` damages files from seed K on. Exit status 1 where something was found.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.mutate import Slow, judge, mutant
from tests.programs import program
from tests.verdict import verdict

EVERY = 100
SHOWN = 300


def one_program(seed: int) -> tuple[int, str, str]:
    """A seed, its outcome, and what went wrong."""
    torch.set_num_threads(1)
    try:
        return seed, verdict(program(seed), seed), ""
    except Exception as fault:
        return seed, "FOUND", f"{type(fault).__name__}: {fault}"


def programs(first: int, count: int, jobs: int) -> Iterator[tuple[int, str, str]]:
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(one_program, range(first, first + count), chunksize=5)


def mutants(first: int, seconds: float) -> Iterator[tuple[int, str, str]]:
    end, seed = time.monotonic() + seconds, first
    while time.monotonic() < end:
        try:
            yield seed, judge(*mutant(seed)), ""
        except (Exception, Slow) as fault:
            yield seed, "FOUND", f"{type(fault).__name__}: {fault}"
        seed += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=int, metavar="N")
    parser.add_argument("--mutate", type=float, metavar="SECONDS")
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    total = args.programs or 0
    cases = programs(args.first, total, args.jobs) if total else mutants(args.first, args.mutate or 60)
    outcomes: Counter[str] = Counter()
    start = time.monotonic()
    for done, (seed, outcome, what) in enumerate(cases, start=1):
        outcomes[outcome] += 1
        if what:
            print(f"seed {seed}: {what[:SHOWN]}", flush=True)
        if total and done % EVERY == 0:
            spent = time.monotonic() - start
            left = spent / done * (total - done)
            print(f"{done} of {total}, {spent:.0f} s, {left:.0f} s left, go on with --first {seed + 1}", flush=True)
    print(f"{outcomes.total()} cases in {time.monotonic() - start:.0f} s, {outcomes['FOUND']} found")
    print("  ".join(f"{name} {n}" for name, n in outcomes.most_common()))
    return 1 if outcomes["FOUND"] else 0


if __name__ == "__main__":
    sys.exit(main())
