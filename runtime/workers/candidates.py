"""What workers of a search measure: file, supernet and data are loaded as the coordinator did, and its own measure is made."""

from pathlib import Path

import torch

from ...compiler.api import Compiled, compile_file, read_settings
from ...compiler.found import value_text
from ...compiler.kinds import label_of
from ...dsl.model import Run
from ..faults import RunError
from ..search.problem import Measure
from ..searching import Listener, measure_of, runs_of, supernet
from ..searching import digest as digest_of
from .protocol import Message

MEASURE = f"{__name__}:candidates"


def arguments(
    compiled: Compiled, runs: tuple[Run, Run], folder: Path, device: torch.device, cache: Path | None
) -> Message:
    """What `candidates` takes, as plain data."""
    module = compiled.model.module
    return {
        "file": str(Path(module.source.name).absolute()),
        "digest": digest_of(module),
        "space": compiled.space.name,
        "settings": [f"{name} = {value_text(value, label_of(value))}" for name, value in compiled.settings.items()],
        "names": [run.name for run in runs],
        "folder": str(folder.absolute()),
        "device": str(device),
        "cache": str(cache.absolute()) if cache else None,
    }


def candidates(
    file: str,
    digest: str,
    space: str,
    settings: list[str],
    names: list[str],
    folder: str,
    device: str,
    cache: str | None,
) -> Measure:
    """The measure of a search whose supernet is trained. Raises RunError if the file is no longer what it was."""
    compiled = compile_file(file, space, read_settings(settings))
    if digest_of(compiled.model.module) != digest:
        raise RunError(
            f"{file}, or a file that it uses, was changed while the search runs; the study belongs to what it was"
        )
    train, run = runs_of(compiled, names[0], names[1])
    kept = Path(cache) if cache else None
    trainer = supernet(compiled, train, torch.device(device), Path(folder), Listener(), kept)
    return measure_of(trainer, run, kept)
