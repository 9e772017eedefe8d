"""Pruning as users run it: budgets, resumption, results on disk, errors, spaces and fixed networks."""

import contextlib
import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hrdsl.cli.main import main
from hrdsl.compiler.api import compile_file
from hrdsl.compiler.module import extract
from hrdsl.compiler.placed import placed
from hrdsl.runtime import checkpoint
from hrdsl.runtime.evaluate import network_miou
from hrdsl.runtime.faults import RunError
from hrdsl.runtime.pruning.block import job_of
from hrdsl.runtime.pruning.choose import Queue, Unreachable, enough, permitted
from hrdsl.runtime.pruning.limits import Limits
from hrdsl.runtime.pruning.pruning import Listener, Pruned, prune, trainer_of
from hrdsl.runtime.pruning.schedule import removals
from hrdsl.runtime.pruning.shrink import Remaining
from hrdsl.runtime.results import load_weights, network_of, save_weights
from hrdsl.runtime.steps import Step
from hrdsl.runtime.task import examples

SPACE = """hrdsl 1

use std.fusion
use std.hrnas

## Two branches with two kernels and tokens each: 25 groups of units.
space s {
  input = [3, 16, 16]
  block = hrnas.searching_block(
    kernels = [3, 5],
    where = "identity",
    transformer = hrnas.lightweight_transformer(most = 4, side = 4),
  )
  stem = conv(3, width = 8, stride = 2) -> bn -> relu
  enter = hrnas.enter
  cell = block
  fuse = hrnas.exchange
  branch a at 1/2 { width = 8 }
  branch b at 1/4 { width = 8 }
  stage s1 on a {}
  stage s2 on a, b {}
  head = fusion.concat_up -> conv(kernel in {1, 3}, width = 11)
}

train t for s {
  images = 32
  steps = 16
  batch = 4
  ema = 9/10
  clip = 5
}

search shrink for s {
  strategy = prune(to = [7/10, 1/2, 3/10], every = 2)
  validate = 16
  recalibrate = 16
}
"""
WIDTHS = """hrdsl 1

use std.fusion

space s {
  input = [3, 16, 16]
  stem = conv(3, width = 8, stride = 2)
  branch fine at 1/2 { width in 1..16 }
  branch coarse at 1/4 { width in 8..32 step 4 }
  stage s1 on fine { cell = conv(3) -> bn -> relu }
  stage s2 on fine, coarse {
    cell = conv(3, width in 1..24) -> bn -> relu -> conv(1) -> bn -> relu
    fuse = fusion.exchange
  }
  head = fusion.concat_up -> conv(1, width = 11)
}

train t for s {
  images = 32
  steps = 8
  batch = 4
}

search shrink for s {
  strategy = prune(every = 2)
  validate = 16
  recalibrate = 16
}
"""
FIXED = """hrdsl 1

use std.blocks

space net {
  input = [3, 16, 16]
  stem = conv(3, width = 16, stride = 2) -> bn -> relu
  branch a at 1/2 { width = 16 }
  stage s1 on a {
    cell = blocks.residual
    times = 2
  }
  head = conv(1, width = 11, bias = true)
}

train t for net {
  images = 32
  steps = 8
  batch = 4
}
"""
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def written(folder: Path, text: str, *changes: tuple[str, str]) -> Path:
    """A text with changes as a file; each has to change something."""
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "s.arch").write_text(text)
    return folder / "s.arch"


def run(file: Path, folder: Path, cache: Path, listen: Listener | None = None) -> Pruned:
    """The search of a file."""
    space = compile_file(file)
    job = job_of(space, folder, CPU, cache=cache)
    return prune(job, folder, CPU, listen or Listener(), cache)


