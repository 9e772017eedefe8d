"""Optimiser over the store, training, checkpoints, metric, statistics, failures, files: each by its definition."""

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.compiler.module import extract
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.store import Store
from hrdsl.dsl.settings import Chosen
from hrdsl.runtime import checkpoint, device, files, searching, steps
from hrdsl.runtime.evaluate import plan_miou, recalibrate
from hrdsl.runtime.evaluation import Evaluator
from hrdsl.runtime.faults import RunError
from hrdsl.runtime.optimise import Optimizer, Readings, boxes, touched
from hrdsl.runtime.results import load_weights, network_of, save_weights
from hrdsl.runtime.retrain import train_network
from hrdsl.runtime.schedule import one_cycle
from hrdsl.runtime.search.problem import one_by_one
from hrdsl.runtime.search.study import read
from hrdsl.runtime.task import Examples, MeanIoU, normalise
from hrdsl.runtime.train import SupernetTrainer

from .spaces import compile_text

SPACE = Path(__file__).parent / "tiny" / "two.arch"
CPU = torch.device("cpu")
ADAMW = Chosen("adamw", {"lr": 0.01, "weight_decay": 0.1})
SGD = Chosen("sgd", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01})
SINGLE, SANDWICH = Chosen("single", {}), Chosen("sandwich", {"random": 2, "distill": True})
DROPOUT = """hrdsl 1

space dropped {
  input = [3, 16, 16]
  stem = conv(3, width = 8, stride = 2)
  branch main at 1/2 { width in {4, 8} }
  stage a on main { cell = conv(3, width) -> bn -> relu -> dropout(p = 1/2) }
  head = conv(1, width = 11)
}
"""


@cache
def two() -> Compiled:
    return compile_file(SPACE)


@cache
def data() -> Examples:
    """Noise: what is learnt does not matter here."""
    rng = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (24, 3, 16, 16), generator=rng, dtype=torch.uint8)
    labels = torch.randint(0, 11, (24, 16, 16), generator=rng, dtype=torch.uint8)
    labels[:, 0] = 255
    return Examples(images, labels, 11, 255)


def settings(**other: Any) -> dict[str, Any]:
    return {"optimizer": ADAMW, "sample": SINGLE, "steps": 5, "batch": 4, "seed": 1, **other}


def trainer(compiled: Compiled | None = None, **other: Any) -> SupernetTrainer:
    return SupernetTrainer(compiled or two(), settings(**other), data(), CPU)


def trained(**other: Any) -> SupernetTrainer:
    done = trainer(**other)
    done.run()
    return done


def same(a: SupernetTrainer, b: SupernetTrainer) -> bool:
    one, two = a.state(), b.state()
    return all(torch.equal(one[k], two[k]) for k in ("store", "first", "second", "counts"))


# the optimiser


