"""The settings of training, each against an independent truth: torch's optimisers and schedules, formulas, masks, digests."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import lr_scheduler
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hrdsl.compiler.module import extract
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.store import Store
from hrdsl.dsl.diagnostic import ArchError
from hrdsl.dsl.settings import Chosen
from hrdsl.runtime import checkpoint, steps
from hrdsl.runtime.distributed import Group
from hrdsl.runtime.faults import RunError
from hrdsl.runtime.retrain import train_network
from hrdsl.runtime.schedule import rate
from hrdsl.runtime.task import Examples, segmentation_loss
from hrdsl.runtime.train import SupernetTrainer

from .spaces import compile_text
from .test_runtime import ADAMW, SGD, data, two

SPACE = Path(__file__).parent / "tiny" / "two.arch"
CPU = torch.device("cpu")
SAME = Chosen("sandwich", {"operators": "same", "decay": "largest"})
OPTIONS: dict[str, dict[str, Any]] = {
    "sandwich": {"sample": SAME},
    "fair": {"sample": Chosen("fair", {})},
    "uniform": {"sample": Chosen("single", {"priors": False})},
    "widen": {"widen": 3},
    "cosine": {"schedule": Chosen("cosine", {"warm": 0.4})},
    "label_smoothing": {"label_smoothing": 0.1},
    "ema": {"ema": 0.9},
    "accumulate": {"accumulate": 2},
    "clip": {"clip": 0.1},
    "bfloat16": {"precision": "bfloat16"},
    "all": {"sample": SAME, "ema": 0.99, "accumulate": 4, "clip": 0.5, "label_smoothing": 0.1, "widen": 2},
}


def settings(**other: Any) -> dict[str, Any]:
    return {"optimizer": ADAMW, "steps": 6, "batch": 4, "seed": 1, **other}


def trainer(**other: Any) -> SupernetTrainer:
    return SupernetTrainer(two(), settings(**other), data(), CPU)


def trained(**other: Any) -> SupernetTrainer:
    done = trainer(**other)
    done.run()
    return done


def same(one: SupernetTrainer, other: SupernetTrainer) -> bool:
    """Bit for bit, what a checkpoint holds."""
    a, b = one.state(), other.state()
    tensors = [k for k in a if isinstance(a[k], Tensor)]
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in tensors)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_resumed_training_is_the_same(tmp_path: Path, options: dict[str, Any]) -> None:
    """Stopped twice, and with other random numbers drawn between."""
    for last in (2, 4):

        def stop(state: steps.Step, last: int = last) -> None:
            if state.step == last:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            trainer(**options).run(tmp_path / "c", stop)
        torch.manual_seed(last)
    resumed, whole = trainer(**options), trained(**options)
    resumed.run(tmp_path / "c")
    assert resumed.done == 6
    assert same(resumed, whole)
    assert torch.equal(resumed.store.flat, whole.store.flat)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("optimizer", [ADAMW, SGD], ids=lambda o: o.name)
def test_what_is_not_read_stays(optimizer: Chosen, options: dict[str, Any]) -> None:
    """Bit for bit: weights, states of the optimiser, averages; and all that is read moves."""
    shared = trainer(optimizer=optimizer, **options)
    for step in range(4):
        read = torch.zeros_like(shared.store.flat)
        for genes in shared.architectures(step):
            for live in shared.planner.specialiser(genes):
                for weight, runs in live.entry.weights:
                    place = shared.store.places[f"{shared.readings.names[live.node]}.{weight}"]
                    part = read[place.offset : place.offset + math.prod(place.size)].view(place.size)
                    part[np.ix_(*(np.concatenate([np.arange(s, s + n) for s, n in several]) for several in runs))] = 1
        before = [t.clone() for t in flats(shared)]
        shared.step()
        for old, new in zip(before, flats(shared), strict=True):
            assert torch.equal(old[read == 0], new[read == 0])
            assert (old != new)[read == 1].float().mean() > 0.9


def flats(shared: SupernetTrainer) -> list[Tensor]:
    own = [shared.store.flat, shared.optimizer.first, shared.optimizer.second]
    return own if shared.average is None else [*own, shared.average.flat]


ALIKE = ("cosine", "label_smoothing", "ema", "accumulate", "clip")


@pytest.mark.parametrize("optimizer", [ADAMW, SGD], ids=lambda o: o.name)
@pytest.mark.parametrize("name", ALIKE)
def test_one_architecture_is_one_network(monkeypatch: pytest.MonkeyPatch, optimizer: Chosen, name: str) -> None:
    """Trained in the store, and alone with its own weights by torch's optimisers, norms and averages."""
    genes = two().decisions.smallest()
    shared = trainer(optimizer=optimizer, **OPTIONS[name])
    monkeypatch.setattr(shared, "architectures", lambda step: [genes])
    network = extract(two().graph, shared.store, genes)
    shared.run()
    train_network(network, settings(optimizer=optimizer, **OPTIONS[name]), data(), CPU)
    mine = dict(extract(two().graph, shared.store, genes).named_parameters())
    for key, value in network.named_parameters():
        torch.testing.assert_close(mine[key], value, rtol=0, atol=2e-6)


