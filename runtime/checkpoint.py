"""Training state on disk: whole or not there, and never trusted without its digest."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import torch

from .files import write


class CheckpointError(Exception):
    """A checkpoint that cannot be used; the message says which and why."""


def save(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values, with their digest in front."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    body = buffer.getvalue()
    head = json.dumps({"hrdsl": 1, "sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)})
    write(path, head.encode() + b"\n" + body)


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint. Raises CheckpointError if it is damaged; nothing in it is executed."""
    head, _, body = path.read_bytes().partition(b"\n")
    try:
        digest = json.loads(head)["sha256"]
    except (ValueError, KeyError, TypeError):
        raise CheckpointError(f"{path} is not a checkpoint of hrdsl; delete it to train again") from None
    if hashlib.sha256(body).hexdigest() != digest:
        raise CheckpointError(f"{path} is damaged; delete it to train again")
    state: dict[str, Any] = torch.load(io.BytesIO(body), map_location=device, weights_only=True)
    return state
