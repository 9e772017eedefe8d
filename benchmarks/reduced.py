"""The HyCTAS-like setting of `correlate.py` and `front.py`: examples/hyctas/space.arch at 64 x 64, narrow, its supernet trained once.

Four layers are the least in which three routes halve at different places; widths and batch are those that a core trains in
minutes. The file with these `train` and `search` blocks is written into the folder of the study.
"""

import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import torch
from timing import ROOT

from hrdsl.compiler.api import compile_file
from hrdsl.runtime.files import write
from hrdsl.runtime.search.problem import Progress
from hrdsl.runtime.searching import Listener, runs_of
from hrdsl.runtime.steps import Step
from hrdsl.runtime.trust.correlation import Standing
from hrdsl.runtime.trust.setting import Setting

EXAMPLE = ROOT / "examples" / "hyctas" / "space.arch"
SPACE = {"classes": 11, "height": 64, "columns": 64, "layers": 4, "filters": 4, "ratio": Fraction(1, 2)}
ONE_HEAD = 3000
"""Steps of a supernet with one head."""
BLOCKS = """
train reduced for hyctas_space {
  sample = single
  optimizer = adamw(lr = 1e-2, weight_decay = 1e-2)
  steps = 10000
  batch = 8
}

search reduced for hyctas_space {
  maximize miou
  minimize macs
  strategy = random(evaluations = 20)
  validate = 1000
  recalibrate = 256
}

search reduced_front for hyctas_space {
  maximize miou
  minimize macs
  strategy = nsga2(population = 20, generations = 20, crossover = 0.9, mutation = 0.02, pairing = uniform)
  validate = 100
  recalibrate = 64
}
"""


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
        self.line(f"training {at.network}/{at.networks} {step}, {at.left / 60:.0f} min left")

    def search(self, name: str, seed: int, state: Progress) -> None:
        self.line(f"{name}, seed {seed}: {state.evaluated}/{state.total} evaluated")


def reduced(folder: Path, search: str, seed: int, device: torch.device, say: Say, one_head: bool = False) -> Setting:
    """The trained supernet in `folder`, and candidates as the `search` block of that name measures them.

    `seed`: of the supernet, of the sample and of the networks that are trained by themselves. `one_head`: for all sets of routes,
    which takes fewer steps, as each of them trains it.
    """
    file = write(folder / "space.arch", EXAMPLE.read_text() + BLOCKS)
    compiled = compile_file(file, None, {**SPACE, "own_heads": not one_head})
    train, run = runs_of(compiled, "reduced", search)
    steps = ONE_HEAD if one_head else train.settings["steps"]
    train = replace(train, settings={**train.settings, "steps": steps, "seed": seed})
    return Setting.of(compiled, train, run, folder, device, Listener(training=say.training))
