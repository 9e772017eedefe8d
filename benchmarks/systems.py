"""The four systems: check and compile of each file, a training step of the HR-NAS supernet, a forward pass of HRViT-b1.

Times of the networks are in products of two 1024 x 1024 float32 matrices, measured in turn with them: the least of all
rounds. The figures of the released code were taken in the same way.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

import torch
from timing import ROOT, Report, Target

from hrdsl.compiler.api import compile_file, read_settings
from hrdsl.compiler.module import extract
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.store import Store
from hrdsl.runtime import native

ROUNDS = 30
RUNS = 5
CHECK = """
import sys, time
from importlib import import_module
for name in sys.argv[2:]:
    import_module(name)
from hrdsl.cli.main import main
begun = time.process_time()
status = main(["check", sys.argv[1]])
taken = time.process_time() - begun
print(taken, *(name for name in sys.modules if name.startswith("hrdsl.")))
sys.exit(status)
"""
"""A process that imports the modules it is given, checks a file and prints how long that took and what it imported."""
FILES = ("hrvit/space", "hrnas/cityscapes", "hyctas/space", "trionet/space")


def clock(call: Callable[[], object]) -> float:
    begun = time.process_time()
    call()
    return time.process_time() - begun


def products(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    """How many products of matrices a call takes."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    call()
    one = least = float("inf")
    for _ in range(rounds):
        least = min(least, clock(call))
        one = min(one, *(clock(lambda: a @ b) for _ in range(3)))
    return least / one


def step() -> dict[str, float]:
    """Forward and backward of the largest architecture of HR-NAS, segmentation, 2 x 3 x 128 x 256; the process's memory."""
    native.settle()
    space = compile_file(ROOT / "examples/hrnas/cityscapes.arch", settings=read_settings(["height=128", "columns=256"]))
    store = Store(space.graph)
    plan = Planner(space.graph, store)(space.decisions.largest())
    x = torch.randn(2, 3, 128, 256)

    def run() -> None:
        y = plan(x, "batch")
        with store.collecting(plan.parameters(), alone=True):
            y.backward(torch.full_like(y, 1e-3))

    found = products(run, ROUNDS // 2)
    return {"products": found, "gigabytes": getrusage(RUSAGE_SELF).ru_maxrss / 1e6}


def forward() -> dict[str, float]:
    """HRViT-b1 at 224 x 224, one image, evaluation."""
    space = compile_file(ROOT / "examples/hrvit/b1_imagenet.arch")
    network = extract(space.graph, None, space.decisions.largest()).eval()
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        return {"products": products(lambda: network(x), 2 * ROUNDS)}


def check(path: Path) -> tuple[float, float]:
    """CPU seconds of `hrdsl check`, imports done, and of the whole process; each the least of some runs."""
    found = list[tuple[float, float]]()
    modules: list[str] = []
    for _ in range(1 + RUNS):
        before = getrusage(RUSAGE_CHILDREN)
        command = [sys.executable, "-c", CHECK, str(path), *modules]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT / ".path")}
        )
        after = getrusage(RUSAGE_CHILDREN)
        seconds, *modules = done.stdout.splitlines()[-1].split()
        found.append((float(seconds), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    after_imports, whole = zip(*found[1:], strict=True)
    return min(after_imports), min(whole)


def compiled(path: Path) -> float:
    """CPU seconds from text to graph, tables of costs and decisions, imports done; the least of some runs."""

    def run() -> None:
        space = compile_file(path)
        _ = space.costs, space.decisions

    return min(clock(run) for _ in range(RUNS))


def alone(what: str) -> dict[str, float]:
    """A measurement in a process of its own: memory is counted per process."""
    done = subprocess.run([sys.executable, __file__, what], check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    torch.set_num_threads(1)
    if sys.argv[1:] in (["step"], ["forward"]):
        print(json.dumps(step() if sys.argv[1] == "step" else forward()))
        return
    report = Report("The four systems, one thread, CPU time", ["what", "figure"])
    for name in FILES:
        path = ROOT / "examples" / f"{name}.arch"
        (checks, whole), makes = check(path), compiled(path)
        report.add(f"hrdsl check, {name}", f"{checks:.3f} s")
        report.add(f"hrdsl check, {name}, as a process", f"{whole:.3f} s")
        report.add(f"compile, {name}", f"{makes:.3f} s")
        report.targets.append(Target(f"hrdsl check after imports, {name}", 0.5, checks, "s"))
        report.targets.append(Target(f"compile after imports, {name}", 2.0, makes, "s"))
    trained, evaluated = alone("step"), alone("forward")
    report.targets += [
        Target("HR-NAS, forward and backward, 2x3x128x256", 75, trained["products"], "products"),
        Target("HR-NAS, memory of the process", 1.0, trained["gigabytes"], "GB"),
        Target("HRViT-b1, forward, 224, one image", 6.5, evaluated["products"], "products"),
    ]
    report.print()


if __name__ == "__main__":
    main()