def command(*words: object) -> tuple[int, dict[str, Any], str]:
    """One command with --json: its status, its object and what it said to people."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([*map(str, words), "--json"])
    return status, json.loads(out.getvalue()), err.getvalue()


def content(folder: Path) -> dict[str, Any]:
    """All that a pruning decides: its last state, and what lies in `front`."""
    state = checkpoint.load(folder / "pruning.ckpt")
    tensors = {k: v for k, v in state.items() if isinstance(v, torch.Tensor)}
    files = {p.name: p.read_bytes() for p in (folder / "front").iterdir() if p.name != "report.html"}
    return {
        "step": state["step"],
        "pruned": state["pruned"],
        "tensors": {k: v.numpy().tobytes() for k, v in tensors.items()},
        "files": files,
    }


# a search that prunes ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> tuple[Path, dict[str, Any], str]:
    folder = tmp_path_factory.mktemp("study")
    file = written(folder, SPACE)
    status, data, said = command("search", file, "--study", folder / "st", "--cache", cache, "--device", "cpu")
    assert status == 0
    return folder, data, said


def test_budgets_are_met(study: tuple[Path, dict[str, Any], str]) -> None:
    _, data, said = study
    full = data["full"]
    assert data["budgets"] == pytest.approx([0.7 * full, 0.5 * full, 0.3 * full])
    assert [n["name"] for n in data["front"]] == ["net-01", "net-02", "net-03"]
    for network, budget in zip(data["front"], reversed(data["budgets"]), strict=True):
        assert 0.98 * budget <= network["macs"] <= budget
    assert [k["decision"] for k in data["kept"]] == ["head.conv.kernel"]
    assert "head.conv.kernel" in said and "s.arch:22:" in said


def test_results_are_what_was_found(study: tuple[Path, dict[str, Any], str], cache: Path) -> None:
    """Texts compile to networks of the reported costs; with the saved weights they have the reported miou, and they are what the
    space computes with the pruned store."""
    folder, data, _ = study
    space = compile_file(folder / "s.arch")
    validation = examples("digits.scenes", "val", 16, 16, CPU, cache)
    for entry in data["front"]:
        found = compile_file(Path(entry["path"]))
        assert not found.graph.decisions
        assert found.costs.one(()) == {k: entry[k] for k in ("macs", "parameters", "peak_activation_bytes")}
        network = network_of(found, Path(entry["weights"]))
        assert network_miou(network, validation) == entry["miou"]
        genes = placed(space.graph, found.graph)
        assert genes is not None and space.decisions.labels(genes) == entry["choices"]
        assert Path(entry["picture"]).exists()


def test_history_and_report(study: tuple[Path, dict[str, Any], str]) -> None:
    _, data, _ = study
    history = json.loads(Path(data["history"]).read_text())
    assert {g["kernel"] for g in history["groups"]} == {"3x3", "5x5", "tokens"}
    assert {g["branch"] for g in history["groups"]} == {"a", "b"}
    counts = [[g["units"] for g in history["groups"]], *(e["units"] for e in history["events"])]
    for before, after, event in zip(counts, counts[1:], history["events"], strict=False):
        assert all(a >= b for a, b in zip(before, after, strict=True))
        assert sum(before) - sum(after) == event["removed"]
    assert [len(u) for u in history["left"]] == counts[-1]
    assert [n["name"] for n in history["networks"]] == ["net-03", "net-02", "net-01"]
    page = Path(data["report"]).read_text()
    assert page.count('type="radio"') == min(6, len(counts)) and 'src="data:' in page
    assert not re.search(r'(src|href)="(?!data:)', page)


# interruption ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A smaller space, and what it is pruned to."""
    folder = tmp_path_factory.mktemp("small")
    file = written(
        folder, WIDTHS, ("every = 2", "every = 1, to = [7/10, 1/2, 3/10]"), ("batch = 4", "batch = 4\n  ema = 9/10")
    )
    run(file, folder / "st", cache)
    return folder


