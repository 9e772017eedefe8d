"""A network for use elsewhere: safetensors, plain Python source, ONNX, torch.export."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import fx

from ..compiler.source import python_source
from .files import write, write_by
from .results import save_weights

FORMATS = {"safetensors": ".safetensors", "python": ".py", "onnx": ".onnx", "pt2": ".pt2"}


def export(network: fx.GraphModule, size: tuple[int, int, int], name: str, target: str, path: Path) -> dict[str, Any]:
    """Write one format; what was checked comes back. Raises ValueError where a package is missing."""
    network = network.cpu().eval()
    if target == "safetensors":
        save_weights(path, network.state_dict(), {"name": name})
        return {}
    if target == "python":
        write(path, python_source(network, name))
        return {"largest_difference": _python_difference(path, network, size)}
    if target == "pt2":
        program = torch.export.export(network, (torch.randn(1, *size),))
        write_by(path, lambda aside: torch.export.save(program, aside))
        return {}
    return {"largest_difference": _onnx(network, size, path)}


def _python_difference(path: Path, network: fx.GraphModule, size: tuple[int, int, int]) -> float:
    """The written source runs with the same weights: the largest difference of its output."""
    scope: dict[str, Any] = {"__name__": path.stem}
    exec(compile(path.read_text(), str(path), "exec"), scope)
    again = scope["Network"]().eval()
    again.load_state_dict(network.state_dict())
    with torch.no_grad():
        return _difference(again(x := _input(size)), network(x))


def _onnx(network: fx.GraphModule, size: tuple[int, int, int], path: Path) -> float:
    """ONNX by torch's exporter, checked with onnxruntime."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError:
        raise ValueError("ONNX needs onnx, onnxscript and onnxruntime: install `hrdsl[onnx]`") from None
    x = _input(size)
    with torch.no_grad():
        expected = network(x)
    with quiet():
        names = list(_tensors(expected))
        program = torch.onnx.export(network, (x,), dynamo=True, verbose=False, input_names=["x"], output_names=names)
    assert program is not None
    write_by(path, lambda aside: program.save(str(aside)))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    out = [torch.from_numpy(o) for o in session.run(None, {session.get_inputs()[0].name: x.numpy()})]
    return _difference(dict(zip(names, out, strict=True)), _tensors(expected))


@contextmanager
def quiet() -> Iterator[None]:
    """Without what torch's exporter says of packages that are not needed here."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logger.setLevel(level)


def _input(size: tuple[int, int, int]) -> torch.Tensor:
    return torch.randn(1, *size, generator=torch.Generator().manual_seed(0))


def _difference(a: Any, b: Any) -> float:
    """Of two results: tensors, or the same dictionaries and lists of tensors."""
    pairs = zip(_tensors(a).values(), _tensors(b).values(), strict=True)
    return max(float((one - other).abs().max().detach()) for one, other in pairs)


def _tensors(result: Any) -> dict[str, torch.Tensor]:
    """The tensors of a result by name; those of a list are numbered from 1."""
    if not isinstance(result, dict):
        return {"output": result}
    listed = {name: part if isinstance(part, list) else [part] for name, part in result.items()}
    return {
        name if len(parts) == 1 else f"{name}_{k}": part
        for name, parts in listed.items()
        for k, part in enumerate(parts, start=1)
    }
