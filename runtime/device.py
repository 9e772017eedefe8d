"""Where to compute: chosen when the program runs."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def pick(name: str | None = None) -> torch.device:
    """The device of that name, or CUDA when present, else the CPU. Raises ValueError with what there is."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).item()
    except (RuntimeError, AssertionError) as fault:
        known = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        raise ValueError(f"no device `{name}` here; there is {', '.join(known)}") from fault
    return device


def autocast(device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 where it is faster and safe: on CUDA; nothing elsewhere."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


def describe(device: torch.device) -> str:
    """The device in words, for reports."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} thread{'s' if torch.get_num_threads() != 1 else ''}"