# schedules


@pytest.mark.parametrize(
    ("name", "options", "make"),
    [
        ("cosine", {"warm": 0}, lambda o: lr_scheduler.CosineAnnealingLR(o, 40)),
        ("poly", {"warm": 0, "power": 0.9}, lambda o: lr_scheduler.PolynomialLR(o, 40, 0.9)),
        ("exponential", {"warm": 0, "factor": 0.9, "every": 3}, lambda o: lr_scheduler.StepLR(o, 3, 0.9)),
        ("exponential", {"warm": 0, "factor": 0.9, "every": 1}, lambda o: lr_scheduler.ExponentialLR(o, 0.9)),
        ("constant", {"warm": 0}, lambda o: lr_scheduler.ConstantLR(o, 1.0, 40)),
    ],
)
def test_schedules_are_those_of_torch(name: str, options: dict[str, float], make: Any) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    schedule = make(optimizer)
    for step in range(40):
        assert rate(name, options, step, 40, 0.5) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-5, abs=1e-9)
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("name", ["cosine", "exponential", "poly", "constant"])
def test_warm_up(name: str) -> None:
    """Linear to the peak, then as without, over the steps that are left."""
    options = {"factor": 0.9, "every": 3, "power": 0.9}
    rates = [rate(name, {**options, "warm": 0.25}, step, 40, 0.5) for step in range(40)]
    assert rates[:10] == pytest.approx([0.05 * k for k in range(1, 11)])
    assert rates[10:] == [rate(name, {**options, "warm": 0}, step, 30, 0.5) for step in range(30)]
    assert rate(name, {**options, "warm": 1}, 39, 40, 0.5) == 0.5


# losses, averages, parts, lengths


def test_label_smoothing() -> None:
    """Against its definition, over pixels that are not ignored, with the weights of the classes."""
    rng = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(2, 5, 4, 4, generator=rng), torch.randint(0, 5, (2, 4, 4), generator=rng)
    labels[0, 0] = 255
    weights = torch.tensor([0.3, 1, 1, 1, 1])
    kept = labels.flatten() != 255
    scores = logits.permute(0, 2, 3, 1).reshape(-1, 5).log_softmax(1)[kept]
    targets = 0.8 * F.one_hot(labels.flatten()[kept], 5) + 0.2 / 5
    wanted = -(targets * scores * weights).sum() / weights[labels.flatten()[kept]].sum()
    torch.testing.assert_close(segmentation_loss(logits, labels, weights, 255, 0.2), wanted)


