"""Networks trained from scratch, each by itself and each kept: architecture and recipe in, weights and accuracy out."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...compiler.api import Compiled
from ...compiler.module import extract
from ..evaluate import recalibrate
from ..faults import RunError
from ..files import write
from ..results import save_weights
from ..search.guard import guarded
from ..search.problem import Measure
from ..steps import Progress
from ..task import Examples
from ..train import SupernetTrainer

Genome = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Alone:
    """A network that was trained by itself. `accuracy` is what the search measures first, or `error` says why there is none.

    `seconds` is the time of training and measuring.
    """

    genome: Genome
    accuracy: float | None
    error: str | None
    seconds: float


class Single(SupernetTrainer):
    """The training of a supernet, of which every step trains the same architecture."""

    def __init__(self, compiled: Compiled, settings: Mapping[str, Any], data: Examples, genome: Genome) -> None:
        super().__init__(compiled, settings, data, data.device)
        self.genome = genome
        self.architectures = lambda step: [genome]  # type: ignore[assignment]


class Trainer:
    """Trains architectures of a space by one recipe, and remembers each in `folder` under what it depends on.

    A network is trained and measured by the code that trains and measures the supernet: the one difference is that its
    weights are its own. All of them begin from the values that the seed gives to their names and see the same batches, so
    that they differ in their architecture alone. An interrupted training goes on from its last checkpoint.
    """

    def __init__(
        self,
        compiled: Compiled,
        settings: Mapping[str, Any],
        data: Examples,
        measuring: Callable[[SupernetTrainer], Measure],
        calibration: Examples,
        folder: Path,
        identity: str,
    ) -> None:
        """`measuring`: how what a trainer trained is measured; `calibration`: the images that renew the statistics of weights
        that are kept; `identity`: of the space and of how it is measured."""
        self.compiled = compiled
        self.settings = settings
        self.data = data
        self.measuring = measuring
        self.calibration = calibration
        self.folder = folder
        self.identity = identity

    def find(self, genome: Genome) -> Alone | None:
        """What is known of an architecture. A file that is no record counts as none."""
        try:
            stored = json.loads(self._path(genome).read_text())
            found = Alone(**{**stored, "genome": tuple(stored["genome"])})
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if found.genome == genome else None

    def __call__(self, genome: Genome, progress: Progress | None = None) -> Alone:
        """Train, measure and keep one; the answer that is known if there is one.

        A training that diverges is kept as such; one whose network could only not be measured is not, but its checkpoint.
        """
        known = self.find(genome)
        if known is not None:
            return known
        path = self._path(genome)
        path.parent.mkdir(parents=True, exist_ok=True)
        begun, halfway = time.monotonic(), path.with_suffix(".ckpt")
        single = Single(self.compiled, self.settings, self.data, genome)
        try:
            single.run(halfway, progress)
        except RunError as fault:
            done = Alone(genome, None, str(fault), time.monotonic() - begun)
        else:
            done = self._measured(single, begun)
            if done.error is not None:
                return done
            self._keep(single, path.with_suffix(".safetensors"))
        write(path, json.dumps(asdict(done)) + "\n")
        halfway.unlink(missing_ok=True)
        return done

    def _measured(self, single: Single, begun: float) -> Alone:
        answer = dict(guarded(self.measuring(single))([single.genome]))[single.genome]
        value = answer.values[0] if answer.error is None else math.nan
        error = answer.error or (None if math.isfinite(value) else f"its accuracy is {value}")
        return Alone(single.genome, None if error else value, error, time.monotonic() - begun)

    def _keep(self, single: Single, path: Path) -> None:
        plan = single.planner(single.genome)
        recalibrate(plan, self.calibration)
        network = extract(self.compiled.graph, single.store, single.genome, plan.statistics)
        save_weights(path, network.state_dict(), {"space": self.compiled.space.name})

    def _path(self, genome: Genome) -> Path:
        plain = json.dumps([self.identity, genome, {k: str(v) for k, v in self.settings.items()}])
        return self.folder / f"{hashlib.sha256(plain.encode()).hexdigest()[:16]}.json"
