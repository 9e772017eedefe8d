"""The search of the released HR-NAS, step by step: its penalties, its losses, the units that it removes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.compiler.found import found_text
from hrdsl.compiler.module import extract
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.store import Store
from hrdsl.compiler.units import units
from hrdsl.runtime.average import Average
from hrdsl.runtime.optimise import Optimizer, Readings
from hrdsl.runtime.pruning.importance import rows
from hrdsl.runtime.pruning.penalty import Pull, marginal
from hrdsl.runtime.pruning.shrink import Mask, Remaining
from hrdsl.runtime.results import renamed

from . import vectors
from .test_hrnas_vectors import written

torch.set_num_threads(1)
FILE = Path(__file__).parents[1] / "examples" / "hrnas" / "cityscapes.arch"
CASES = Path(__file__).parent / "facts" / "hrnas" / "pruning"
DECAY = 1e-5
"""Of all weights, half the square in the loss."""


def read(name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with np.load(CASES / f"{name}.npz") as file:
        return json.loads(str(file["meta"])), {k: torch.from_numpy(file[k]) for k in file.files if k != "meta"}


def settings(model: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of the example that make the supernet of the case."""
    last = model["setting"][-1]
    return {
        "height": 64,
        "columns": 64,
        "classes": model["num_classes"],
        "stem_width": model["input_channel"][0],
        "first": model["setting"][0][2][0],
        "widths": tuple(last[2]),
        "blocks": (model["setting"][0][1][0], *last[1]),
        "again": False,
        "last": model["last_channel"],
        "expand": model["expand"],
    }


def imported(space: Compiled, state: Mapping[str, Tensor], folder: Path) -> dict[str, Tensor]:
    """A state of the released code under the names of the store of a space, through `hrdsl weights import`."""
    given = dict(space.settings)
    folder.mkdir()
    case = vectors.Case("case", {}, dict(state), {}, {}, {}, {}, {}, {})
    path = vectors.closed(FILE, folder, {}, **given)
    chosen = [f"{k}={written(v)}" for k, v in given.items()]
    network = vectors.network(path, case, "hrnas:network", folder=folder, settings=chosen)
    like = extract(space.graph, Store(space.graph), space.decisions.largest())
    found = renamed(network, like)
    return {name: found[own] for name, own in like.meta["parameters"].items()}


class Run:
    """The loop of the released code over our store."""

    def __init__(self, space: Compiled, meta: Mapping[str, Any], state: Mapping[str, Tensor], folder: Path) -> None:
        self.space, self.meta = space, meta
        genes = space.decisions.largest()
        groups, _ = units(space.graph, genes)
        self.left = Remaining(groups, genes)
        self.store = Store(space.graph, dtype=torch.float64)
        self.store.load_state_dict(imported(space, state, folder / "weights"))
        self.planner = Planner(space.graph, self.store)
        self.readings = Readings(self.planner)
        self.optimizer = Optimizer(self.store, "adamw", {"lr": 0.005, "weight_decay": 0, "eps": 1e-3})
        self.average = Average(self.optimizer, 0.9)
        self.names = self._released(state, folder / "names")
        self.penalties = self._penalties()

    def _released(self, state: Mapping[str, Tensor], folder: Path) -> list[str]:
        """The released name of each group's factors: numbers are imported in their place."""
        factors = list(self.meta["penalties"])
        marked = {k: torch.full_like(v, factors.index(k)) if k in factors else v for k, v in state.items()}
        found = imported(self.space, marked, folder)
        return [factors[int(found[each.group.factors[0].weight][0])] for each in self.left.left]

    def _penalties(self) -> list[float]:
        costs = marginal(self.left, lambda genes: self.space.prices(genes, ["macs"])["macs"])
        counts = self.left.counts()
        return (costs / (float(np.dot(costs, counts)) / (sum(counts) + 1e-5))).tolist()

    def step(self, x: Tensor, y: Tensor, rho: float) -> tuple[float, float, float]:
        """The three parts of the loss, before the step."""
        genome = self.left.genome
        plan, boxes = self.planner(genome), self.readings.of((genome,))
        task = 0.01 * (plan(x, "batch") - y).square().mean()
        with self.store.collecting(plan.parameters(), alone=True):
            task.backward()
        decayed = [p for p in plan.parameters() if p.dim() > 1 or self._is_head(p)]
        norm = sum(float(p.detach().square().sum()) for p in decayed)
        with torch.no_grad():
            for p in decayed:
                assert p.grad is not None
                p.grad.add_(p, alpha=DECAY)
        pull = Pull(self.left, self.penalties, self.store.places, torch.device("cpu"))
        l1 = rho * float(pull.value(self.store.flat))
        pull.add_gradient(self.store.flat, self.store.gradient, rho)
        self.optimizer.step(boxes, 0.005)
        self.average.update(boxes)
        return float(task.detach()), 0.5 * DECAY * norm, l1

    def _is_head(self, p: Tensor) -> bool:
        """The only bias of a convolution."""
        return p.data_ptr() == self.store.full(next(n for n in self.store.places if n.endswith("conv.bias"))).data_ptr()

    def shrink(self, threshold: float, average_only: bool) -> None:
        dead: dict[int, Mask] = {}
        for k, each in enumerate(self.left.left):
            (piece,) = each.group.factors
            now, kept = (
                rows(piece, len(each), self.store.places, f)[:, 0].abs() for f in (self.store.flat, self.average.flat)
            )
            mask = (kept <= threshold) & (average_only | (now <= threshold))
            dead[k] = mask.numpy()
        flats = self.store.flat, self.optimizer.first, self.optimizer.second, self.average.flat
        self.left.remove(dead, self.store.places, flats)
        self.store.release()
        self.optimizer.release()
        self.average.release()

    def architecture(self) -> dict[str, dict[str, list[int]]]:
        """The kernels and hidden channels of each block, under the released names."""
        found: dict[str, dict[str, list[int]]] = {}
        for name, count in sorted(zip(self.names, self.left.counts(), strict=True)):
            block, _, k = name.removesuffix(".1.1.weight").rpartition(".ops.")
            entry = found.setdefault(block, {"kernels": [], "hidden": []})
            if count:
                entry["kernels"].append(3 + 2 * int(k))
                entry["hidden"].append(count)
        return found