@pytest.mark.parametrize("optimizer", [ADAMW, SGD], ids=lambda o: o.name)
@pytest.mark.parametrize("which", ["largest", "smallest", "gap"])
def test_steps_are_those_of_torch(monkeypatch: pytest.MonkeyPatch, optimizer: Chosen, which: str) -> None:
    """One architecture trained in the store, and alone with its own weights by torch.optim."""
    gap = two().decisions.read({**two().decisions.labels(two().decisions.largest()), "fine.width": "4"})
    genes = {"largest": two().decisions.largest(), "smallest": two().decisions.smallest(), "gap": gap}[which]
    shared = trainer(optimizer=optimizer)
    monkeypatch.setattr(shared, "architectures", lambda step: [genes])
    network = extract(two().graph, shared.store, genes)
    shared.run()
    train_network(network, settings(optimizer=optimizer), data(), CPU)
    again = extract(two().graph, shared.store, genes)
    mine, other = dict(again.named_parameters()), dict(network.named_parameters())
    assert mine.keys() == other.keys()
    for name, value in mine.items():
        torch.testing.assert_close(value, other[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("optimizer", [ADAMW, SGD], ids=lambda o: o.name)
def test_matrices_decay_and_vectors_do_not(optimizer: Chosen) -> None:
    """Without gradients only decay moves a weight."""
    store = Store(two().graph, 0)
    genes = two().decisions.largest()
    before = {name: value.clone() for name, value in store.state_dict().items()}
    parts = touched(tuple(n.name for n in two().graph.nodes), [Planner(two().graph, store).specialiser(genes)])
    Optimizer(store, optimizer.name, optimizer.options).step(parts, 0.5)
    for name in parts:
        moved = not torch.equal(store.tensor(name), before[name])
        assert moved == (store.tensor(name).dim() > 1 and bool(before[name].any()))


def test_readings_of_one_are_those_of_one_among_several() -> None:
    """One architecture is read off its operations; several are compared. Twice the same one is one."""
    planner = Planner(two().graph, Store(two().graph, 0))
    readings = Readings(planner)
    for genes in map(tuple, two().decisions.sample(np.random.default_rng(1), 12).tolist()):
        assert (
            readings.of((genes,))
            == readings.of((genes, genes))
            == touched(readings.names, [planner.specialiser(genes)])
        )


@pytest.mark.parametrize("sample", [SINGLE, SANDWICH], ids=lambda s: s.name)
@pytest.mark.parametrize("optimizer", [ADAMW, SGD], ids=lambda o: o.name)
def test_what_is_not_read_stays(optimizer: Chosen, sample: Chosen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, weights and optimiser state, between the runs of an axis too; and all that is read moves."""
    shared = trained(optimizer=optimizer, sample=sample)
    drawn = two().decisions.sample(np.random.default_rng(0), 12).tolist()
    for one, other in zip(drawn[::2], drawn[1::2], strict=True):
        monkeypatch.setattr(shared, "architectures", lambda step, chosen=(one, other): [tuple(g) for g in chosen])
        read = torch.zeros_like(shared.store.flat)
        for genes in (one, other):
            for live in shared.planner.specialiser(tuple(genes)):
                for weight, runs in live.entry.weights:
                    place = shared.store.places[f"{shared.readings.names[live.node]}.{weight}"]
                    part = read[place.offset : place.offset + math.prod(place.size)].view(place.size)
                    grid = np.ix_(*(np.concatenate([np.arange(s, s + n) for s, n in several]) for several in runs))
                    part[grid] = 1
        before = [t.clone() for t in (shared.store.flat, shared.optimizer.first, shared.optimizer.second)]
        shared.done = 2
        shared.step()
        after = (shared.store.flat, shared.optimizer.first, shared.optimizer.second)
        for old, new in zip(before, after, strict=True):
            assert torch.equal(old[read == 0], new[read == 0])
        assert (before[0] != after[0])[read == 1].float().mean() > 0.9


def test_boxes_are_disjoint_and_exact() -> None:
    """Against a mask, for random readings with several runs on an axis."""
    rng = np.random.default_rng(5)
    for _ in range(200):
        readings = tuple(tuple(runs(rng, size) for size in (7, 6)) for _ in range(rng.integers(1, 4)))
        wanted, found = np.zeros((7, 6), int), np.zeros((7, 6), int)
        for reading in readings:
            wanted[np.ix_(*(np.concatenate([np.arange(s, s + n) for s, n in axis]) for axis in reading))] = 1
        for (s, n), (t, m) in boxes(readings):
            found[s : s + n, t : t + m] += 1
        assert (found == wanted).all()


def runs(rng: np.random.Generator, size: int) -> tuple[tuple[int, int], ...]:
    """One or two runs within an axis."""
    cuts = sorted(rng.choice(size + 1, int(rng.choice([2, 4])), replace=False).tolist())
    return tuple((a, b - a) for a, b in zip(cuts[::2], cuts[1::2], strict=True))


def test_one_cycle() -> None:
    rates = [one_cycle(step, 100, 0.5) for step in range(100)]
    assert rates.index(max(rates)) == 10
    assert max(rates) == 0.5
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.001
    assert one_cycle(0, 1, 0.5) > 0


# training


def test_sandwich() -> None:
    """The largest first, the smallest last, random ones between; each meets the constraints of the space."""
    shared, decisions = trainer(sample=SANDWICH), two().decisions
    seen = set()
    for step in range(20):
        chosen = shared.architectures(step)
        assert len(chosen) == 4
        assert (chosen[0], chosen[-1]) == (decisions.largest(), decisions.smallest())
        assert decisions.feasible(np.array(chosen, np.int16)).all()
        seen |= set(chosen[1:-1])
    assert len(seen) > 20
    assert len(trainer(sample=Chosen("sandwich", {"random": 0, "distill": False})).architectures(0)) == 2


def test_single_covers_the_space() -> None:
    shared = trainer()
    drawn = [shared.architectures(step) for step in range(300)]
    assert all(len(chosen) == 1 for chosen in drawn)
    assert two().decisions.feasible(np.array([c[0] for c in drawn], np.int16)).all()
    assert len({c[0] for c in drawn}) > 100


@pytest.mark.parametrize("sample", [SINGLE, SANDWICH], ids=lambda s: s.name)
@pytest.mark.parametrize("optimizer", [ADAMW, SGD], ids=lambda o: o.name)
def test_resumed_training_is_the_same(tmp_path: Path, optimizer: Chosen, sample: Chosen) -> None:
    def stop(state: steps.Step) -> None:
        if state.step == 3:
            raise KeyboardInterrupt

    chosen: dict[str, Any] = {"optimizer": optimizer, "sample": sample}
    with pytest.raises(KeyboardInterrupt):
        trainer(**chosen).run(tmp_path / "c", stop)
    resumed = trainer(**chosen)
    resumed.run(tmp_path / "c")
    assert same(resumed, trained(**chosen))
    assert same(resumed, trained(**chosen))


def test_dropout_resumes_too(tmp_path: Path) -> None:
    space = compile_text(DROPOUT)

    def stop(state: steps.Step) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer(space).run(tmp_path / "c", stop)
    torch.manual_seed(99)
    resumed, whole = trainer(space), trainer(space)
    resumed.run(tmp_path / "c")
    whole.run()
    assert same(resumed, whole)


def test_interrupt_within_an_update(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half an update is never kept: the last checkpoint stands."""
    monkeypatch.setattr(checkpoint, "SAVE_EVERY", 0.0)
    shared = trainer()
    fused = torch._fused_adamw_

    def interrupted(*args: Any, **options: Any) -> None:
        if shared.done == 3:
            raise KeyboardInterrupt
        fused(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "_fused_adamw_", interrupted)
        with pytest.raises(KeyboardInterrupt):
            shared.run(tmp_path / "c")
    assert checkpoint.load(tmp_path / "c")["step"] == 3
    resumed = trainer()
    resumed.run(tmp_path / "c")
    assert same(resumed, trained())


def test_checkpoint_of_another_training(tmp_path: Path) -> None:
    trainer().run(tmp_path / "c")
    for other in (trainer(steps=6), trainer(optimizer=SGD), trainer(compile_text(DROPOUT))):
        with pytest.raises(checkpoint.CheckpointError, match="use another study"):
            other.run(tmp_path / "c")


def test_divergence_is_said(tmp_path: Path) -> None:
    """In one line; the checkpoint is the last that was sound."""
    wild = Chosen("sgd", {"lr": 1e30, "momentum": 0.9, "weight_decay": 0.0})
    with pytest.raises(RunError, match="training diverged: the loss of step"):
        trainer(optimizer=wild).run(tmp_path / "c")
    assert 0 < checkpoint.load(tmp_path / "c")["step"] < 5
    with pytest.raises(RunError, match="training diverged"):
        train_network(extract(two().graph, None, two().decisions.largest()), settings(optimizer=wild), data(), CPU)


# files


def test_checkpoint(tmp_path: Path) -> None:
    """Any flipped byte and any missing tail is noticed; nothing is left beside."""
    path = tmp_path / "c"
    checkpoint.save(path, {"step": 3, "store": torch.arange(5.0)})
    assert torch.equal(checkpoint.load(path)["store"], torch.arange(5.0))
    assert [p.name for p in tmp_path.iterdir()] == ["c"]
    whole = path.read_bytes()
    for place in {*range(120), *range(0, len(whole), 37), len(whole) - 1}:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(checkpoint.CheckpointError):
            checkpoint.load(path)
        path.write_bytes(whole[:place])
        with pytest.raises(checkpoint.CheckpointError):
            checkpoint.load(path)


def test_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = files.write(tmp_path / "a" / "b", "old")
    for failing in ("os.fsync", "os.replace"):
        with monkeypatch.context() as patch:
            patch.setattr(failing, full)
            with pytest.raises(OSError, match="No space"):
                files.write(path, "new")
        assert path.read_text() == "old"
        assert [p.name for p in path.parent.iterdir()] == ["b"]
    with pytest.raises(ZeroDivisionError):
        files.write_by(path, lambda aside: aside.write_text("half") / 0)
    assert path.read_text() == "old"


def test_weights(tmp_path: Path) -> None:
    """Equal weights are equal files; damage is noticed, and weights of another network are refused."""
    state = {"a": torch.arange(6.0).view(2, 3).t(), "b": torch.ones(2)}
    notes = {f"note {i}": str(i) for i in range(8)}
    path = save_weights(tmp_path / "w.safetensors", state, notes)
    assert all(torch.equal(value, state[name]) for name, value in load_weights(path).items())
    whole = path.read_bytes()
    assert all(save_weights(path, state, notes).read_bytes() == whole for _ in range(5))
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ValueError, match="damaged"):
        load_weights(path)
    (tmp_path / "manifest.json").unlink()
    path.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match="no safetensors"):
        load_weights(path)


def test_weights_of_another_network(tmp_path: Path) -> None:
    narrow, wide = (compile_text(DROPOUT.replace("width in {4, 8}", f"width = {w}")) for w in (4, 8))
    path = save_weights(tmp_path / "w.safetensors", network_of(narrow).state_dict(), {})
    network_of(narrow, path)
    with pytest.raises(ValueError, match="holds another network"):
        network_of(wide, path)


# evaluation


def test_mean_iou() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, (4, 6, 6))
    labels[labels == 4] = 255
    logits = rng.normal(size=(4, 5, 6, 6)).astype(np.float32)
    logits[:, 4] = -9
    metric = MeanIoU(5, 255, CPU)
    for half in (slice(0, 3), slice(3, 4)):
        metric.add(torch.from_numpy(logits[half]), torch.from_numpy(labels[half]))
    scored, predicted = labels != 255, logits.argmax(1)
    each = []
    for k in range(4):
        inside = int(((predicted == k) & (labels == k) & scored).sum())
        each.append(inside / int((((predicted == k) | (labels == k)) & scored).sum()))
    assert metric.value() == pytest.approx(float(np.mean(each)), abs=1e-12)


