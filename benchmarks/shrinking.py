"""Does pruning meet its budgets, and are the units that it keeps the right ones? HR-NAS at reduced width on digit scenes.

    python benchmarks/shrinking.py --out DIR [--only quality tasks budgets more fixed] [--seeds 0 1 2]

For each task and seed the whole supernet is trained once, that of classification from the body of the other one; every pruning
begins with its weights and takes the same steps.

- quality: a fifth of the MACs, by importance factors with the pull, one by one and so that groups keep multiples of 8; with
  the same share of the units of every group gone ("even"); with units gone by chance ("chance"). Both of these without the pull.
- tasks: by factors for classification too: the units left on each branch beside those of segmentation.
- budgets: 60, 40, 20 and 10 % of the MACs in one run.
- more: a fifth of the MACs by Taylor's criterion and by magnitude, which know no pull, by factors without it, and in blocks
  of other sizes.
- fixed: HRNetV2-W18, ResNet-50 and SegFormer-B0 to half of their MACs, one command each, a few steps.

What the folder holds already is not run again.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from timing import ROOT, Target, table

from hrdsl.compiler.api import compile_file
from hrdsl.dsl.settings import Chosen, defaults, strategy
from hrdsl.runtime.data import Task
from hrdsl.runtime.evaluate import plan_miou, recalibrate
from hrdsl.runtime.files import write
from hrdsl.runtime.pruning.history import branch, tied
from hrdsl.runtime.pruning.limits import Limits
from hrdsl.runtime.pruning.trainer import PruneTrainer, Settings
from hrdsl.runtime.steps import Step
from hrdsl.runtime.task import Examples, examples

CPU = torch.device("cpu")
SIZE, BATCH, PRUNING, EVERY = 32, 16, 320, 20
"""Pixels; images of a step; steps of a pruning; steps between two removals."""
WHOLE: Mapping[Task, int] = {"segmentation": 1200, "classification": 600}
"""Steps of a supernet."""
BODY: Mapping[str, Any] = {
    "height": SIZE,
    "columns": SIZE,
    "input_stride": 2,
    "stem_width": 8,
    "first": 8,
    "widths": (6, 8, 12, 16),
    "blocks": (1, 1, 1, 1, 1),
    "again": False,
    "kernels": (3, 5),
    "expand": 3,
}
SPACES: Mapping[Task, tuple[str, Mapping[str, Any]]] = {
    "segmentation": ("cityscapes.arch", {"classes": 11, "last": 16, "layer": "convolution"}),
    "classification": ("imagenet.arch", {"classes": 10, "last": 32, "head_widths": (6, 8, 12, 16)}),
}
SHARE, BUDGETS = 0.2, (0.6, 0.4, 0.2, 0.1)
PULL = float(strategy("prune").options["strength"])
Importance = list[npt.NDArray[np.float64]]


class Even(PruneTrainer):
    """The same share of the units of every group goes."""

    def importance(self) -> Importance:
        return [(each.units + 0.5) / count for each, count in zip(self.left.left, self.start, strict=True)]


class Chance(PruneTrainer):
    """Any unit goes."""

    def importance(self) -> Importance:
        rng = np.random.default_rng((self.recipe.seed, 7))
        luck = [rng.random(count) for count in self.start]
        return [values[each.units] for values, each in zip(luck, self.left.left, strict=True)]


KINDS: Mapping[str, tuple[type[PruneTrainer], str, float, int]] = {
    "factors": (PruneTrainer, "factors", PULL, 1),
    "even": (Even, "factors", 0.0, 1),
    "chance": (Chance, "factors", 0.0, 1),
    "taylor": (PruneTrainer, "taylor", PULL, 1),
    "magnitude": (PruneTrainer, "magnitude", PULL, 1),
    "no pull": (PruneTrainer, "factors", 0.0, 1),
    **{f"blocks of {n}": (PruneTrainer, "factors", PULL, n) for n in (2, 4, 8, 16)},
}
"""Who chooses the units, by what, the strength of the pull, and the multiple that groups keep."""
FIXED = {
    "hrnetv2_w18": ("classes=11", "height=64", "columns=64"),
    "resnet50": ("classes=10", "size=64"),
    "segformer_b0": ("classes=11", "size=64"),
}


class Setting:
    """The space of a task, its images, and one trained supernet for each seed."""

    def __init__(self, task: Task, out: Path) -> None:
        file, own = SPACES[task]
        compiled = compile_file(ROOT / "examples" / "hrnas" / file, None, {**BODY, **own})
        self.task, self.out, self.limits = task, out, Limits(compiled)
        self.cost = self.limits.cost("macs")
        self.full = float(self.cost(np.array([self.limits.genes], np.int16))[0])
        self.branches = [branch(tied(compiled.graph, group)) for group in self.limits.groups]
        self.data = examples("digits.scenes", "train", 4000, SIZE, CPU, task=task)
        self.validation = examples("digits.scenes", "val", 400, SIZE, CPU, task=task)
        self.calibration = Examples(self.data.images[:128], self.data.labels, self.data.classes, self.data.ignore)

    def trainer(
        self, what: str, seed: int, steps: int, shares: Sequence[float], warm: float, tune: float
    ) -> PruneTrainer:
        kind, importance, strength, multiple = KINDS[what]
        adamw = Chosen("adamw", {"lr": 2e-2, "weight_decay": 1e-2, "eps": 1e-8})
        train = {**defaults("train"), "steps": steps, "batch": BATCH, "seed": seed, "optimizer": adamw}
        settings = Settings(
            tuple(self.full * s for s in shares), EVERY, warm, tune, strength, importance, 0.0, multiple, "budget"
        )
        space, groups, genes = self.limits.space.graph, self.limits.groups, self.limits.genes
        return kind(space, groups, genes, train, settings, self.cost, self.limits.allowed, self.data, CPU)

    def supernet(self, seed: int, base: Mapping[str, torch.Tensor] | None) -> dict[str, Any]:
        """How good it is; its weights are in the folder. `base`: what it begins with, of the parameters that it has."""
        trainer = self.trainer("chance", seed, WHOLE[self.task], (1.0,), 1.0, 0.0)
        if base is not None:
            known = trainer.store.state_dict()
            trainer.store.load_state_dict({**known, **{k: v for k, v in base.items() if k in known}})
        trainer.run(progress=Say(f"{self.task} supernet {seed}"))
        save_file({"flat": trainer.store.flat.detach()}, self.weights(seed))
        return self.measured(trainer)

    def state(self, seed: int) -> dict[str, torch.Tensor]:
        """The parameters of a trained supernet by name."""
        store = self.trainer("chance", seed, 1, (1.0,), 1.0, 0.0).store
        with torch.no_grad():
            store.flat.copy_(load_file(self.weights(seed))["flat"])
        return dict(store.state_dict())

    def weights(self, seed: int) -> Path:
        return self.out / f"{self.task}-{seed}.safetensors"

    def pruned(self, what: str, seed: int, shares: Sequence[float]) -> list[dict[str, Any]]:
        """The network of each budget."""
        trainer = self.trainer(what, seed, PRUNING, shares, 0.25, 0.25)
        with torch.no_grad():
            trainer.store.flat.copy_(load_file(self.weights(seed))["flat"])
        trainer.begin()
        trainer.run(progress=Say(f"{self.task} {what} {seed}"), reached=lambda k: self.measured(trainer))
        return [network for _, network in sorted(trainer.networks.items())]

    @torch.no_grad()
    def measured(self, trainer: PruneTrainer) -> dict[str, Any]:
        """mIoU on validation images (NaN if an output is not finite), the share of the MACs, units left on each branch."""
        plan = trainer.planner(trainer.left.genome)
        recalibrate(plan, self.calibration)
        kept: Counter[str] = Counter()
        for name, count in zip(self.branches, trainer.left.counts(), strict=True):
            kept[name] += count
        forced = [(e.step, e.removed, e.forced, e.strength) for e in trainer.events]
        miou = plan_miou(plan, self.validation)
        loss = mean(float(trainer.recipe.loss(plan(x, "stored"), y)) for x, y in self.validation.chunks(50))
        return {
            "miou": miou,
            "loss": loss,
            "share": trainer.spent() / self.full,
            "units": dict(kept),
            "removals": forced,
        }


class Say:
    """Progress on stderr, every ten seconds."""

    def __init__(self, what: str) -> None:
        self.what, self.last = what, time.monotonic()

    def __call__(self, at: Step) -> None:
        if time.monotonic() - self.last > 10:
            self.last = time.monotonic()
            print(f"{self.what}: {at.step}/{at.steps} loss {at.loss:.3f}", file=sys.stderr, flush=True)


class Runs:
    """All runs; each leaves a file, and is not run again."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.setting = cache(lambda task: Setting(task, out))

    def supernet(self, task: Task, seed: int) -> dict[str, Any]:
        """Classification begins with the body that segmentation trained, as it learns little from so few steps alone."""
        if task == "segmentation":
            return self._once(f"{task}-{seed}", lambda: [self.setting(task).supernet(seed, None)])[0]
        self.supernet("segmentation", seed)
        base = self.setting("segmentation").state
        return self._once(f"{task}-{seed}", lambda: [self.setting(task).supernet(seed, base(seed))])[0]

    def pruned(self, task: Task, what: str, seed: int, shares: Sequence[float] = (SHARE,)) -> list[dict[str, Any]]:
        self.supernet(task, seed)
        percent = "-".join(f"{100 * s:.0f}" for s in shares)
        name = f"{task}-{seed}-{what.replace(' ', '-')}-{percent}"
        return self._once(name, lambda: self.setting(task).pruned(what, seed, shares))

    def fixed(self, name: str) -> dict[str, Any]:
        return self._once(name, lambda: [self._command(name)])[0]

    def _command(self, name: str) -> dict[str, Any]:
        sets = [word for each in FIXED[name] for word in ("--set", each)]
        file, study = f"examples/classics/{name}.arch", str(self.out / name)
        command = ["prune", file, *sets, *"--to 1/2 --steps 24 --every 3 --batch 4 --study".split(), study]
        begun = time.monotonic()
        done = subprocess.run(hrdsl(*command, "--json"), cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        return {
            "command": " ".join(["hrdsl", *command[:-1], "DIR"]),
            "seconds": time.monotonic() - begun,
            "found": json.loads(done.stdout),
        }

    def _once(self, name: str, run: Any) -> list[dict[str, Any]]:
        path = self.out / f"{name}.json"
        if not path.exists():
            begun = time.process_time()
            found = run()
            write(path, json.dumps({"seconds": time.process_time() - begun, "found": found}, indent=1) + "\n")
        data: list[dict[str, Any]] = json.loads(path.read_text())["found"]
        return data


def hrdsl(*words: str) -> list[str]:
    return [sys.executable, "-m", "hrdsl", *words]


def quality(runs: Runs, seeds: Sequence[int], kinds: Sequence[str]) -> list[Target]:
    """mIoU at the same MACs, by who chose the units."""
    found = {what: [runs.pruned("segmentation", what, seed)[0] for seed in seeds] for what in kinds}
    found = {"supernet": [runs.supernet("segmentation", seed) for seed in seeds], **found}
    rows = [
        [what, *(f"{n['miou']:.4f}" for n in networks), f"{middle(networks):.4f}"] for what, networks in found.items()
    ]
    print(table([["mIoU at a fifth", *(f"seed {seed}" for seed in seeds), "mean"], *rows]))
    return [
        Target(
            f"mIoU by factors{how} over that by {what}", 1, middle(found[ours]) / middle(found[what]), "x", least=True
        )
        for ours, how in (("factors", ""), ("blocks of 8", " in blocks of 8"))
        for what in ("even", "chance")
    ]


def middle(networks: Sequence[Mapping[str, Any]]) -> float:
    return float(mean(n["miou"] for n in networks))


def budgets(runs: Runs, seeds: Sequence[int]) -> list[Target]:
    """Whether each budget is met, and whether anything died; beside it, without target, in blocks of as large a share of a group
    as 8 are at full width: of this small network one block is up to 0.5 %."""
    rows, worst, dead = [["units go", "seed", "budget", "MACs", "mIoU", "units on each branch"]], 0.0, 0
    for kind, how in (("factors", "one by one"), ("blocks of 2", "in blocks of 2")):
        for seed in seeds:
            start = runs.supernet("segmentation", seed)["units"]
            for share, network in zip(BUDGETS, runs.pruned("segmentation", kind, seed, BUDGETS), strict=True):
                left = [network["units"].get(name, 0) for name in start]
                figures = f"{share:.0%}", f"{network['share']:.2%}", f"{network['miou']:.4f}"
                rows.append([how, str(seed), *figures, by_branch(network["units"])])
                if kind == "factors":
                    worst = max(worst, abs(network["share"] / share - 1))
                    dead += left.count(0) + (network["miou"] != network["miou"])
    print(table(rows))
    return [Target("MACs off their budget, at worst", 0.02, worst), Target("branches that died", 0, dead)]


def by_branch(units: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {units[name]}" for name in sorted(units))


def tasks(runs: Runs, seeds: Sequence[int]) -> list[Target]:
    """The share of the units left on each branch, by task, and how those left in all branches lie on them; no target."""
    names = ["b1", "b2", "b3", "b4"]
    rows = [["task", "seed", "mIoU", "MACs", *(f"of {n}" for n in names), *(f"on {n}" for n in names)]]
    for task in SPACES:
        found = []
        for seed in seeds:
            whole, left = runs.supernet(task, seed), runs.pruned(task, "factors", seed)[0]
            count = np.array([left["units"].get(name, 0) for name in names])
            found.append([*count / [whole["units"][name] for name in names], *count / count.sum()])
            rows.append(
                [task, str(seed), f"{left['miou']:.4f}", f"{left['share']:.1%}", *map("{:.1%}".format, found[-1])]
            )
        rows.append([task, "mean", "", "", *map("{:.1%}".format, np.mean(found, 0))])
        rows.append([task, "deviation", "", "", *map("{:.1%}".format, np.std(found, 0, ddof=1))])
    print(table(rows))
    return []


def fixed(runs: Runs) -> list[Target]:
    """One command for each network."""
    rows, worst = [["network", "MACs", "pruned", "s"]], 0.0
    for name in FIXED:
        done = runs.fixed(name)
        (network,) = done["found"]["front"]
        full, left = done["found"]["full"], network["macs"]
        rows.append([name, f"{full:,.0f}", f"{left / full:.2%}", f"{done['seconds']:.0f}"])
        worst = max(worst, abs(2 * left / full - 1))
        print(done["command"])
    print(table(rows))
    return [Target("MACs off a half, at worst", 0.02, worst)]


PARTS = ("quality", "tasks", "budgets", "more", "fixed")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    runs, targets = Runs(args.out.resolve()), list[Target]()
    asked = ["factors", "blocks of 8", "even", "chance"]
    parts = {
        "quality": lambda: quality(runs, args.seeds, asked),
        "tasks": lambda: tasks(runs, args.seeds),
        "budgets": lambda: budgets(runs, args.seeds),
        "more": lambda: quality(runs, args.seeds, [*asked, *(kind for kind in KINDS if kind not in asked)]),
        "fixed": lambda: fixed(runs),
    }
    for name in args.only:
        targets += parts[name]()
    print(table([["what", "target", "measured", ""], *(t.row() for t in dict.fromkeys(targets))]))
    return 0 if all(t.ok for t in targets) else 1


if __name__ == "__main__":
    sys.exit(main())
