"""Where to compute: chosen when the program runs."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from .distributed import local_rank


def pick(name: str | None = None) -> torch.device:
    """The device of that name, or CUDA when present, else the CPU; under `torchrun` each process has a GPU of its own.

    Raises ValueError with what there is.
    """
    own = local_rank()
    if own is not None and name in (None, "cuda") and torch.cuda.is_available():
        name = f"cuda:{own}"
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).item()
    except (RuntimeError, AssertionError) as fault:
        known = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        raise ValueError(f"no device `{name}` here; there is {', '.join(known)}") from fault
    return device


def autocast(device: torch.device, precision: str = "auto") -> AbstractContextManager[Any]:
    """The context that computes in `bfloat16` or `float32`; `auto` is bfloat16 on CUDA, where it is faster and safe."""
    if precision == "bfloat16" or (precision == "auto" and device.type == "cuda"):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


@contextmanager
def one_thread() -> Iterator[None]:
    """The order of sums depends on the number of threads: what must be the same on every machine is computed on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def describe(device: torch.device) -> str:
    """The device in words, for reports."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} thread{'s' if torch.get_num_threads() != 1 else ''}"