def test_goes_on_from_every_step(small: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever checkpoint is left, the same units go at the same steps, and all files are the same to the last bit."""
    monkeypatch.setattr(checkpoint, "SAVE_EVERY", -1.0)
    states: list[bytes] = []
    path = tmp_path / "whole" / "pruning.ckpt"

    def heard(step: Step) -> None:
        if path.exists():
            states.append(path.read_bytes())

    run(small / "s.arch", tmp_path / "whole", cache, Listener(training=heard))
    wanted = content(tmp_path / "whole")
    assert {k: v for k, v in content(small / "st").items() if k != "files"} == {
        k: v for k, v in wanted.items() if k != "files"
    }
    for k in range(1, len(states), 2):
        again = tmp_path / f"from {k}"
        again.mkdir()
        (again / "front").mkdir()
        for left in (tmp_path / "whole" / "front").iterdir():
            (again / "front" / left.name).write_bytes(left.read_bytes())
        (again / "pruning.ckpt").write_bytes(states[k])
        pruned = run(small / "s.arch", again, cache)
        assert content(again) == wanted
        assert [n.name for n in pruned.networks] == ["net-01", "net-02", "net-03"]


def test_the_same_command_finds_it_again(small: Path, cache: Path) -> None:
    before = content(small / "st")
    words = ("search", small / "s.arch", "--study", small / "st", "--cache", cache, "--device", "cpu")
    status, data, _ = command(*words)
    assert status == 0 and len(data["front"]) == 3
    after = content(small / "st")
    assert all(after["files"][name] == file for name, file in before.pop("files").items())
    assert {k: v for k, v in after.items() if k != "files"} == before
    status, _, said = command(*words, "--seed", 1)
    assert status == 2 and "another pruning" in said


@pytest.mark.parametrize("when", [1, 4, 7])
def test_interrupted(small: Path, tmp_path: Path, cache: Path, when: int) -> None:
    """An interrupt leaves a checkpoint, and the networks found before it are not lost."""

    def stop(step: Step) -> None:
        if step.step == when:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(small / "s.arch", tmp_path, cache, Listener(training=stop))
    assert checkpoint.load(tmp_path / "pruning.ckpt")["step"] == when
    pruned = run(small / "s.arch", tmp_path, cache)
    assert [n.name for n in pruned.networks] == ["net-01", "net-02", "net-03"]
    assert content(tmp_path)["tensors"] == content(small / "st")["tensors"]
    assert content(tmp_path)["pruned"] == content(small / "st")["pruned"]


@pytest.mark.parametrize("importance", ["taylor", "magnitude"])
def test_interrupted_with_other_settings(importance: str, tmp_path: Path, cache: Path) -> None:
    changes = (
        ("every = 2", f"every = 2, importance = {importance}"),
        ("batch = 4", "batch = 4\n  accumulate = 2\n  optimizer = sgd"),
    )
    file = written(tmp_path, WIDTHS, *changes)
    run(file, tmp_path / "whole", cache)

    def stop(step: Step) -> None:
        if step.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(file, tmp_path / "cut", cache, Listener(training=stop))
    run(file, tmp_path / "cut", cache)
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def test_interrupted_while_a_network_is_written(
    small: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The averages are out of the store again, and the network is written by the next run."""
    from hrdsl.runtime.pruning import pruning

    def stop(*args: object, **more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pruning, "write_network", stop)
        with pytest.raises(KeyboardInterrupt):
            run(small / "s.arch", tmp_path, cache)
    pruned = run(small / "s.arch", tmp_path, cache)
    assert [n.name for n in pruned.networks] == ["net-01", "net-02", "net-03"]
    assert content(tmp_path)["tensors"] == content(small / "st")["tensors"]


def test_killed(small: Path, tmp_path: Path, cache: Path) -> None:
    words = [
        "search",
        str(small / "s.arch"),
        "--study",
        str(tmp_path),
        "--cache",
        str(cache),
        "--device",
        "cpu",
        "--quiet",
    ]
    script = (
        "from hrdsl.runtime import checkpoint; checkpoint.SAVE_EVERY = -1.0\n"
        f"from hrdsl.cli.main import main; main({words!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", script], env=dict(os.environ))
    while not (tmp_path / "front" / "net-03.arch").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    status, data, _ = command(*words)
    assert status == 0 and len(data["front"]) == 3
    assert content(tmp_path)["tensors"] == content(small / "st")["tensors"]
    assert content(tmp_path)["pruned"] == content(small / "st")["pruned"]


