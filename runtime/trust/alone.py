"""Networks trained from scratch, each by itself and each kept: architecture and recipe in, weights and accuracy out."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...compiler.api import Compiled
from ...compiler.module import extract
from ..evaluate import network_miou
from ..faults import RunError
from ..files import write
from ..results import save_weights
from ..task import Examples
from ..train import Progress, train_network

Genome = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Alone:
    """A network that was trained by itself. `accuracy` is its metric on the validation images, or `error` says why it has none.

    `seconds` is the time of training and measuring.
    """

    genome: Genome
    accuracy: float | None
    error: str | None
    seconds: float


class Trainer:
    """Trains architectures of a space by one recipe, and remembers each in `folder` under what it depends on.

    All of them begin from the weights that the seed gives to their names and see the same batches, so that they differ
    in their architecture alone.
    """

    def __init__(
        self,
        compiled: Compiled,
        settings: Mapping[str, Any],
        data: Examples,
        validation: Examples,
        folder: Path,
        identity: str,
    ) -> None:
        self.compiled = compiled
        self.settings = settings
        self.data = data
        self.validation = validation
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
        """Train, measure and keep one; the answer that is known if there is one. A training that diverges is kept as such."""
        known = self.find(genome)
        if known is not None:
            return known
        begun = time.monotonic()
        network = extract(self.compiled.graph, None, genome, seed=self.settings["seed"])
        accuracy, error = None, None
        try:
            train_network(network, self.settings, self.data, self.data.images.device, progress)
            accuracy = network_miou(network, self.validation)
        except RunError as fault:
            error = str(fault)
        done = Alone(genome, accuracy, error, time.monotonic() - begun)
        path = self._path(genome)
        if error is None:
            save_weights(path.with_suffix(".safetensors"), network.state_dict(), {"space": self.compiled.space.name})
        write(path, json.dumps(asdict(done)) + "\n")
        return done

    def _path(self, genome: Genome) -> Path:
        plain = json.dumps([self.identity, genome, {k: str(v) for k, v in self.settings.items()}, len(self.validation)])
        return self.folder / f"{hashlib.sha256(plain.encode()).hexdigest()[:16]}.json"