def test_search_of_the_released_code(tmp_path: Path) -> None:
    """Ten steps and three removals: the same units go, and losses stay within the drift between float32 and float64."""
    meta, data = read("search_run_tiny")
    space = compile_file(FILE, settings=settings(meta["model"]))
    prefixes = ("param/", "buffer/")
    state = {k.partition("/")[2]: v for k, v in data.items() if k.startswith(prefixes)}
    run = Run(space, meta, state, tmp_path)
    assert [meta["penalties"][n] for n in run.names] == run.penalties
    drift = meta["task_loss_drift_f32_vs_f64_per_step"]
    for k, log in enumerate(meta["log"]):
        x, y = (data[f"data/{name}_int8"][k].double() / 64 for name in "xy")
        task, l2, l1 = run.step(x, y, log["rho"])
        assert abs(task - log["task"]) <= (1.2 * drift[k] + 1e-7) * log["task"], k
        assert abs(l2 - log["l2"]) <= 1e-5 * log["l2"] and abs(l1 - log["l1"]) <= 1e-5 * max(log["l1"], 1), k
        if log.get("shrink"):
            run.shrink(log["threshold"], log["ema_only"])
            assert run.architecture() == log["architecture"]
            assert sum(run.left.counts()) == log["units_after"]


def test_a_removal_of_the_released_code(tmp_path: Path) -> None:
    """One block: the same units stay, with their weights, the optimizer's states and the averages; one kernel is gone."""
    meta, data = read("shrink_block_12_12")
    space = compile_file(vectors.space(_block([3, 5, 7], ["expand = 4"]), tmp_path))
    genes = space.decisions.largest()
    left = Remaining(units(space.graph, genes)[0], genes)
    store = Store(space.graph)
    kinds = ("param", "exp_avg", "exp_avg_sq", "ema")
    flats = []
    for kind in kinds:
        store.load_state_dict(_state(space, data, "before", kind, tmp_path))
        flats.append(store.flat.clone())
    left.remove({k: ~data[f"mask/{k}"].numpy() for k in range(3)}, store.places, flats)
    assert [n for n in left.counts() if n] == meta["hidden_after"] and left.counts()[1] == 0
    widths = [f"expands = [{', '.join(f'{n}/12' for n in meta['hidden_after'])}]"]
    smaller = compile_file(vectors.space(_block(meta["kernels_after"], widths), tmp_path))
    for kind, flat in zip(kinds, flats, strict=True):
        with torch.no_grad():
            store.flat.copy_(flat)
        wanted = _state(smaller, data, "after", kind, tmp_path).values()
        network = extract(space.graph, store, left.genome)
        found = [network.state_dict()[own] for own in network.meta["parameters"].values()]
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True)), kind


def _block(kernels: list[int], more: list[str]) -> str:
    given = ", ".join(["width = 12", f"kernels = {kernels}", "norm = bn(1/1000, 1/100)", *more])
    return f"use std.hrnas\nspace s {{\n  input = [12, 9, 9]\n  head = hrnas.searching_block({given})\n}}\n"


def _state(space: Compiled, data: Mapping[str, Tensor], moment: str, kind: str, folder: Path) -> dict[str, Tensor]:
    """What the released block held, under the names of the store of a space."""
    state = {}
    for prefix in (f"{moment}/buffer/blk.", f"{moment}/{kind}/blk."):
        state |= {k.removeprefix(prefix): v for k, v in data.items() if k.startswith(prefix)}
    case = vectors.Case(f"{moment}_{kind}", {}, state, {}, {}, {}, {}, {}, {})
    text = found_text(space, space.decisions.largest()).partition("\n")[2]
    network = vectors.network(text, case, "hrnas:block", at="head.searching_block", folder=folder)
    like = extract(space.graph, Store(space.graph), space.decisions.largest())
    found = renamed(network, like)
    return {name: found[own] for name, own in like.meta["parameters"].items()}