# schedule and choice -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("budgets", [(50.0,), (80.0, 20.0), (100.0, 99.0, 98.0), (30.0, 29.0, 28.0), (100.0,)])
@pytest.mark.parametrize(("steps", "every", "warm", "tune"), [(100, 7, 0.25, 0.25), (9, 2, 0.0, 0.0), (3, 1, 0.0, 0.0)])
def test_schedule(budgets: Sequence[float], steps: int, every: int, warm: float, tune: float) -> None:
    found = removals(budgets, 100.0, steps, every, warm, tune)
    assert [budgets[r.budget] for r in found if r.budget is not None] == list(budgets)
    assert [r.wanted for r in found if r.budget is not None] == list(budgets)
    assert found[-1].budget == len(budgets) - 1
    assert all(a.wanted >= b.wanted and b.step - a.step == every for a, b in pairwise(found))
    assert 1 <= found[0].step and found[-1].step <= steps
    assert all(r.share == 1 for r in found if r.budget is not None)


def test_more_budgets_than_removals() -> None:
    with pytest.raises(RunError, match="3 budgets need as many removals, and 10 steps have 2"):
        removals((50.0, 40.0, 30.0), 100.0, 10, 4, 0.25, 0.25)


@pytest.mark.parametrize("multiple", [1, 4])
def test_as_few_units_as_the_cost_needs(multiple: int, tmp_path: Path) -> None:
    """Against a walk over all prefixes of the queue, with two costs and with something that always holds."""
    limits = Limits(compile_file(written(tmp_path, WIDTHS)))
    left, rng = Remaining(limits.groups, limits.genes), np.random.default_rng(0)
    macs, parameters = limits.cost("macs"), limits.cost("parameters")
    for _ in range(5):
        scores = [rng.random(n) for n in left.counts()]
        queue = Queue(left, scores, multiple=multiple)
        rows = np.array([queue.genome(k) for k in range(len(queue) + 1)], np.int16)
        most = float(macs(rows[-1:])[0]) * 1.7, float(parameters(rows[-1:])[0]) * 1.7
        fits = (macs(rows) <= most[0]) & (parameters(rows) <= most[1])
        assert enough(queue, [(macs, most[0]), (parameters, most[1])]) == int(np.argmax(fits))
        with pytest.raises(Unreachable) as fault:
            enough(queue, [(macs, 1e9), (parameters, 3.0)])
        assert (fault.value.which, fault.value.lowest) == (1, float(parameters(rows[-1:])[0]))
        fine, least = limits.groups[0].decision.index, {1: 9, 4: 12}[multiple]

        def wide(genome: Sequence[int], fine: int = fine) -> bool:
            return genome[fine] + 1 >= 9

        queue = Queue(left, scores, multiple=multiple)
        genome = queue.genome(permitted(queue, partial(enough, wants=[(macs, most[0] * 2.6)]), wide))
        assert genome[fine] + 1 >= least and float(macs(np.array([genome], np.int16))[0]) <= most[0] * 2.6


