"""All that is to be checked and measured on a GPU, in one command within eight minutes.

    python benchmarks/gpu.py [--device cuda] [--out DIR] [--quick]

Runs the tests marked `gpu`, then times training steps, compiled cells, candidates of a search and memory on
examples/demo.arch, and a tree of modules in the style of OFA on elastic.arch (`modules.py`). Writes `gpu.md` and `gpu.json`.
A part that fails says so in the table, and the others run. `--quick` is small enough for `--device cpu`, where it checks
that everything runs; its figures mean nothing. Times are those of the wall, with the device waited for: the machine has to
be idle. Variants run in turn, in every round; a ratio is the median over rounds.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import hand
import modules
import numpy as np
import torch
from step import own, planned, sampled
from timing import ROOT, ratio, spread
from torch import Tensor, nn

from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.compiler.cells import Cells
from hrdsl.compiler.module import extract
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.store import Store
from hrdsl.runtime.device import describe
from hrdsl.runtime.evaluation import Evaluator, Options
from hrdsl.runtime.latency.deploy import deployed
from hrdsl.runtime.optimise import Optimizer, Readings
from hrdsl.runtime.task import Examples

BUDGET = 450.0
"""Seconds after which no part begins."""
Genome = tuple[int, ...]
Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done."""

    rounds: int = 20
    batch: int = 16
    pixels: int = 64
    candidates: int = 40
    validate: int = 1000
    recalibrate: int = 128
    seen: int = 40
    """Architectures that compiled cells see."""
    backend: str = "inductor"
    tests: float = 180.0


QUICK = Size(rounds=2, batch=2, candidates=2, validate=200, recalibrate=32, seen=2, backend="eager", tests=120.0)


