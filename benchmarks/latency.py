"""Tables of latencies: how many works a space has, what measuring them takes, how far the table is off on other networks.

`--device cuda` and `--full` (HyCTAS's space at 1024 x 2048) for a GPU. Nothing that was measured before is used.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from timing import ROOT, Report, Target

from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.runtime.device import pick
from hrdsl.runtime.latency.clock import conditions
from hrdsl.runtime.latency.latency import Latency
from hrdsl.runtime.latency.table import Wish, build, works_of

EXAMPLES = ROOT / "examples"
COUNT = 100_000
FASTERSEG = 667 * 4.0
"""Seconds of FasterSeg's table: 667 entries of at least four seconds."""
WISH = Wish(hold=16)


def measure(name: str, space: Compiled, device: torch.device, report: Report) -> None:
    """One row: the table of a space, and its answers for many candidates."""
    works = works_of(space)

    def heard(what: str, done: int, of: int) -> None:
        if done % 200 == 0:
            print(f"{name}: {what} {done}/{of}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as cache:
        table = build(space, works, conditions(device), device, WISH, Path(cache), heard)
    latency = Latency(works, table)
    genes = space.decisions.sample(np.random.default_rng(1), COUNT // 10).repeat(10, axis=0)
    begun = time.process_time()
    times = latency(genes)
    rate = len(genes) / (time.process_time() - begun)
    held, plain = table.held, table.plain
    assert held is not None and plain is not None
    tau = "" if held.tau is None else f"{held.tau:.2f}"
    report.add(
        name,
        str(len(table.works)),
        str(table.interpolated),
        f"{table.seconds:.0f} s",
        f"{times.min():.2f} .. {times.max():.2f} ms",
        f"{held.median:.1%}",
        f"{held.q90:.1%}",
        tau,
        f"{plain.median:.1%}",
        rate,
    )
    report.targets.append(Target(f"latency table of {name}, error on {held.count} other networks", 0.1, held.median))
    report.targets.append(Target(f"latency table of {name}, made in", FASTERSEG / 10, table.seconds, "s"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--full", action="store_true")
    args, _ = parser.parse_known_args()
    device = pick(args.device)
    torch.set_num_threads(1)
    report = Report(
        f"Tables of latencies, {conditions(device)}; errors on {WISH.hold} networks that did not correct the table",
        ["space", "works", "interpolated", "made in", "range", "median", "90 %", "tau", "uncorrected", "answers per s"],
    )
    measure("demo", compile_file(EXAMPLES / "demo.arch"), device, report)
    size = {} if args.full else {"height": 128, "columns": 256}
    measure("hyctas", compile_file(EXAMPLES / "hyctas" / "space.arch", None, size), device, report)
    report.print()


if __name__ == "__main__":
    main()
