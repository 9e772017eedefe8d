"""A `search` block with `strategy = prune(...)` as a pruning."""

from pathlib import Path

import torch

from ...compiler.api import Compiled
from ...dsl.model import TIMES, Run
from ..faults import RunError
from ..latency.goal import tabled, timed
from ..latency.table import Heard
from ..searching import runs_of
from .pruning import Job, with_decisions


def prunes(run: Run | None) -> bool:
    """Whether a search prunes."""
    return run is not None and run.settings["strategy"].name == "prune"


def job_of(
    compiled: Compiled,
    folder: Path,
    device: torch.device,
    seed: int | None = None,
    names: tuple[str | None, str | None] = (None, None),
    cache: Path | None = None,
    heard: Heard | None = None,
) -> Job:
    """What a `train` and a `search` block ask for. `seed`: of the search, which is added to that of the training.

    Raises ArchError if a block lacks, RunError.
    """
    train, run = runs_of(compiled, *names)
    if run.settings["strategy"].options["cost"] in TIMES and not tabled(run):
        raise RunError("what is measured on the device cannot be counted by units: write `latency = table`")
    space = timed(with_decisions(compiled), run, folder, device, cache, heard)
    settings = run.settings
    seed = train.settings["seed"] + (settings["seed"] if seed is None else seed)
    return Job(
        space.restricted(run.name),
        {**train.settings, "seed": seed},
        settings["strategy"],
        f"`search {run.name}`",
        run.span,
        settings["recalibrate"],
        settings["validate"],
        fixed=None if compiled.graph.decisions else compiled,
    )