class Bench:
    """The device, the space, and what was found."""

    def __init__(self, device: torch.device, size: Size) -> None:
        self.device = device
        self.size = size
        self.rows: list[dict[str, Any]] = []
        self.space = compile_file(ROOT / "examples" / "demo.arch")
        self.begun = time.monotonic()

    def add(self, part: str, what: str, value: object, unit: str = "") -> None:
        self.rows.append({"part": part, "what": what, "value": value, "unit": unit})
        print(f"{part}: {what}: {value} {unit}", file=sys.stderr, flush=True)

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def times(self, variants: dict[str, Call]) -> dict[str, list[float]]:
        """Seconds of each variant in each round; two calls of each go before."""
        out: dict[str, list[float]] = {name: [] for name in variants}
        order, shuffle = list(variants), random.Random(0).shuffle
        for call in variants.values():
            for _ in range(2):
                call()
        for _ in range(self.size.rounds):
            shuffle(order)
            for name in order:
                self.wait()
                begun = time.perf_counter()
                variants[name]()
                self.wait()
                out[name].append(time.perf_counter() - begun)
        return out

    def compare(self, part: str, times: dict[str, list[float]], base: str, items: int, unit: str) -> None:
        """Throughput of each variant, and its time as a ratio to that of `base`."""
        for name, found in times.items():
            self.add(part, name, round(items / median(found), 2), unit)
            if name != base:
                self.add(part, f"{name}, time / {base}", str(ratio(found, times[base])), "x")

    def pictures(self, count: int) -> tuple[Tensor, Tensor]:
        torch.manual_seed(0)
        pixels = self.size.pixels
        x = torch.randn(count, 3, pixels, pixels).contiguous(memory_format=torch.channels_last)
        return x.to(self.device), torch.randint(0, 11, (count, pixels // 2, pixels // 2)).to(self.device)

    def examples(self, count: int, side: int, classes: int) -> Examples:
        rng = torch.Generator().manual_seed(count)
        images = torch.randint(0, 256, (count, 3, 64, 64), dtype=torch.uint8, generator=rng)
        labels = torch.randint(0, classes, (count, side, side), dtype=torch.uint8, generator=rng)
        return Examples(images.to(self.device), labels.to(self.device), classes, 255)


def whole(variant: Callable[[], Iterator[str]]) -> Call:
    """All phases of a step."""
    return lambda: [*variant()]


def within(precision: torch.dtype | None, device: torch.device, call: Call) -> Call:
    """The call under autocast."""

    def run() -> None:
        with torch.autocast(device.type, precision, enabled=precision is not None):
            call()

    return run


def tests(bench: Bench) -> None:
    """The tests that need a GPU."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "tests"]
    if bench.device.type != "cuda":
        command[-1:] = ["tests/test_capture.py", "-m", ""]
    begun = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=bench.size.tests)
    lines = done.stdout.strip().splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    bench.add("tests", "pytest -m gpu", lines[-1] if lines else done.stderr[-300:])
    bench.add("tests", "seconds", round(time.monotonic() - begun, 1), "s")
    for line in failed:
        bench.add("tests", "failed", line)
    if done.returncode:
        raise RuntimeError(f"pytest ended with status {done.returncode}")


def steps(bench: Bench) -> None:
    """A training step: plan, network by hand, the same compiled, in float32 and bfloat16."""
    space, device, size = bench.space, bench.device, bench.size
    genes = sampled(space)["median"]
    store = Store(space.graph, 0, device)
    x, labels = bench.pictures(size.batch)
    network = hand.network(space.graph, store, genes).to(device)
    compiled = torch.compile(extract(space.graph, store, genes), backend=size.backend)
    variants = {
        "plan": whole(planned(space, store, genes, x, labels)),
        "new plan": whole(planned(space, store, genes, x, labels, most=0)),
        "by hand": whole(own(network, x, labels)),
        "extracted, torch.compile": whole(own(compiled, x, labels)),
    }
    for precision, name in ((None, "float32"), (torch.bfloat16, "bfloat16")):
        timed = bench.times({n: within(precision, device, call) for n, call in variants.items()})
        bench.compare(f"training step, {name}", timed, "by hand", size.batch, "images/s")


def cells(bench: Bench) -> None:
    """Steps through compiled cells: graphs made, their time, and the time of a step afterwards."""
    space, device, size = bench.space, bench.device, bench.size
    store = Store(space.graph, 0, device)
    plans = Planner(space.graph, store)
    made = Cells(plans, size.backend)
    x, labels = bench.pictures(size.batch)
    torch._dynamo.utils.counters.clear()

    def step(network: Any, genes: Genome) -> None:
        loss = nn.functional.cross_entropy(network(x), labels)
        with store.collecting(plans(genes).parameters(), alone=True):
            loss.backward()

    begun, seen = time.monotonic(), []
    for row in space.decisions.sample(np.random.default_rng(0), size.seen):
        seen.append(tuple(map(int, row)))
        step(made(seen[-1]), seen[-1])
        if time.monotonic() - bench.begun > BUDGET:
            break
    bench.wait()
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    bench.add("compiled cells", "architectures seen", len(set(seen)))
    bench.add("compiled cells", "forms", len(made.forms))
    bench.add("compiled cells", "graphs", graphs)
    bench.add("compiled cells", "forms that torch could not compile", sum(not f.compiled for f in made.forms.values()))
    bench.add("compiled cells", "first pass over all", round(time.monotonic() - begun, 1), "s")
    last = seen[-1]
    found = bench.times({"cells": lambda: step(made(last), last), "plan": lambda: step(plans(last), last)})
    bench.compare("compiled cells, passes", found, "plan", size.batch, "images/s")


def candidates(bench: Bench) -> None:
    """Candidates of a search, with each part of the evaluation."""
    space, size = bench.space, bench.size
    plans = Planner(space.graph, Store(space.graph, 0, bench.device))
    calibration, validation = bench.examples(size.recalibrate, 64, 11), bench.examples(size.validate, 64, 11)
    drawn = space.decisions.sample(np.random.default_rng(1), size.candidates)
    genomes = [tuple(map(int, row)) for row in drawn]
    ways = {
        "one by one": (Options(share=False, fold=False), False),
        "one by one, graphs": (Options(share=False, fold=False), True),
        "union": (Options(fold=False), False),
        "union, graphs": (Options(fold=False), True),
        "union, folded, graphs": (Options(), True),
        "union, folded, bfloat16": (Options(precision=torch.bfloat16), False),
        "union, folded, bfloat16, graphs": (Options(precision=torch.bfloat16), True),
    }
    base = 0.0
    for name, (options, graphs) in ways.items():
        evaluator = Evaluator(plans, calibration, validation, ["miou"], options)
        if not graphs:
            evaluator._records = None
        list(evaluator(genomes[:1]))
        evaluator = Evaluator(plans, calibration, validation, ["miou"], options)
        if not graphs:
            evaluator._records = None
        bench.wait()
        begun = time.perf_counter()
        answers = dict(evaluator(genomes))
        bench.wait()
        seconds = time.perf_counter() - begun
        base = base or seconds
        wrong = [a.error for a in answers.values() if a.error]
        bench.add("candidates", name, round(len(answers) / seconds, 2), "candidates/s")
        bench.add("candidates", f"{name}, time / one by one", round(seconds / base, 3), "x")
        if wrong:
            raise RuntimeError(f"{len(wrong)} candidates failed: {wrong[0]}")


def tree(bench: Bench) -> None:
    """Training steps and candidates of a tree of modules, and of plans, on one space."""
    space = compile_file(modules.SPACE)
    store = Store(space.graph, 0, bench.device)
    plans, made = Planner(space.graph, store), modules.tree(store).to(bench.device)
    x = bench.pictures(bench.size.batch)[0]
    labels = torch.randint(0, 10, (bench.size.batch, 4, 4), device=bench.device)
    genes = sampled(space)["median"]
    readings, rate = Readings(plans), 1e-4
    ours = Optimizer(store, "adamw", {"lr": rate, "weight_decay": 0.01})
    theirs = torch.optim.AdamW(made.parameters(), lr=rate, weight_decay=0.01, fused=True)

    def shared() -> None:
        plan = plans(genes)
        loss = nn.functional.cross_entropy(plan(x), labels)
        with store.collecting(plan.parameters(), alone=True):
            loss.backward()
        ours.step(readings.of((genes,)), rate)

    def walked() -> None:
        made.train()
        made.activate(modules.choices(space, genes))
        theirs.zero_grad()
        nn.functional.cross_entropy(made(x), labels).backward()
        theirs.step()

    times = bench.times({"plan": shared, "tree of modules": walked})
    bench.compare("elastic.arch, training step", times, "tree of modules", bench.size.batch, "images/s")
    searched(bench, space, plans, made)


def searched(bench: Bench, space: Compiled, plans: Planner, made: modules.Tree) -> None:
    size = bench.size
    calibration, validation = bench.examples(size.recalibrate, 4, 10), bench.examples(size.validate, 4, 10)
    genomes = [tuple(map(int, g)) for g in space.decisions.sample(np.random.default_rng(1), size.candidates)]

    def last(x: Tensor) -> Tensor:
        return x.contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def walked() -> None:
        for genes in genomes:
            made.activate(modules.choices(space, genes))
            made.recalibrate(last(x) for x, _ in calibration.chunks(32))
            for x, _ in validation.chunks(50):
                made(last(x)).argmax(1)

    def together() -> None:
        list(Evaluator(plans, calibration, validation, ("miou",))(genomes))

    times: dict[str, list[float]] = {}
    for name, call in {"plans": together, "tree of modules": walked}.items():
        bench.wait()
        begun = time.perf_counter()
        call()
        bench.wait()
        times[name] = [time.perf_counter() - begun]
    bench.compare("elastic.arch, candidates", times, "tree of modules", len(genomes), "candidates/s")


def final(bench: Bench) -> None:
    """A final network ready for use: called, compiled, and compiled with torch's own graphs."""
    space, size = bench.space, bench.size
    network = deployed(space.graph, Store(space.graph, 0, bench.device), sampled(space)["median"])
    x = bench.pictures(1)[0]
    variants: dict[str, Any] = {"calls": network, "torch.compile": torch.compile(network, backend=size.backend)}
    if bench.device.type == "cuda":
        variants["torch.compile, reduce-overhead"] = torch.compile(network, mode="reduce-overhead")
    with torch.inference_mode():
        found = bench.times({name: lambda run=run: run(x) for name, run in variants.items()})
    for name, seconds in found.items():
        bench.add("final network, batch 1", name, f"{1e3 * spread(seconds).median:.3f}", "ms")


def memory(bench: Bench) -> None:
    """The peak of a training step over the store, against the network by itself plus the store."""
    if bench.device.type != "cuda":
        bench.add("memory", "skipped", "only CUDA counts it; see benchmarks/memory.py")
        return
    space = bench.space
    x, labels = bench.pictures(bench.size.batch)
    for name, genes in sampled(space).items():
        store = Store(space.graph, 0, bench.device)
        held = 4 * store.flat.nbytes
        network = hand.network(space.graph, store, genes).to(bench.device)
        alone = peak(whole(own(network, x, labels))) + 4 * sum(p.nbytes for p in network.parameters())
        shared = peak(whole(planned(space, store, genes, x, labels))) + held
        bench.add("memory", f"{name}: network / MB", round(alone / 1e6, 1))
        bench.add("memory", f"{name}: over the store / MB", round(shared / 1e6, 1))
        bench.add("memory", f"{name}: over the store / (network + store)", round(shared / (alone + held), 3), "x")


def peak(step: Call) -> int:
    """The most bytes of the third of three steps beyond what was there before it."""
    for _ in range(2):
        step()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


PARTS = (memory, steps, candidates, tree, tests, cells, final)
"""The most wanted first: what does not fit into the time is left out at the end."""


def markdown(bench: Bench, title: str) -> str:
    rows = ["| part | what | value | unit |", "|---|---|---|---|"]
    rows += [f"| {r['part']} | {r['what']} | {r['value']} | {r['unit']} |" for r in bench.rows]
    return f"# {title}\n\n" + "\n".join(rows) + "\n"


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "build/gpu")), help="default: $OUT")
    parser.add_argument("--quick", action="store_true", help="small: to see that everything runs")
    parser.add_argument("--only", nargs="*", choices=[p.__name__ for p in PARTS], help="these parts alone")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    args = parsed(arguments)
    device = torch.device(args.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no CUDA device here; `--device cpu --quick` checks that everything runs")
    bench = Bench(device, QUICK if args.quick else Size())
    failed = 0
    for part in PARTS:
        if args.only and part.__name__ not in args.only:
            continue
        if time.monotonic() - bench.begun > BUDGET:
            bench.add(part.__name__, "left out", "no time was left")
            continue
        try:
            part(bench)
        except Exception as fault:
            failed += 1
            bench.add(
                part.__name__, "FAILED", f"{type(fault).__name__}: {str(fault).splitlines()[0] if str(fault) else ''}"
            )
    bench.add("all", "seconds", round(time.monotonic() - bench.begun, 1), "s")
    title = f"{describe(device)}, torch {torch.__version__}{', quick: figures mean nothing' if args.quick else ''}"
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "gpu.md").write_text(markdown(bench, title))
    (args.out / "gpu.json").write_text(json.dumps({"title": title, "rows": bench.rows}, indent=2) + "\n")
    print(markdown(bench, title))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