@pytest.mark.parametrize("multiple", [1, 3, 8])
def test_blocks(multiple: int, tmp_path: Path) -> None:
    """Against blocks made one by one: groups are left with multiples or with the fewest, and nothing goes before what matters less."""
    limits = Limits(compile_file(written(tmp_path, WIDTHS)))
    left, rng = Remaining(limits.groups, limits.genes), np.random.default_rng(multiple)
    scores = [rng.random(n) for n in left.counts()]
    queue = Queue(left, scores, keep=0.2, multiple=multiple)
    blocks: list[tuple[float, int, set[int]]] = []
    for k, (each, score) in enumerate(zip(left.left, scores, strict=True)):
        values = each.group.decision.values
        several = multiple // math.gcd(multiple, int(values[1]) - int(values[0]))
        rest, stay = score.argsort().tolist(), max(each.group.least, math.ceil(each.group.count / 5))
        while len(rest) > stay:
            count = max(stay, (len(rest) - 1) // several * several)
            gone, rest = rest[: len(rest) - count], rest[len(rest) - count :]
            blocks.append((float(score[gone].mean()), k, set(gone)))
    blocks.sort(key=lambda block: block[:1])
    for first in range(len(queue) + 1):
        dead = queue.dead(first)
        assert sum(len(units) for _, _, units in blocks[:first]) == sum(int(m.sum()) for m in dead.values())
        assert all(dead[k][[*units]].all() for _, k, units in blocks[:first])
        counts = [n - int(dead[k].sum()) if k in dead else n for k, n in enumerate(left.counts())]
        assert queue.genome(first) == left.genome_with(counts)
        gone_values = [scores[k][u] for _, k, units in blocks[:first] for u in units]
        assert sorted(queue.values(first).tolist()) == sorted(gone_values)
    assert len(queue) == len(blocks)


def test_what_has_faded_goes(tmp_path: Path, cache: Path) -> None:
    """Every third factor is small in weights and averages, others in one of them only: those of the first kind go."""
    rule = ("to = [7/10, 1/2, 3/10]", "rule = faded, strength = 1/100")
    job = job_of(compile_file(written(tmp_path, SPACE, rule)), tmp_path, CPU, cache=cache)
    trainer = trainer_of(Limits(job.compiled), job, examples("digits.scenes", "train", 32, 16, CPU, cache), CPU)
    assert trainer.average is not None
    before, wanted = trainer.left.counts(), []
    with torch.no_grad():
        for each in trainer.left.left:
            units = np.arange(len(each))
            for piece in (*each.group.factors, *each.group.offsets) or each.group.slices:
                place = trainer.store.places[piece.weight]
                for flat, small in ((trainer.store.flat, units % 3 < 2), (trainer.average.flat, units % 3 != 1)):
                    whole = place.whole(flat).fill_(0.5)
                    whole.index_fill_(piece.axis, torch.from_numpy(piece.rows[small].reshape(-1)), 1e-5)
            wanted.append(len(each) - min(len(each) - each.group.least, len(units[::3])))
    prices, strength = list(trainer.prices), trainer.strength
    trainer.done = min(trainer.removals)
    trainer.remove()
    assert before != wanted == trainer.left.counts()
    assert (trainer.prices, trainer.strength) == (prices, strength)


def test_the_pull_does_not_outgrow_the_task(tmp_path: Path, cache: Path) -> None:
    """Factors that have not faded make it stronger, up to ten times of what is declared."""
    job = job_of(compile_file(written(tmp_path, SPACE)), tmp_path, CPU, cache=cache)
    trainer = trainer_of(Limits(job.compiled), job, examples("digits.scenes", "train", 32, 16, CPU, cache), CPU)
    trainer.done, declared = min(trainer.removals), trainer.strength
    trainer.strength *= 9
    trainer.remove()
    assert trainer.events[-1].forced == trainer.events[-1].removed > 0
    assert trainer.strength == 10 * declared


# averages ----------------------------------------------------------------------------------------------------------


def test_averages_follow_and_count(small: Path, tmp_path: Path, cache: Path) -> None:
    """Averages change places with their weights; a unit matters as much as the more important of the two says."""
    found: list[Pruned] = []
    run(small / "s.arch", tmp_path, cache, Listener(begun=found.append))
    trainer = found[0].trainer
    average = trainer.average
    assert average is not None
    with torch.no_grad():
        average.flat.copy_(2 * trainer.store.flat)
        single = trainer._scores(trainer.store.flat)
    assert all(np.allclose(a, 2 * b.numpy()) for a, b in zip(trainer.importance(), single, strict=True))
    with torch.no_grad():
        average.flat.zero_()
    assert all(np.allclose(a, b.numpy()) for a, b in zip(trainer.importance(), single, strict=True))
    average.flat.copy_(2 * trainer.store.flat)
    dead = {0: np.arange(len(trainer.left.left[0])) < 1}
    before = trainer.store.flat.clone()
    trainer.left.remove(dead, trainer.store.places, trainer._flats())
    assert not torch.equal(before, trainer.store.flat) or len(trainer.left.left[0]) == 0
    assert torch.equal(average.flat, 2 * trainer.store.flat)


# constraints -------------------------------------------------------------------------------------------------------


def test_constraints_hold(tmp_path: Path, cache: Path) -> None:
    """A limit is a budget, another cost is kept too, and what is required of widths holds at every step."""
    file = written(
        tmp_path,
        WIDTHS,
        ("  validate", "  require macs <= 300k and 9k >= parameters\n  require fine.width >= 8\n  validate"),
    )
    pruned = run(file, tmp_path / "st", cache)
    (network,) = pruned.networks
    assert network.costs["macs"] <= 300_000 and network.costs["parameters"] <= 9_000
    assert network.costs["macs"] > 250_000 or network.costs["parameters"] > 8_000
    widths = [g.path for g in (each.group for each in pruned.trainer.left.left)]
    place = widths.index("fine.width")
    assert min(e.counts[place] for e in pruned.trainer.events) >= 8


def test_latency_from_a_table(tmp_path: Path, cache: Path) -> None:
    """As what budgets are of, and as a limit on the side."""
    table = "latency = table(seconds = 0, works = 30, correct = 2, hold = 2)"
    more = f"  require latency_ms <= 10_000\n  {table}\n  validate"
    pruned = run(written(tmp_path, WIDTHS, ("  validate", more)), tmp_path / "side", cache)
    assert pruned.trainer.spent() <= pruned.trainer.full / 2
    changes = ("every = 2", "every = 2, to = [9/10], cost = latency_ms"), ("  validate", f"  {table}\n  validate")
    pruned = run(written(tmp_path, WIDTHS, *changes), tmp_path / "main", cache)
    (network,) = pruned.networks
    assert network.values["latency_ms"] <= 0.9 * pruned.trainer.full
    changes = changes[0], ("  validate", "  latency = measured()\n  validate")
    with pytest.raises(RunError, match="latency = table"):
        run(written(tmp_path, WIDTHS, *changes), tmp_path / "no", cache)


def test_a_share_of_each_group_stays(tmp_path: Path, cache: Path) -> None:
    file = written(tmp_path, WIDTHS, ("every = 2", "to = [1/2], every = 2, keep = 1/4"))
    trainer = run(file, tmp_path / "st", cache).trainer
    assert all(4 * left >= start for left, start in zip(trainer.left.counts(), trainer.start, strict=True))
    assert trainer.spent() <= trainer.full / 2


def test_shares_are_within_limits(tmp_path: Path) -> None:
    text = written(tmp_path, WIDTHS, ("  validate", "  require macs < 200k\n  validate"))
    limits = Limits(compile_file(text).restricted("shrink"))
    full = float(limits.cost("macs")(np.array([limits.genes], np.int16))[0])
    assert limits.budgets("macs", ()) == (np.nextafter(200_000, 0),)
    assert limits.budgets("macs", (1, 0)) == (np.nextafter(200_000, 0), 0.0)
    assert limits.budgets("parameters", ())[0] * 2 == limits.cost("parameters")(np.array([limits.genes], np.int16))[0]
    assert full > 200_000


# errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([("  validate", "  require macs <= 1k\n  validate")], ["E509", "s.arch:26:11", "ask for that much"]),
        (
            [("  validate", "  require macs <= 60k\n  require fine.width >= 16\n  validate")],
            ["E509", "s.arch:26:11", "27 |   require fine.width >= 16", "this has to hold too"],
        ),
        ([("every = 2", "every = 2, to = [1/2, 1/3, 1/4, 1/5]")], ["4 budgets need as many removals"]),
        (
            [("in 1..16", "in {1, 3, 16}"), ("in 8..32 step 4", "in {1, 16}"), ("width in 1..24", "width = 24")],
            ["E508", "s.arch:5:1", "`fine.width`", "`coarse.width`"],
        ),
        ([("every = 2", "every = 2, rule = faded, to = [1/2]")], ["E501", "`rule`", "whatever is left costs"]),
        ([("every = 2", "every = 2, rule = faded, importance = taylor")], ["E501", "factors tell what goes"]),
        ([("  validate", "  race = paired()\n  validate")], ["E501", "leave out `race`"]),
        ([("every = 2", "every = 2, warm = 3/4, tune = 1/2")], ["E501", "warm", "tune"]),
    ],
)
def test_errors(changes: list[tuple[str, str]], said: list[str], tmp_path: Path, cache: Path) -> None:
    file = written(tmp_path, WIDTHS, *changes)
    status, _, words = command("search", file, "--study", tmp_path / "st", "--cache", cache, "--device", "cpu")
    assert status in (1, 2)
    assert [s for s in said if s not in words] == [], words
    assert not (tmp_path / "st" / "pruning.ckpt").exists()