def test_mean_iou_at_its_ends() -> None:
    labels = torch.tensor([[[0, 1], [255, 255]]])
    right = torch.nn.functional.one_hot(labels % 255, 3).permute(0, 3, 1, 2).float()
    perfect, nothing, broken = (MeanIoU(3, 255, CPU) for _ in range(3))
    perfect.add(right, labels)
    assert perfect.value() == 1
    nothing.add(right, torch.full_like(labels, 255))
    assert nothing.value() == 0
    broken.add(right * math.nan, labels)
    assert math.isnan(broken.value())


def test_recalibration() -> None:
    """Statistics are the mean over batches of each batch's mean and unbiased variance; renewed, not continued."""
    store = Store(two().graph, 0)
    plan = Planner(two().graph, store)(two().decisions.largest())
    for _ in range(2):
        recalibrate(plan, data(), batch=8)
    stem = next(n.name for n in two().graph.nodes if n.name in plan.statistics)
    source = next(n for n in two().graph.nodes if f"{n.name}.weight" in store.places)
    batches = [x for x, _ in data().chunks(8)]
    assert len(batches) == 3
    outs = [torch.conv2d(x, store.tensor(f"{source.name}.weight"), stride=2, padding=1) for x in batches]
    mean, var = plan.statistics[stem]
    torch.testing.assert_close(mean, torch.stack([y.mean((0, 2, 3)) for y in outs]).mean(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(var, torch.stack([y.var((0, 2, 3)) for y in outs]).mean(0), rtol=1e-5, atol=1e-6)


def test_broken_weights_are_no_network() -> None:
    store = Store(two().graph, 0)
    plan = Planner(two().graph, store)(two().decisions.largest())
    assert math.isfinite(plan_miou(plan, data()))
    store.flat.fill_(math.nan)
    assert math.isnan(plan_miou(plan, data()))


def test_failed_candidates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NaN and exceptions are recorded with their reason, and never in the front."""
    calls = iter(range(100))

    def measured(*_: object) -> float:
        call = next(calls)
        if call % 3 == 1:
            raise MemoryError("no room")
        return math.nan if call % 3 == 0 else call / 100

    one = one_by_one(lambda _: [measured()])
    monkeypatch.setattr(Evaluator, "__call__", lambda _, genomes: one(genomes))
    monkeypatch.setattr(searching, "examples", lambda *_: data())
    found = searching.search(two(), tmp_path, CPU, searching.Listener())
    assert (found.front.evaluated, found.front.failed) == (15, 10)
    rows = read(tmp_path / "study.sqlite")[1]
    assert [row.evaluation.error for row in rows] == ["miou is nan", "out of memory: no room", None] * 5
    good = {row.genome for row in rows if row.evaluation.error is None}
    assert {m.genome for m in found.front.members} <= good
    assert found.front.members


def test_inputs_are_normalised() -> None:
    x = normalise(torch.tensor([0, 255], dtype=torch.uint8))
    assert x.tolist() == [-2, 2]


# devices


@pytest.mark.parametrize("name", ["cuda:7", "cdua", "", "meta"])
def test_unknown_device(name: str) -> None:
    with pytest.raises(ValueError, match=f"no device `{name}` here; there is cpu"):
        device.pick(name)


def test_devices() -> None:
    assert device.pick("cpu") == CPU
    assert device.pick().type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert device.describe(CPU).startswith("CPU, ")
