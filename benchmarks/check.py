"""`hrdsl check` from process start, on a file of 150 lines: CPU time of the process and wall time."""

import os
import subprocess
import sys
import time
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from tempfile import TemporaryDirectory

from spaces import file
from timing import ROOT, Report, Target, ratio, spread

RUNS = 11
Seconds = tuple[float, float]


def run(command: list[str], environment: dict[str, str]) -> Seconds:
    """CPU and wall seconds of a process."""
    before, begun = getrusage(RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    after, ended = getrusage(RUSAGE_CHILDREN), time.perf_counter()
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, ended - begun


def main() -> None:
    with TemporaryDirectory() as folder:
        # Byte code as an installed package has it, whatever this environment says.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"PYTHONPATH": str(ROOT / ".path"), "PYTHONPYCACHEPREFIX": f"{folder}/code"}
        plain, limited = Path(folder, "plain.arch"), Path(folder, "limited.arch")
        plain.write_text(file(150, limits=False))
        limited.write_text(file(150))
        check = [sys.executable, "-m", "hrdsl", "check"]
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "hrdsl --version": [sys.executable, "-m", "hrdsl", "--version"],
            "check, no constraints": [*check, str(plain)],
            "check, constraints on widths and MACs": [*check, str(limited)],
        }
        found: dict[str, list[Seconds]] = {name: [] for name in commands}
        for k in range(RUNS + 1):
            for name, command in commands.items():
                seconds = run(command, environment)
                if k:  # the first run writes byte code and parser tables
                    found[name].append(seconds)
    report = Report(
        "hrdsl check on 150 lines, from process start", ["command", "CPU s", "wall s", "CPU to python -c pass"]
    )
    base = [cpu for cpu, _ in found["python -c pass"]]
    for name, runs in found.items():
        cpus = [cpu for cpu, _ in runs]
        report.add(name, spread(cpus), spread(wall for _, wall in runs), ratio(cpus, base))
        if name.startswith("check"):
            report.targets.append(Target(f"hrdsl {name}, CPU", 0.25, spread(cpus).median, "s"))
    report.print()


if __name__ == "__main__":
    main()