def test_a_comparison_of_searches_needs_candidates(tmp_path: Path, cache: Path) -> None:
    words = ("study", "compare", written(tmp_path, WIDTHS), "--study", tmp_path / "st", "--cache", cache)
    status, _, said = command(*words)
    assert status == 2 and "`search shrink` has no candidates" in said


@pytest.mark.parametrize("cost", ["parameters", "peak_activation_bytes"])
def test_other_costs(cost: str, tmp_path: Path, cache: Path) -> None:
    file = written(tmp_path, WIDTHS)
    words = ("--to", "60%", "--cost", cost, "--every", 1, "--cache", cache, "--device", "cpu")
    status, data, _ = command("prune", file, "--study", tmp_path / "st", *words)
    assert status == 0 and 0.8 * 0.6 * data["full"] <= data["front"][0][cost] <= 0.6 * data["full"]
    assert not np.isnan(json.loads(Path(data["history"]).read_text())["events"][-1]["strength"])


@pytest.mark.parametrize("option", [("--workers", 2), ("--from", "x.arch"), ("--convention", "hrvit-paper")])
def test_options_that_do_not_go_with_it(option: tuple[object, ...], tmp_path: Path) -> None:
    file = written(tmp_path, WIDTHS)
    status, _, words = command("search", file, "--study", tmp_path / "st", *option)
    assert status == 2 and f"{option[0]} does not go with" in words


