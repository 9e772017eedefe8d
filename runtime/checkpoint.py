"""Training state on disk: whole or not there, and never trusted without its digest."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import torch

from .faults import RunError
from .files import write


class CheckpointError(RunError):
    """A checkpoint that cannot be used; the message says which and why."""


def save(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values, with their digest in front."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    body = buffer.getvalue()
    write(path, _head(body) + b"\n" + body)


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
