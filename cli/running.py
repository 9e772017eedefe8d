"""What the commands that compute share: the device, threads, the data cache."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from .common import UsageError, whole

if TYPE_CHECKING:
    import torch

    from ..runtime.workers.pool import Crew


def add_running(parser: ArgumentParser) -> None:
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 (default: CUDA when present)")
    parser.add_argument("--threads", metavar="N", type=whole(), help="CPU threads (default: all cores)")
    parser.add_argument(
        "--cache", metavar="DIR", type=Path, help="where drawn data is kept (default: the user's cache)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")


def add_workers(parser: ArgumentParser) -> None:
    """Where candidates are measured, and what one may take."""
    parser.add_argument(
        "--workers", metavar="N", type=whole(), help="measure candidates in N processes (default: in this one)"
    )
    parser.add_argument(
        "--time-limit",
        metavar="SECONDS",
        type=_seconds,
        help="what a candidate of a worker may take (default: 20 times the slowest before it, at least a minute)",
    )
    parser.add_argument(
        "--memory-limit",
        metavar="SIZE",
        type=_bytes,
        help="what a worker may hold in main memory: 4Gi, 800M (default: all there is)",
    )


def crew(args: Namespace) -> "Crew | None":
    """The worker processes asked for."""
    if args.workers is None:
        for name in ("time_limit", "memory_limit"):
            if getattr(args, name) is not None:
                raise UsageError(f"--{name.replace('_', '-')} is for candidates of workers: add `--workers 1`, or more")
        return None
    from ..runtime.workers.pool import Crew, Limits

    return Crew(args.workers, Limits(args.time_limit, args.memory_limit))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise ArgumentTypeError(f"a positive number of seconds is needed, not `{text}`")
    return seconds


def _bytes(text: str) -> int:
    from ..dsl.diagnostic import ArchError, Source, Span
    from ..dsl.numbers import read_number

    try:
        size, unit = read_number(text, Span(Source("--memory-limit", text), 0, len(text)))
    except ArchError:
        size, unit = Fraction(0), ""
    if unit == "ms" or not 1 <= size < 1 << 60:
        raise ArgumentTypeError(f"a size in bytes is needed, such as `4Gi` or `800M`, not `{text}`")
    return int(size)


@contextmanager
def one_line() -> Iterator[None]:
    """What stops a run, as one line and exit status 2."""
    from ..runtime.faults import RunError
    from ..runtime.search.study import StudyError

    try:
        yield
    except (RunError, StudyError) as fault:
        raise UsageError(str(fault)) from None


def device(args: Namespace) -> "torch.device":
    """The device asked for; threads are set, and what the libraries below torch keep."""
    import torch

    from ..runtime import native
    from ..runtime.device import pick

    native.settle()
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        return pick(args.device)
    except ValueError as fault:
        raise UsageError(str(fault)) from None
