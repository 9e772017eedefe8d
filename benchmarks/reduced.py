"""The HyCTAS-like setting of `correlate.py` and `front.py`: examples/hyctas/space.arch at 64 x 64, narrow, its supernet trained once.

Four layers, the least in which all three routes fit without a shared halving; a batch and widths that a core trains in minutes.
"""

import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from hrdsl.compiler.api import compile_file
from hrdsl.dsl.settings import Chosen
from hrdsl.runtime.search.problem import Progress
from hrdsl.runtime.searching import Listener, runs_of
from hrdsl.runtime.steps import Step
from hrdsl.runtime.trust.correlation import Standing
from hrdsl.runtime.trust.setting import Setting

EXAMPLE = Path(__file__).parent.parent / "examples" / "hyctas" / "space.arch"
SPACE = {"classes": 11, "height": 64, "columns": 64, "layers": 4, "filters": 4, "ratio": Fraction(1, 2)}
ADAMW = Chosen("adamw", {"lr": Fraction(1, 100), "weight_decay": Fraction(1, 100)})
SUPERNET = {"optimizer": ADAMW, "sample": Chosen("single", {}), "steps": 8000, "batch": 8}


class Say:
    """Progress on stderr, every ten seconds."""

    def __init__(self) -> None:
        self.last = 0.0

    def line(self, words: str) -> None:
        if time.monotonic() - self.last > 10:
            self.last = time.monotonic()
            print(words, file=sys.stderr, flush=True)

    def training(self, step: Step) -> None:
        self.line(f"supernet {step.step}/{step.steps} loss {step.loss:.3f}")

    def network(self, at: Standing) -> None:
        step = f"{at.step.step}/{at.step.steps} loss {at.step.loss:.3f}"
        self.line(f"network {at.network}/{at.networks} {step}, {at.left / 60:.0f} min left")

    def search(self, name: str, seed: int, state: Progress) -> None:
        self.line(f"{name}, seed {seed}: {state.evaluated}/{state.total} evaluated")


def reduced(folder: Path, search: Mapping[str, Any], seed: int, device: torch.device, say: Say) -> Setting:
    """The trained supernet in `folder`, and how candidates are measured: `search` replaces settings of the block `front`."""
    compiled = compile_file(EXAMPLE, None, SPACE)
    train, run = runs_of(compiled)
    train = replace(train, settings={**train.settings, **SUPERNET, "seed": seed})
    run = replace(run, settings={**run.settings, **search})
    return Setting.of(compiled, train, run, folder, device, Listener(training=say.training))
