"""What every question about trust needs: one space, its trained supernet, in one folder."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ...compiler.api import Compiled
from ...dsl.model import METRICS, Run
from ...dsl.settings import Chosen
from ..faults import RunError
from ..latency.goal import timed
from ..objectives import objectives_of, problem_of
from ..search.guard import guarded
from ..search.problem import Measure
from ..search.problem import Progress as Generation
from ..searching import Listener, calibration_of, digest, measure_of, supernet
from ..strategy import ENGINES, config_of
from ..train import SupernetTrainer
from . import comparison, correlation
from .alone import Trainer
from .sampling import chosen

OF_SUPERNETS = {"sample": Chosen("single", {"priors": True}), "widen": 1}
"""Settings of a `train` block that a network which is trained by itself does not read."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One space under one `train` and one `search` block, its supernet trained."""

    compiled: Compiled
    train: Run
    search: Run
    folder: Path
    trainer: SupernetTrainer
    cache: Path | None

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
        """Train the supernet, or take the one that `folder` keeps. Candidates do not race: each is measured in full.

        Raises ArchError, RunError.
        """
        search = replace(search, settings={**search.settings, "race": Chosen("none", {})})
        restricted = timed(compiled, search, folder, device, cache, listen.latency).restricted(search.name)
        restricted.decisions.check()
        trainer = supernet(compiled, train, device, folder, listen, cache)
        return cls(restricted, train, search, folder, trainer, cache)

    def judging(self, trainer: SupernetTrainer) -> Measure:
        """The first metric of the search alone, as the search measures it, of the architectures of a trainer."""
        goals = [goal for goal in self.search.objectives if goal.name in METRICS]
        run = replace(self.search, objectives=tuple(goals[:1])) if goals else self.search
        return guarded(measure_of(trainer, run, self.cache))

    def recipe(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """How networks are trained and measured, for the report."""
        settings = {**self.train.settings, **given}
        return {
            "seed": settings["seed"],
            "steps": settings["steps"],
            "batch": settings["batch"],
            "supernet_steps": self.train.settings["steps"],
            "validate": self.search.settings["validate"],
            "recalibrate": self.search.settings["recalibrate"],
        }

    def correlate(
        self,
        networks: int,
        sample: str,
        given: Mapping[str, Any],
        heard: correlation.Heard | None = None,
        repeats: int = 1,
    ) -> correlation.Correlation:
        """Train a sample of networks from scratch, by the `train` block with `given` in its place, and compare. `repeats`: how
        often each, the seed one higher each time.

        Raises RunError where the search measures no accuracy, or the space holds too few networks.
        """
        goal = next((o for o in objectives_of(self.search) if o.name in METRICS), None)
        if goal is None:
            raise RunError(f"`search {self.search.name}` has no goal among {', '.join(METRICS)}: nothing to compare")
        seed = given.get("seed", self.train.settings["seed"])
        alone = [self.alone({**given, "seed": seed + k}) for k in range(repeats)]
        genomes = chosen(self.compiled, networks, seed, sample)
        return correlation.correlate(self.compiled, self.judging(self.trainer), goal, genomes, alone, heard)

    def alone(self, given: Mapping[str, Any]) -> Trainer:
        """Trains networks from scratch, by the `train` block with `given` in its place."""
        settings = {**self.train.settings, **given, **OF_SUPERNETS}
        calibration, folder = calibration_of(self.trainer, self.search), self.folder / "correlation" / "networks"
        return Trainer(self.compiled, settings, self.trainer.data, self.judging, calibration, folder, self._identity())

    def compare(
        self,
        seeds: Iterable[int],
        times: int,
        heard: Callable[[str, int, Generation], None] | None = None,
    ) -> comparison.Comparison:
        """The strategy of the `search` block against random search with `times` as many evaluations.

        Raises RunError where there is nothing to compare, StudyError.
        """
        configs = {seed: config_of(self.search, self.compiled, seed) for seed in seeds}
        name, block = self.search.settings["strategy"].name, f"`search {self.search.name}`"
        if name in ("random", "exhaustive"):
            raise RunError(f"{block} has the strategy `{name}`; name another block, which searches, with --search")
        if self.search.split is not None:
            raise RunError(f"{block} is split into several searches; name a block without `split` with --search")
        if any(config.reference is None for config in configs.values()):
            raise RunError(f"{block} minimises what has no worst end, so there is no hypervolume to compare")
        problem = problem_of(self.compiled, self.search, guarded(measure_of(self.trainer, self.search, self.cache)))
        return comparison.compare(
            problem,
            name,
            ENGINES[name],
            configs,
            times,
            self.folder / "comparison",
            self._identity(self.trainer.identity),
            heard,
        )

    def _identity(self, *more: str) -> str:
        """Of the texts, the space and its parameters, how it is measured, and of what else an answer depends on."""
        compiled = self.compiled
        measured = [f"{k} = {v}" for k, v in self.search.settings.items() if k not in ("strategy", "seed")]
        values = {name: str(value) for name, value in compiled.settings.items()}
        plain = json.dumps([digest(compiled.model.module), compiled.space.name, values, measured, *more])
        return hashlib.sha256(plain.encode()).hexdigest()
