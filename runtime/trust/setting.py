"""What every question about trust needs: one space, its trained supernet, how candidates are measured, in one folder."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...compiler.api import Compiled
from ...dsl.model import Run
from ..objectives import problem_of
from ..search import nsga2
from ..search import random as random_search
from ..search.problem import Measure
from ..search.problem import Progress as Generation
from ..searching import Listener, digest, measure_of, supernet
from ..strategy import config_of
from ..task import Examples, examples
from ..train import SupernetTrainer
from . import comparison, correlation
from .alone import Trainer
from .sampling import chosen

OF_SUPERNETS = ("sample", "widen")
"""Settings of a `train` block that a network which is trained by itself does not read."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One space under one `train` and one `search` block, its supernet trained."""

    compiled: Compiled
    train: Run
    search: Run
    folder: Path
    trainer: SupernetTrainer
    measure: Measure
    validation: Examples

    @classmethod
    def of(
        cls,
        compiled: Compiled,
        train: Run,
        search: Run,
        folder: Path,
        device: torch.device,
        listen: Listener,
        cache: Path | None = None,
    ) -> "Setting":
        """Train the supernet, or take the one that `folder` keeps. Raises ArchError, RunError."""
        restricted = compiled.restricted(search.name)
        restricted.decisions.check()
        trainer = supernet(compiled, train, device, folder, listen, cache)
        size, count = compiled.graph.input.extent[0], search.settings["validate"]
        validation = examples(train.settings["data"], "val", count, size, device, cache)
        measure = measure_of(trainer, search, cache)
        return cls(restricted, train, search, folder, trainer, measure, validation)

    def recipe(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """How networks are trained and measured, for the report."""
        settings = {**self.train.settings, **given}
        return {
            "seed": settings["seed"],
            "steps": settings["steps"],
            "batch": settings["batch"],
            "supernet_steps": self.train.settings["steps"],
            "validate": len(self.validation),
            "recalibrate": self.search.settings["recalibrate"],
        }

    def correlate(
        self, networks: int, sample: str, given: Mapping[str, Any], heard: correlation.Heard | None = None
    ) -> correlation.Correlation:
        """Train a sample of networks from scratch, by the `train` block with `given` in its place, and compare."""
        settings = {**self.train.settings, **given}
        genomes = chosen(self.compiled, networks, settings["seed"], sample)
        own = {name: value for name, value in settings.items() if name not in OF_SUPERNETS}
        folder = self.folder / "correlation" / "networks"
        alone = Trainer(self.compiled, own, self.trainer.data, self.validation, folder, self._identity())
        return correlation.correlate(self.compiled, self.measure, genomes, alone, heard)

    def compare(
        self,
        seeds: Iterable[int],
        times: int,
        heard: Callable[[str, int, Generation], None] | None = None,
    ) -> comparison.Comparison:
        """The strategy of the `search` block against random search with `times` as many evaluations."""
        configs = {seed: config_of(self.search, self.compiled, seed) for seed in seeds}
        name = self.search.settings["strategy"].name
        engine = random_search.run if name == "random" else nsga2.run
        identity = self._identity(self.trainer.identity, self.search.settings["recalibrate"], len(self.validation))
        problem = problem_of(self.compiled, self.search, self.measure, None)
        return comparison.compare(problem, name, engine, configs, times, self.folder / "comparison", identity, heard)

    def _identity(self, *more: object) -> str:
        """Of the texts, the space and its parameters, and of what else an answer depends on."""
        compiled = self.compiled
        values = {name: str(value) for name, value in compiled.settings.items()}
        plain = json.dumps([digest(compiled.model.module), compiled.space.name, values, *map(str, more)])
        return hashlib.sha256(plain.encode()).hexdigest()