def test_averages_by_their_formula() -> None:
    """Of the weights after each step, where a step changed them."""
    plain, averaged = trainer(), trainer(ema=0.5)
    average, changes = plain.store.flat.clone(), dict.fromkeys(plain.store.places, 0)
    for step in range(6):
        boxes = plain.readings.of(tuple(plain.architectures(step)))
        plain.step()
        for name, several in boxes.items():
            changes[name] += 1
            share = 1 - min(0.5, (1 + changes[name]) / (10 + changes[name]))
            place = plain.store.places[name]
            span = slice(place.offset, place.offset + math.prod(place.size))
            mine, new = average[span].view(place.size), plain.store.tensor(name)
            for box in several:
                cut = tuple(slice(s, s + n) for s, n in box)
                mine[cut] += share * (new[cut] - mine[cut])
    averaged.run()
    torch.testing.assert_close(averaged.store.flat, average)
    assert averaged.average is not None
    assert torch.equal(averaged.average.flat, plain.store.flat)


def test_checkpoints_hold_both(tmp_path: Path) -> None:
    """The weights that are trained, and their averages, which are evaluated; read again, and run again, nothing changes."""
    done, plain = trainer(ema=0.9), trained()
    done.run(tmp_path / "c")
    kept = checkpoint.load(tmp_path / "c")
    assert torch.equal(kept["store"], plain.store.flat)
    assert torch.equal(kept["average"], done.store.flat)
    again = trainer(ema=0.9)
    again.run(tmp_path / "c")
    for _ in range(2):
        assert torch.equal(again.store.flat, done.store.flat)
        assert same(again, done)
        again.run()


def test_parts_of_a_batch() -> None:
    """The gradient is the mean of those of its parts, each with statistics and dropout of its own."""
    shared, genes = trainer(accumulate=2), two().decisions.largest()
    boxes = shared.readings.of((genes,))
    loss = shared._gradients([genes], boxes)
    store = Store(two().graph, 1)
    plan, chosen, found = Planner(two().graph, store)(genes), steps.rows(1, 0, 24, 4), []
    for part in range(2):
        images, labels = data().batch(chosen[2 * part : 2 * part + 2])
        wanted = segmentation_loss(plan(images, "batch"), labels, torch.tensor([0.3] + [1.0] * 10), 255)
        wanted.backward()  # type: ignore[no-untyped-call]
        found.append(float(wanted.detach()))
    assert loss == pytest.approx(sum(found) / 2)
    torch.testing.assert_close(shared.store.gradient, store.gradient / 2)


def test_gradients_of_fair_are_summed() -> None:
    shared, mean = trainer(sample=Chosen("fair", {})), trainer(sample=SAME)
    genes = shared.architectures(0)
    boxes = shared.readings.of(tuple(genes))
    assert shared._gradients(genes, boxes) == mean._gradients(genes, boxes)
    torch.testing.assert_close(shared.store.gradient, mean.store.gradient * len(genes))


def test_long_gradients_are_clipped() -> None:
    """To the length asked for, over what the step read; what nobody read does not count."""
    shared = trainer()
    shared.step()
    boxes = shared.readings.of(tuple(shared.architectures(0)))
    shared.store.gradient += 1
    for longest in (1.0, 0.1):
        shared.optimizer.clip(boxes, longest)
        length = torch.cat([g.flatten() for g in shared.optimizer.gradients(boxes)]).norm()
        assert float(length) == pytest.approx(longest, rel=1e-4)
    short = [g.clone() for g in shared.optimizer.gradients(boxes)]
    shared.optimizer.clip(boxes, 5.0)
    assert all(torch.equal(a, b) for a, b in zip(short, shared.optimizer.gradients(boxes), strict=True))


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_decay_of_the_largest(name: str) -> None:
    """One step with and without decay differs exactly in the matrices that the largest reads."""
    lr = {"lr": 0.1, "momentum": 0.9} if name == "sgd" else {"lr": 0.1}
    sample = Chosen("sandwich", {"random": 3, "operators": "same", "decay": "largest"})
    with_decay, without = (
        trainer(sample=sample, optimizer=Chosen(name, {**lr, "weight_decay": decay}), clip=1) for decay in (0.5, 0.0)
    )
    boxes = with_decay.readings.of((with_decay.architectures(0)[0],))
    with_decay.step()
    without.step()
    expected = torch.zeros_like(with_decay.store.flat)
    for view in with_decay.optimizer.parameters(boxes):
        if view.dim() > 1:
            expected.as_strided(view.size(), view.stride(), view.storage_offset()).fill_(1)
    start = Store(two().graph, 1).flat
    changed = with_decay.store.flat != without.store.flat
    assert not changed[expected == 0].any()
    assert changed[(expected == 1) & (start.abs() > 1e-3)].all()


