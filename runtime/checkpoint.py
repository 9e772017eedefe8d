"""Training state on disk: whole or not there, and never trusted without its digest."""

import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch

from .faults import RunError
from .files import write

SAVE_EVERY = 30.0
"""Seconds between checkpoints."""


class Kept(Protocol):
    """A training that can be kept."""

    @property
    def updating(self) -> bool:
        """Whether it is in the midst of an update, so that its state is half of one."""

    def position(self) -> object:
        """How far it is: something that changes with its state."""

    def state(self) -> dict[str, Any]:
        """What goes on from here."""


class CheckpointError(RunError):
    """A checkpoint that cannot be used; the message says which and why."""


def save(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values, with their digest in front."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    body = buffer.getvalue()
    write(path, _head(body) + b"\n" + body)


@contextmanager
def keeping(training: Kept, path: Path | None) -> Iterator[Callable[[], None]]:
    """Within it, each call of what it gives saves the training if the last checkpoint is old. At the end, however it comes, what is
    new is saved, unless half of an update was made: then the last checkpoint stands. Without a path nothing is saved."""
    saved, position = time.monotonic(), training.position()

    def tick() -> None:
        nonlocal saved, position
        if path is not None and time.monotonic() - saved > SAVE_EVERY:
            save(path, training.state())
            saved, position = time.monotonic(), training.position()

    try:
        yield tick
    finally:
        if path is not None and training.position() != position and not training.updating:
            save(path, training.state())


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint. Raises CheckpointError if it is damaged; nothing in it is executed."""
    head, _, body = path.read_bytes().partition(b"\n")
    if head != _head(body):
        raise CheckpointError(f"{path} is damaged or no checkpoint of hrdsl; delete it to train again")
    state: dict[str, Any] = torch.load(io.BytesIO(body), map_location=device, weights_only=True)
    return state


def _head(body: bytes) -> bytes:
    """The first line: format, digest and length of what follows."""
    return json.dumps({"hrdsl": 1, "sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}).encode()
