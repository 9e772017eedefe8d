"""What has to hold on every device: the checks run on the CPU, and where there is CUDA (`pytest -m gpu`), there."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.compiler.module import extract, over_store
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.store import Store
from hrdsl.compiler.units import units
from hrdsl.dsl.settings import Chosen
from hrdsl.runtime import checkpoint
from hrdsl.runtime.capture import Recorder
from hrdsl.runtime.evaluation import Evaluator, Options
from hrdsl.runtime.optimise import Optimizer, Readings
from hrdsl.runtime.pruning.shrink import Remaining
from hrdsl.runtime.task import Examples
from hrdsl.runtime.train import SupernetTrainer

from .test_capture import Graph
from .test_shrinking import HRNAS, TINY

CPU = torch.device("cpu")
SPACE = Path(__file__).parent / "tiny" / "two.arch"
DEMO = Path(__file__).parents[1] / "examples" / "demo.arch"
CUDA = pytest.param(
    "cuda",
    marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")],
)
SETTINGS: dict[str, Any] = {
    "optimizer": Chosen("adamw", {"lr": 0.01, "weight_decay": 0.1}),
    "sample": Chosen("sandwich", {"random": 1}),
    "precision": "float32",
    "steps": 4,
    "batch": 4,
    "seed": 1,
}
CLOSE = {"rtol": 1e-3, "atol": 1e-4}


@pytest.fixture(params=["cpu", CUDA])
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """Products in full float32, not in TF32."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield torch.device(request.param)
    torch.backends.cudnn.allow_tf32 = before


@cache
def two() -> Compiled:
    return compile_file(SPACE)


def data(device: torch.device, count: int, seed: int = 3) -> Examples:
    rng = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, 16, 16), generator=rng, dtype=torch.uint8)
    labels = torch.randint(0, 11, (count, 16, 16), generator=rng, dtype=torch.uint8)
    return Examples(images.to(device), labels.to(device), 11, 255)


def genomes(count: int) -> list[tuple[int, ...]]:
    drawn = two().decisions.sample(np.random.default_rng(0), count).tolist()
    return [*dict.fromkeys(map(tuple, drawn))]


def picture(device: torch.device) -> torch.Tensor:
    return torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)).to(device)


def trainer(device: torch.device, **other: Any) -> SupernetTrainer:
    return SupernetTrainer(two(), {**SETTINGS, **other}, data(device, 16), device)


def test_plan_module_and_extracted_network_agree_with_the_cpu(device: torch.device) -> None:
    store, truth = Store(two().graph, 1, device), Store(two().graph, 1)
    plans, wanted = Planner(two().graph, store), Planner(two().graph, truth)
    for genes in genomes(3):
        expected = wanted(genes)(picture(CPU))
        for network in (plans(genes), over_store(two().graph, store, genes), extract(two().graph, store, genes)):
            torch.testing.assert_close(network(picture(device)).cpu(), expected, **CLOSE)


def test_a_step_changes_what_it_read_and_nothing_else(device: torch.device) -> None:
    made = trainer(device, sample=Chosen("single", {}))
    before, places = made.store.flat.clone(), torch.zeros_like(made.store.flat, dtype=torch.bool)
    made.step()
    for alias in made.planner(made.architectures(0)[0]).parameters():
        inside = torch.as_strided(places, alias.size(), alias.stride(), alias.storage_offset())
        inside.fill_(True)
    changed = made.store.flat != before
    assert bool(changed.any()) and not bool((changed & ~places).any())
    assert not bool((made.optimizer.first.ne(0) & ~places).any())


def test_bfloat16_stays_near(device: torch.device) -> None:
    plan = Planner(two().graph, Store(two().graph, 1, device))(two().decisions.largest())
    wanted = plan(picture(device))
    with torch.autocast(device.type, torch.bfloat16):
        found = plan(picture(device))
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), wanted, rtol=0.1, atol=0.1 * float(wanted.detach().abs().max()))


def test_a_checkpoint_goes_from_device_to_device(device: torch.device, tmp_path: Path) -> None:
    path = tmp_path / "supernet.ckpt"
    made = trainer(device, steps=2)
    made.run(path)
    back = trainer(CPU, steps=2)
    back.load(checkpoint.load(path, CPU))
    assert torch.equal(back.store.flat, made.store.flat.cpu())
    assert (
        torch.equal(back.optimizer.second, made.optimizer.second.cpu())
        and back.optimizer.counts == made.optimizer.counts
    )
    checkpoint.save(path, back.state())
    again = trainer(device, steps=2)
    again.run(path)
    assert again.done == 2 and torch.equal(again.store.flat, made.store.flat)