def test_bfloat16() -> None:
    """Products are rounded, weights are not."""
    found = {p: trained(precision=p) for p in ("auto", "float32", "bfloat16")}
    assert same(found["auto"], found["float32"])
    assert found["bfloat16"].store.flat.dtype == torch.float32
    assert not same(found["bfloat16"], found["float32"])
    gaps = (found["bfloat16"].store.flat - found["float32"].store.flat).abs()
    assert float(gaps.mean()) < 0.01


# memory


class Largest(TorchDispatchMode):
    """The numbers of the largest tensor that is made."""

    def __init__(self) -> None:
        super().__init__()
        self.found = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        known = {t.untyped_storage().data_ptr() for t in tensors((args, kwargs))}
        for made in tensors(out):
            if made.untyped_storage().data_ptr() not in known:
                self.found = max(self.found, made.untyped_storage().nbytes() // 4)
        return out


def tensors(tree: Any) -> Iterator[Tensor]:
    return (t for t in tree_leaves(tree) if isinstance(t, Tensor))


@pytest.mark.parametrize("name", ["all", "fair", "widen"])
def test_nothing_as_large_as_the_store_is_made(name: str) -> None:
    space = compile_text("""hrdsl 1

space s {
  input = [3, 4, 4]
  stem = conv(1, width = 64)
  branch main at 1/1 { width = 64 }
  stage a on main { cell in {one, two, three} }
  head = conv(1, width = 11)
}

cell one() { out = x -> conv(3, x.width) -> bn }
cell two() { out = x -> conv(3, x.width) -> relu }
cell three() { out = x -> conv(3, x.width) }
""")
    images, labels = data().images[:, :, :4, :4].contiguous(), data().labels[:, :4, :4].contiguous()
    shared = SupernetTrainer(space, settings(**OPTIONS[name]), Examples(images, labels, 11, 255), CPU)
    shared.step()
    with Largest() as largest:
        shared.step()
    assert 0 < largest.found < shared.store.flat.numel() / 2


# faults


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("batch = 8\n  accumulate = 3", "divide the batch of 8"),
        ("accumulate = 32", "divide the batch of 16"),
        ("batch = 10\n  accumulate = 4", "divide the batch of 10"),
        ("widen = 0", "at least 1"),
        ("ema = 2", "at most 1"),
        ("precision = float16", "one of `auto`, `float32`, `bfloat16`"),
        ("schedule = cosine(warm = 2)", "at most 1"),
    ],
)
def test_settings_that_cannot_be(line: str, words: str) -> None:
    with pytest.raises(ArchError) as fault:
        compile_text(SPACE.read_text().replace("steps = 6\n  batch = 8", line))
    (found,) = fault.value.found
    assert found.code == "E501"
    assert words in found.title


def test_a_batch_that_processes_cannot_share() -> None:
    shared = SupernetTrainer(two(), settings(batch=4), data(), CPU, Group(0, 3))
    with pytest.raises(RunError, match="a batch of 4 images has no 3 equal parts"):
        shared.step()
