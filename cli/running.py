"""What the commands that compute share: the device, threads, the data cache."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .common import UsageError, whole

if TYPE_CHECKING:
    import torch


def add_running(parser: ArgumentParser) -> None:
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 (default: CUDA when present)")
    parser.add_argument("--threads", metavar="N", type=whole(), help="CPU threads (default: all cores)")
    parser.add_argument(
        "--cache", metavar="DIR", type=Path, help="where drawn data is kept (default: the user's cache)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")


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
    """The device asked for; threads are set."""
    import torch

    from ..runtime.device import pick

    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        return pick(args.device)
    except ValueError as fault:
        raise UsageError(str(fault)) from None