def test_resumed_training_goes_on_as_it_would_have(device: torch.device, tmp_path: Path) -> None:
    """To the last bit on a CPU; on CUDA torch adds the gradients of resizing in any order."""
    whole, first = trainer(device), trainer(device)
    whole.run()
    first.recipe.steps = 2
    first.run(tmp_path / "c")
    resumed = trainer(device)
    resumed.run(tmp_path / "c")
    assert [resumed.architectures(k) for k in range(4)] == [whole.architectures(k) for k in range(4)]
    if device == CPU:
        assert torch.equal(resumed.store.flat, whole.store.flat)
    torch.testing.assert_close(resumed.store.flat, whole.store.flat, rtol=0.05, atol=0.02)


def values(device: torch.device, options: Options, records: Any = None, alone: bool = False) -> dict[Any, Any]:
    plans = Planner(two().graph, Store(two().graph, 1, device))
    found = Evaluator(plans, data(device, 40), data(device, 230, 4), ("miou", "loss"), options)
    if records != "own":
        found._records = records
    groups = [[g] for g in genomes(4)] if alone else [genomes(4)]
    return {g: answer.values for group in groups for g, answer in found(group)}


@pytest.mark.parametrize("options", [Options(fold=False), Options()], ids=["exact", "fold"])
def test_a_union_gives_what_each_gives_alone(device: torch.device, options: Options) -> None:
    assert values(device, options) == values(device, options, alone=True)


@pytest.mark.parametrize("options", [Options(), Options(precision=torch.bfloat16)], ids=["float32", "bfloat16"])
def test_graphs_give_what_calls_give(device: torch.device, options: Options) -> None:
    graph = Graph()
    replayed = values(device, options, "own" if device.type == "cuda" else Recorder(graph))
    assert replayed == values(device, options)
    assert device.type == "cuda" or (graph.recorded == 1 and graph.replayed == 3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_graphs_are_recorded() -> None:
    """Nothing that candidates compute keeps torch from recording it."""
    device = torch.device("cuda")
    plans = Planner(two().graph, Store(two().graph, 1, device))
    found = Evaluator(plans, data(device, 40), data(device, 230, 4), ("miou", "loss"), Options())
    dict(found(genomes(4)))
    assert found._records is not None and found._records.works


def test_units_leave_as_on_the_cpu(device: torch.device) -> None:
    space = compile_file(HRNAS, settings=TINY)
    genes, store = space.decisions.largest(), Store(space.graph, 0)
    flats = store.flat.clone(), store.flat.to(device, copy=True)
    for flat in flats:
        left, rng = Remaining(units(space.graph, genes)[0], genes), np.random.default_rng(0)
        dead = {k: rng.random(len(each)) < 0.5 for k, each in enumerate(left.left)}
        for k, each in enumerate(left.left):
            dead[k][: each.group.least] = False
        left.remove(dead, store.places, [flat])
    assert torch.equal(flats[0], flats[1].cpu()) and not torch.equal(flats[0], store.flat)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_memory_of_a_step_is_that_of_the_network_and_the_store() -> None:
    device, space = torch.device("cuda"), compile_file(DEMO)
    genes = space.decisions.largest()
    x, labels = torch.randn(16, 3, 64, 64, device=device), torch.randint(0, 11, (16, 32, 32), device=device)
    store = Store(space.graph, 0, device)
    plan, readings = Planner(space.graph, store)(genes), Readings(Planner(space.graph, store))
    ours = Optimizer(store, "adamw", {"lr": 1e-3, "weight_decay": 0.01})
    network = extract(space.graph, store, genes)
    theirs = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)

    def shared() -> None:
        loss = torch.nn.functional.cross_entropy(plan(x), labels)
        with store.collecting(plan.parameters(), alone=True):
            loss.backward()
        ours.step(readings.of((genes,)), 1e-3)

    def alone() -> None:
        theirs.zero_grad()
        torch.nn.functional.cross_entropy(network(x), labels).backward()
        theirs.step()

    held = 4 * store.flat.nbytes
    weights = 4 * sum(p.nbytes for p in network.parameters())
    assert peak(shared) + held <= 1.1 * (peak(alone) + weights + held)


def peak(step: Any) -> int:
    """The most bytes that the third of three steps takes beyond what was there before it."""
    for _ in range(2):
        step()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before
