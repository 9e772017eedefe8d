"""Generations evaluated together: the values of each candidate by itself, whatever the company; metrics and racing by definition."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hrdsl.compiler.api import Compiled, compile_file
from hrdsl.compiler.frozen import Frozen, frozen
from hrdsl.compiler.plan import Planner
from hrdsl.compiler.store import Store
from hrdsl.runtime import searching
from hrdsl.runtime.evaluate import candidate_miou
from hrdsl.runtime.evaluation import Evaluator, Options, Paired
from hrdsl.runtime.evaluation import evaluator as evaluating
from hrdsl.runtime.evaluation.race import Guess, Race, outcomes, stops
from hrdsl.runtime.evaluation.scores import Scores, Truth, scores
from hrdsl.runtime.evaluation.spent import Spent
from hrdsl.runtime.evaluation.survival import survivors
from hrdsl.runtime.faults import RunError
from hrdsl.runtime.search import nsga2
from hrdsl.runtime.search.problem import Contest, Evaluation, Objective
from hrdsl.runtime.search.study import read
from hrdsl.runtime.task import Examples, MeanIoU

SPACE = Path(__file__).parent / "tiny" / "two.arch"
CPU = torch.device("cpu")
Genome = tuple[int, ...]


@cache
def two() -> Compiled:
    return compile_file(SPACE)


@cache
def planner() -> Planner:
    """Over a store in which nothing is trivial."""
    store = Store(two().graph, 1)
    torch.manual_seed(2)
    store.flat.add_(0.1 * torch.randn_like(store.flat))
    return Planner(two().graph, store)


@cache
def data(count: int, seed: int = 3) -> Examples:
    rng = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, 16, 16), generator=rng, dtype=torch.uint8)
    labels = torch.randint(0, 11, (count, 16, 16), generator=rng, dtype=torch.uint8)
    labels[:, 0] = 255
    return Examples(images, labels, 11, 255)


def genomes(seed: int, count: int = 6) -> list[Genome]:
    drawn = two().decisions.sample(np.random.default_rng(seed), count).tolist()
    return [*dict.fromkeys(map(tuple, drawn))]


def evaluator(options: Options | None = None, metrics: Sequence[str] = ("miou", "accuracy", "loss")) -> Evaluator:
    return Evaluator(planner(), data(40), data(60, 4), metrics, options)


EXACT = Options(fold=False)
BFLOAT = Options(precision=torch.bfloat16)


# the values


@pytest.mark.parametrize("options", [EXACT, EXACT._replace(share=False), EXACT._replace(memory=1)], ids=str)
def test_values_are_those_of_plans(options: Options) -> None:
    """To the last bit, also where statistics are known from before."""
    found = evaluator(options, ("miou",))
    for _ in range(2):
        answers = dict(found(genomes(0)))
        wanted = {g: candidate_miou(planner(), g, data(40), data(60, 4)) for g in genomes(0)}
        assert {g: a.values for g, a in answers.items()} == {g: (v,) for g, v in wanted.items()}


@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 1 << 16))
@pytest.mark.parametrize("options", [EXACT, Options(), BFLOAT, BFLOAT._replace(fold=False)], ids=str)
def test_company_changes_nothing(options: Options, seed: int) -> None:
    """A candidate has the same values alone, in another order and in other groups."""
    many = genomes(seed)
    together = dict(evaluator(options)(many))
    assert {g: a.values for g, a in evaluator(options)(many[::-1])} == {g: a.values for g, a in together.items()}
    for genome in many[:2]:
        assert dict(evaluator(options)([genome]))[genome].values == together[genome].values


@pytest.mark.parametrize(("options", "tolerance"), [(Options(), 1e-4), (BFLOAT, 2e-2)], ids=["fold", "bfloat16"])
def test_quick_values_are_near(options: Options, tolerance: float) -> None:
    exact, quick = (dict(evaluator(o)(genomes(5))) for o in (EXACT, options))
    for genome, answer in exact.items():
        assert quick[genome].values == pytest.approx(answer.values, abs=tolerance)


def test_sharing_is_counted() -> None:
    found = evaluator()
    near = [g for g in genomes(1, 40) if g[:3] == genomes(1, 40)[0][:3]]
    list(found(near))
    assert found.spent.candidates == len(near)
    assert found.spent.images == 60 * len(near)
    assert 0 < found.spent.shared < 1
    assert found.spent.run < found.spent.asked
    assert {"plan", "recalibrate", "fold", "validate", "metric"} <= set(found.spent.seconds)


def test_a_failure_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """One candidate raises in the middle of a union; another is not finite. The others have their values."""
    many = genomes(2, 8)
    wanted = dict(evaluator()(many))
    bad, broken = many[1], many[3]
    found = evaluator()
    before = found.validate

    def validate(group: Mapping[Genome, Any], first: int, last: int) -> dict[Genome, Scores]:
        if bad in group:
            raise MemoryError("no room")
        return {g: replace(s, sound=g != broken) for g, s in before(group, first, last).items()}

    monkeypatch.setattr(found, "validate", validate)
    answers = dict(found(many))
    assert answers[bad].error == "out of memory: no room"
    assert all(map(math.isnan, answers[broken].values))
    assert all(answers[g].values == wanted[g].values for g in many if g not in (bad, broken))


# the metrics


def test_metrics_by_definition() -> None:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 5, 8, 8, generator=rng)
    labels = torch.randint(0, 5, (7, 8, 8), generator=rng)
    labels[2], labels[:, 0, 0] = 255, 255
    for quick in (False, True):
        found = scores(logits.clone(), Truth.of(labels, 5, 255), loss=True, quick=quick)
        metric = MeanIoU(5, 255, CPU)
        metric.add(logits, labels)
        kept = labels != 255
        assert found.metric("miou") == metric.value()
        assert found.metric("accuracy") == pytest.approx(float((logits.argmax(1) == labels)[kept].double().mean()))
        wanted = torch.nn.functional.cross_entropy(logits.double(), labels, ignore_index=255)
        assert found.metric("loss") == pytest.approx(float(wanted), abs=1e-5)
    halves = [scores(x, Truth.of(y, 5, 255), loss=True) for x, y in zip(logits.split(4), labels.split(4), strict=True)]
    assert Scores.joined(halves).metric("miou") == found.metric("miou")
    assert found.ratios("loss").first(4).mean() == pytest.approx(halves[0].metric("loss"))
    assert not scores(logits.clone().fill_(math.nan), Truth.of(labels, 5, 255)).sound


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (9, 4)])
def test_the_quick_way_counts_the_same(scale: int, size: tuple[int, int]) -> None:
    """As enlarging everything, whatever corners agree: with classes in patches, and without any order."""
    rng = torch.Generator().manual_seed(scale)
    labels = torch.randint(0, 5, (3, size[0] * scale, size[1] * scale), generator=rng)
    labels[:, 0, 0] = 255
    for sharp in (0.1, 10.0):
        patches = torch.nn.functional.interpolate(torch.randn(3, 5, 2, 3, generator=rng), size)
        logits = patches + sharp * torch.randn(3, 5, *size, generator=rng)
        wanted = scores(logits, Truth.of(labels, 5, 255)).confusions
        for same in (logits, logits.contiguous(memory_format=torch.channels_last)):
            before = same.clone()
            assert torch.equal(scores(same, Truth.of(labels, 5, 255), quick=True).confusions, wanted)
            assert torch.equal(same, before)
    uneven = torch.nn.functional.pad(labels, (0, 1), value=255)
    wanted = scores(logits, Truth.of(uneven, 5, 255)).confusions
    assert torch.equal(scores(logits, Truth.of(uneven, 5, 255), quick=True).confusions, wanted)
    assert not scores(logits.fill_(math.nan), Truth.of(labels, 5, 255), quick=True).sound


@pytest.mark.parametrize("metric", ["miou", "accuracy", "loss"])
def test_influence_is_the_jackknife(metric: str) -> None:
    """Leaving an image out moves a metric by its influence over the number of others, to first order."""
    rng = torch.Generator().manual_seed(1)
    tables = torch.randint(0, 40, (400, 3, 3), generator=rng) + 60 * torch.eye(3, dtype=torch.long)
    found = Scores(tables, torch.rand(400, generator=rng, dtype=torch.float64) * 500, True)
    influence = found.ratios(metric).influence()
    assert abs(float(influence.mean())) < 1e-12
    for k in range(0, 400, 50):
        others = torch.arange(400) != k
        assert found.losses is not None
        without = Scores(tables[others], found.losses[others], True).metric(metric)
        assert found.metric(metric) - without == pytest.approx(float(influence[k]) / 399, rel=0.02, abs=1e-7)


# who survives


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 1 << 16), goals=st.integers(1, 3), count=st.integers(1, 30), coarse=st.booleans())
def test_survivors_are_those_of_nsga2(seed: int, goals: int, count: int, coarse: bool) -> None:
    """Of each of several outcomes, with ties and weights too."""
    rng = np.random.default_rng(seed)
    losses = rng.random((3, 30, goals))
    if coarse:
        losses = np.round(losses * 4)
    weights = rng.integers(0, 3, goals).astype(float)
    for one, kept in zip(losses, survivors(losses, count, weights), strict=True):
        wanted = np.zeros(30, bool)
        wanted[nsga2.survivors(one, count, weights.tolist()).rows] = True
        assert (kept == wanted).all()


def test_failed_candidates_come_last() -> None:
    losses = np.array([[[1.0, 2.0], [np.inf, np.inf], [2.0, 1.0], [3.0, 3.0]]])
    assert survivors(losses, 3).tolist() == [[True, False, True, True]]


# races


def test_outcomes_have_the_covariance_of_images() -> None:
    """Nothing is left to chance once all images are seen; before, candidates err together as their images do."""
    rng = np.random.default_rng(0)
    common, own = rng.standard_normal((200, 1)), rng.standard_normal((200, 2))
    influence = np.stack([common[:, 0] + 0.1 * own[:, 0], common[:, 0] + 0.1 * own[:, 1]], axis=1)
    influence -= influence.mean(0)
    guesses = [Guess(200, np.array([k]), influence[:, k : k + 1]) for k in range(2)]
    drawn = outcomes(guesses, 1000, 20000, rng)[:, :, 0]
    wanted = np.cov(influence.T) * (1 - 200 / 1000) / 200
    assert np.cov(drawn.T) == pytest.approx(wanted, rel=0.05)
    assert drawn.mean(0) == pytest.approx([0, 1], abs=0.01)
    assert (outcomes(guesses, 200, 10, rng) == [[[0.0], [1.0]]] * 10).all()


class Known:
    """An evaluator whose candidates are right in an image as often as was drawn before."""

    metrics = ("accuracy",)

    def __init__(self, hits: dict[Genome, np.ndarray[Any, Any]]) -> None:
        self.tables = {}
        for genome, right in hits.items():
            right = torch.from_numpy(right.astype(np.int64))
            self.tables[genome] = torch.stack(
                [torch.stack([right, 100 - right], 1), torch.zeros(len(right), 2).long()], 1
            )
        self.validation = next(iter(self.tables.values()))
        self.kept: dict[Genome, Scores] = {}
        self.spent = Spent()

    def groups(self, genomes: Sequence[Genome]) -> tuple[list[dict[Genome, None]], dict[Genome, Evaluation]]:
        found = dict.fromkeys(genomes)
        return [found] if found else [], {}

    def calibrate(self, group: Mapping[Genome, None]) -> None:
        pass

    def validate(self, group: Mapping[Genome, None], first: int, last: int) -> dict[Genome, Scores]:
        self.spent.images += (last - first) * len(group)
        return {g: Scores(self.tables[g][first:last], None, True) for g in group}

    def measured(self, group: Mapping[Genome, None]) -> dict[Genome, Scores]:
        return self.validate(group, 0, len(self.validation))

    def values(self, score: Scores) -> tuple[float, ...]:
        return tuple(score.metric(name) for name in self.metrics)


def contest(seed: int) -> tuple[Known, Contest]:
    """Forty candidates against forty, of which the latter were selected already; images are hard or easy for all."""
    rng = np.random.default_rng(seed)
    names = [(k,) for k in range(120)]
    costs = rng.random(120)
    skill = 0.55 + 0.3 * np.sqrt(costs) - 0.1 * rng.random(120)
    hard = 0.1 * rng.standard_normal(400)
    chance = np.clip(skill[:, None] - hard + 0.04 * rng.standard_normal((120, 400)), 0.02, 0.98)
    found = Known({g: rng.binomial(100, p) for g, p in zip(names, chance, strict=True)})
    accuracy = np.array([found.values(found.measured({g: None})[g])[0] for g in names])
    losses = np.stack([-accuracy, costs], axis=1)
    before = np.flatnonzero(survivors(losses[None, :80], 40)[0])
    goals = Objective("accuracy", maximize=True), Objective("macs", exact=True)
    incumbents = tuple(names[k] for k in before)
    return found, Contest(goals, tuple(names[80:]), costs[80:, None], incumbents, losses[before], 40, (1.0, 1.0))


@pytest.mark.parametrize("error", [0.01, 0.1])
def test_races_err_as_seldom_as_stated(error: float) -> None:
    """Of all that were stopped, at most so many would have survived; and stopping spares images."""
    stopped = wrong = images = 0
    for seed in range(30):
        known, stake = contest(seed)
        known.spent = Spent()
        race = Race(known, stake, error, 50)  # type: ignore[arg-type]
        race.incumbents = {}
        answers = dict(race.run())
        images += known.spent.images - 400 * len(stake.incumbents)
        truth = [known.values(known.measured({g: None})[g])[0] for g in stake.genomes]
        mine = np.stack([-np.array(truth), stake.exact[:, 0]], axis=1)
        kept = survivors(np.concatenate([stake.losses, mine])[None], 40)[0][len(stake.incumbents) :]
        for genome, value, alive in zip(stake.genomes, truth, kept, strict=True):
            stopped += answers[genome].images > 0
            wrong += answers[genome].images > 0 and bool(alive)
            assert answers[genome].images or answers[genome].values == (value,)
    assert stopped > 300
    assert wrong <= error * stopped + 3 * math.sqrt(error * stopped)
    assert images < 0.75 * 30 * 40 * 400


def test_decisions_come_ever_later() -> None:
    assert stops(50, 1000) == [50, 100, 150, 200, 300, 450, 650, 950, 1000]
    assert stops(100, 250) == [100, 200, 250]
    assert stops(50, 30) == [30]


def test_races_are_repeated() -> None:
    """The same contest ends the same, also where what the incumbents did is not known any more."""
    known, stake = contest(3)
    first = dict(Race(known, stake, 0.05, 100).run())  # type: ignore[arg-type]
    assert set(known.kept) >= set(stake.incumbents)
    again = dict(Race(known, stake, 0.05, 100).run())  # type: ignore[arg-type]
    known.kept = {}
    third = dict(Race(known, stake, 0.05, 100).run())  # type: ignore[arg-type]
    plain = [{g: (a.values, a.images) for g, a in found.items()} for found in (first, again, third)]
    assert plain[0] == plain[1] == plain[2]


def test_who_survives_is_measured_in_full() -> None:
    """However wrong a race may be: survivors by its own answers have no estimates."""
    for seed in range(5):
        known, stake = contest(seed)
        answers = dict(Race(known, stake, 0.5, 50).run())  # type: ignore[arg-type]
        mine = np.stack([[-answers[g].values[0] for g in stake.genomes], stake.exact[:, 0]], axis=1)
        kept = survivors(np.concatenate([stake.losses, mine])[None], 40)[0][len(stake.incumbents) :]
        assert not [g for g, k in zip(stake.genomes, kept, strict=True) if k and answers[g].images]


def test_a_generation_races(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the evaluator itself: those who go on have the values that they have without a race, and what was folded for
    all of them serves for fewer."""
    folded = list[set[int]]()

    def counted(calls: Any, moments: Any, results: set[int], *how: Any) -> Frozen:
        folded.append(results)
        return frozen(calls, moments, results, *how)

    monkeypatch.setattr(evaluating, "frozen", counted)
    many = genomes(9, 24)
    before, after = many[:12], many[12:]
    racing = Options(race=Paired(0.2, 50))
    found = Evaluator(planner(), data(40), data(200, 4), ("miou",), racing)
    plain = Evaluator(planner(), data(40), data(200, 4), ("miou",), Options())
    exact = two().costs(np.array(many, np.int16), peak=False)["macs"].astype(float)
    first = dict(found(before))
    losses = np.stack([[-first[g].values[0] for g in before], exact[:12]], axis=1)
    goals = Objective("miou", maximize=True), Objective("macs", exact=True)
    found.contest(Contest(goals, tuple(after), exact[12:, None], tuple(before), losses, 6, (1.0, 1.0)))
    answers = dict(found(after))
    assert len(folded) == 2
    wanted = dict(plain(after))
    assert set(answers) == set(after)
    assert found.spent.stopped == sum(a.images > 0 for a in answers.values()) > 0
    assert all(answers[g].images or answers[g].values == wanted[g].values for g in after)