# fixed networks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("importance", ["factors", "magnitude", "taylor"])
def test_a_fixed_network(importance: str, tmp_path: Path, cache: Path) -> None:
    """Opened, begun with weights, pruned to two shares: flat texts that compile to what was measured."""
    file = written(tmp_path, FIXED)
    first = extract(compile_file(file).graph, None, (), seed=3)
    weights = save_weights(tmp_path / "first.safetensors", first.state_dict(), {})
    words = ["prune", file, "--study", tmp_path / "st", "--cache", cache, "--device", "cpu", "--weights", weights]
    words += ["--to", "3/4", "--to", "50%", "--every", 1, "--importance", importance]
    status, data, _ = command(*words)
    assert status == 0
    full = compile_file(file).costs.one(())["macs"]
    assert data["full"] == full and data["budgets"] == [0.75 * full, 0.5 * full]
    for entry, share in zip(data["front"], (0.5, 0.75), strict=True):
        assert 0.9 * share * full <= entry["macs"] <= share * full
        found = compile_file(Path(entry["path"]))
        assert found.costs.one(())["macs"] == entry["macs"]
        block = found.run("train")
        assert block is not None and block.settings["images"] == 32
        network = network_of(found, Path(entry["weights"]))
        assert network_miou(network, examples("digits.scenes", "val", 200, 16, CPU, cache)) == entry["miou"]
        assert set(network.state_dict()) == set(load_weights(Path(entry["weights"])))


def test_weights_are_for_fixed_networks(tmp_path: Path, cache: Path) -> None:
    file = written(tmp_path, WIDTHS)
    status, _, said = command("prune", file, "--study", tmp_path / "st", "--cache", cache, "--weights", "x.safetensors")
    assert status == 2 and "only a network without any begins with weights" in said


@pytest.mark.parametrize("text", ["1/0", "0", "1", "101%", "many"])
def test_shares(text: str, tmp_path: Path) -> None:
    status, _, said = command("prune", written(tmp_path, FIXED), "--study", tmp_path / "st", "--to", text)
    assert status == 2 and f"not `{text}`" in said


def test_a_fixed_network_with_a_search_block(tmp_path: Path, cache: Path) -> None:
    block = "search q for net {\n  strategy = prune(every = 1)\n  require macs <= 300k\n  validate = 16\n}\n"
    file = written(tmp_path, FIXED + block)
    status, data, _ = command("search", file, "--study", tmp_path / "st", "--cache", cache, "--device", "cpu")
    assert status == 0 and data["front"][0]["macs"] <= 300_000
