"""Released checkpoints: tensors by name. Nothing in a file is executed."""

import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor

NESTED = ("state_dict", "model_state_dict", "model", "model_ema", "ema", "network", "net", "weights", "params")
"""Where a checkpoint keeps the state of its model, first choice first."""
PARALLEL = "module."
"""What data-parallel training puts in front of each name."""


class CheckpointFault(ValueError):
    """A checkpoint that cannot be read, with the reason."""


def read(path: Path, key: str | None = None) -> dict[str, Tensor]:
    """The tensors of a .pt, .pth, .safetensors or .npz file. `key`: the dictionary of the checkpoint that is wanted.
    Raises CheckpointFault, OSError."""
    match path.suffix:
        case ".safetensors":
            content = _safetensors(path)
        case ".npz":
            content = _arrays(path)
        case _:
            content = _pickled(path)
    state = _state(content, key)
    if state is None:
        raise CheckpointFault(f"{path}: no tensors by name{f' under `{key}`' if key else ''}{_keys(content)}")
    return _alone(state)


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        state = load_safetensors(path.read_bytes())
    except SafetensorError as fault:
        raise CheckpointFault(f"{path} is no safetensors file: {fault}") from None
    return {name: state[name] for name in sorted(state, key=_counted)}


def _counted(name: str) -> list[tuple[int, str]]:
    """A key that puts `a.2` before `a.10`: a safetensors file keeps no order."""
    return [(int(part or 0) if k % 2 else 0, part) for k, part in enumerate(re.split(r"(\d+)", name))]


def _arrays(path: Path) -> dict[str, Tensor]:
    import numpy

    try:
        with numpy.load(path, allow_pickle=False) as arrays:
            return {k: torch.from_numpy(arrays[k]) for k in arrays.files if arrays[k].dtype.kind in "fiub"}
    except (ValueError, EOFError, AttributeError) as fault:
        raise CheckpointFault(f"{path} is no .npz file of plain arrays: {fault}") from None


def _pickled(path: Path) -> Any:
    with path.open("rb") as file:
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as fault:  # whatever stands there: torch's reader of a text fails with a KeyError
            words = str(fault).split("\n")[0][:160]
            raise CheckpointFault(f"{path} holds more than tensors, or is no checkpoint of torch: {words}") from None


def _state(content: Any, key: str | None) -> dict[str, Tensor] | None:
    """The dictionary of tensors within what a file holds."""
    if not isinstance(content, dict):
        return None
    if key is not None:
        return _state(content.get(key), None)
    tensors = {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if tensors:
        return tensors
    return next((s for k in NESTED if (s := _state(content.get(k), None)) is not None), None)


def _alone(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same without the prefix of parallel training."""
    parallel = all(name.startswith(PARALLEL) for name in state)
    return {name.removeprefix(PARALLEL) if parallel else name: value for name, value in state.items()}


def _keys(content: Any) -> str:
    return f"; it holds {', '.join(map(str, content))[:200]}" if isinstance(content, dict) and content else ""