RACING = """search racing for two {
  strategy = nsga2(population = 8, generations = 4, mutation = 0.2)
  validate = 150
  recalibrate = 16
  precision = bfloat16
  race = paired(error = 1/4, chunk = 50)
}
"""


def test_an_interrupted_race_ends_the_same(tmp_path: Path) -> None:
    """Stopped in the midst of a generation; and no estimate is in the front."""
    file = tmp_path / "two.arch"
    file.write_text(f"{SPACE.read_text()}\n{RACING}")
    compiled, names = compile_file(file), ("brief", "racing")

    def stop(count: int) -> None:
        if count == 21:
            raise KeyboardInterrupt

    def rows(study: Path) -> list[Any]:
        found = [(r.genome, r.evaluation, r.generation) for r in read(study / "study.sqlite")[1]]
        return [(genome, answer.values, answer.error, answer.images, where) for genome, answer, where in found]

    whole = searching.search(compiled, tmp_path / "whole", CPU, searching.Listener(), names=names, cache=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        searching.search(
            compiled, tmp_path / "cut", CPU, searching.Listener(evaluated=stop), names=names, cache=tmp_path
        )
    assert len(rows(tmp_path / "cut")) == 20
    again = searching.search(compiled, tmp_path / "cut", CPU, searching.Listener(), names=names, cache=tmp_path)
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    assert again.front == whole.front
    estimated = {genome for genome, _, _, images, _ in rows(tmp_path / "whole") if images}
    assert estimated and not estimated & {m.genome for m in whole.front.members}
    assert whole.spent.stopped == len(estimated)


@pytest.mark.parametrize("strategy", ["random(evaluations = 8)", "nsga3(population = 4, generations = 2)"])
def test_only_nsga2_races(strategy: str, tmp_path: Path) -> None:
    file = tmp_path / "two.arch"
    text = RACING.replace("nsga2(population = 8, generations = 4, mutation = 0.2)", strategy)
    file.write_text(f"{SPACE.read_text()}\n{text}")
    with pytest.raises(RunError, match="write `strategy = nsga2"):
        searching.search(compile_file(file), tmp_path, CPU, searching.Listener(), names=("brief", "racing"))
