"""Racing: candidates that will hardly survive their generation stop before all validation images are seen.

A metric over the first n of N images tells what it will be over all of them, up to an error that is about normal: each image
moves it by its influence (`Scores.influence`), and what candidates gain or lose by the choice of images they gain or lose
together. So possible outcomes are drawn with the covariance of the influences, image by image; the survivors of each outcome
are found; and who survives in hardly any of them is stopped. Survivors and members of a front are measured in full.

Source of the idea: Maron & Moore 1994 (Hoeffding races), with blocking by image as in Moore & Lee 1994; survival instead of
the best mean, and drawn outcomes instead of bounds, are ours.
"""

import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..search.front import Floats, Genome, nondominated
from ..search.problem import Contest, Evaluation, Objective
from .scores import Ratios, Scores
from .spent import clock
from .survival import survivors
from .trial import tried

if TYPE_CHECKING:
    from .evaluator import Evaluator, Group

OUTCOMES = 4
"""How many outcomes are drawn for each that may be wrong: 400 at an error of 1/100."""


@dataclass(frozen=True, slots=True)
class Guess:
    """What a candidate's metrics [M] will be, from the first `images`; `influence` [images, M] of each on them."""

    images: int
    values: Floats
    influence: Floats


class Race:
    """One generation. Its decisions depend on the contest alone: they are the same when it is run again."""

    def __init__(self, evaluator: "Evaluator", contest: Contest, error: float, chunk: int) -> None:
        self.evaluator = evaluator
        self.contest = contest
        self.error = error
        self.total = len(evaluator.validation)
        self.stops = stops(chunk, self.total)
        self.seen: dict[Genome, Scores] = {}
        self.failed: dict[Genome, Evaluation] = {}
        self.stopped: dict[Genome, Guess] = {}
        self.incumbents: dict[Genome, Scores] = {}
        self.known: list[list[Ratios]] = []
        """For each incumbent what its metrics are made of."""

    def run(self) -> Iterator[tuple[Genome, Evaluation]]:
        """Each genome of the generation with its answer."""
        begun, evaluator, genomes = time.perf_counter(), self.evaluator, self.contest.genomes
        self.incumbents = self._measured_before()
        self.known = [[s.ratios(name) for name in evaluator.metrics] for s in self.incumbents.values()]
        self.failed = self._shown(genomes, 0, self.stops[0])
        left = [g for g in genomes if g in self.seen]
        for first, last in zip(self.stops, self.stops[1:], strict=False):
            left = self._after(left, first)
            self.failed |= self._shown(left, first, last)
            left = [g for g in left if g not in self.failed]
        self._finish()
        full = {g: s for g, s in self.seen.items() if g not in self.stopped and g not in self.failed}
        evaluator.kept = {**self.incumbents, **full}
        evaluator.spent.stopped += len(self.stopped)
        seconds = (time.perf_counter() - begun) / len(genomes)
        for genome in genomes:
            yield genome, self._answer(genome, seconds)

    def _answer(self, genome: Genome, seconds: float) -> Evaluation:
        if genome in self.failed:
            return self.failed[genome]
        if genome in self.stopped:
            guess = self.stopped[genome]
            return Evaluation(tuple(guess.values.tolist()), None, seconds, guess.images)
        return Evaluation(self.evaluator.values(self.seen[genome]), None, seconds)

    def _measured_before(self) -> dict[Genome, Scores]:
        """What every image says of the incumbents: from the generation before, or measured again after an interruption."""
        finite = np.isfinite(self.contest.losses).all(axis=1)
        wanted = [self.contest.incumbents[k] for k in np.flatnonzero(finite).tolist()]
        found = {g: s for g, s in self.evaluator.kept.items() if g in wanted}
        groups, _ = self.evaluator.groups(g for g in wanted if g not in found)
        for group in groups:
            found |= self.evaluator.measured(group)
        return {g: found[g] for g in wanted}

    def _shown(self, genomes: Sequence[Genome], first: int, last: int) -> dict[Genome, Evaluation]:
        """Show some more images to candidates; those that fail."""
        groups, failed = self.evaluator.groups(genomes)
        for group in groups:
            found, bad = tried(lambda part: self._scores(part, first, last), group)
            failed |= bad
            for genome, score in found.items():
                before = [self.seen[genome]] if genome in self.seen else []
                self.seen[genome] = Scores.joined([*before, score])
        return failed

    def _scores(self, group: "Group", first: int, last: int) -> dict[Genome, Scores]:
        self.evaluator.calibrate(group)
        return self.evaluator.validate(group, first, last)

    # decisions

    def _after(self, genomes: Sequence[Genome], images: int) -> list[Genome]:
        """Who goes on after so many images."""
        begun = clock()
        control = self._control(images)
        guesses = {g: self._guess(self.seen[g], images, control) for g in genomes}
        everyone = {**self.stopped, **guesses}
        rng = np.random.default_rng((images, zlib.crc32(repr(self.contest.genomes).encode())))
        drawn = outcomes(list(everyone.values()), self.total, round(OUTCOMES / self.error), rng)
        alive = survivors(self._losses(list(everyone), drawn), self.contest.survivors, np.array(self.contest.weights))
        chance = dict(zip(everyone, alive[:, len(self.incumbents) :].mean(0).tolist(), strict=True))
        self.stopped |= {g: guess for g, guess in guesses.items() if chance[g] <= self.error}
        self.evaluator.spent.add("race", begun)
        return [g for g in genomes if g not in self.stopped]

    def _control(self, images: int) -> tuple[Floats, Floats] | None:
        """The incumbents' mean: the influence of each of the first images on it, [images, M], and by how much it is off, [M]."""
        if not self.incumbents:
            return None
        some = [[ratios.first(images) for ratios in several] for several in self.known]
        influence = np.mean([influences(several) for several in some], axis=0)
        missed = [
            [w.mean() - s.mean() for w, s in zip(*pair, strict=True)] for pair in zip(self.known, some, strict=True)
        ]
        return influence, np.mean(missed, axis=0)

    def _guess(self, score: Scores, images: int, control: tuple[Floats, Floats] | None) -> Guess:
        """The metrics over all images. What the incumbents are known to gain, a candidate gains as far as it went with them
        (a control variate)."""
        several = [score.ratios(name) for name in self.evaluator.metrics]
        values = np.array([ratios.mean() if score.sound else np.nan for ratios in several])
        influence = influences(several) if score.sound else np.zeros((images, len(several)))
        if control is not None:
            common, missed = control
            square = (common**2).sum(0)
            slope = np.divide((influence * common).sum(0), square, out=np.zeros(len(values)), where=square > 0)
            values, influence = values + slope * missed, influence - slope * common
        return Guess(images, values, influence)

    def _finish(self) -> None:
        """Measure in full who was stopped and yet survives, or is in the front, by the estimates."""
        while True:
            full = {g: self.evaluator.values(s) for g, s in self.seen.items() if g not in {*self.stopped, *self.failed}}
            everyone = {**full, **{g: guess.values for g, guess in self.stopped.items()}}
            losses = self._losses(list(everyone), np.array([[*everyone.values()]]))
            kept = survivors(losses, self.contest.survivors, np.array(self.contest.weights))[0] | nondominated(
                losses[0]
            )
            wrong = [g for g, k in zip(everyone, kept[len(self.incumbents) :], strict=True) if k and g in self.stopped]
            if not wrong:
                return
            for genome in wrong:
                guess = self.stopped.pop(genome)
                self.failed |= self._shown([genome], guess.images, self.total)

    def _losses(self, genomes: Sequence[Genome], measured: Floats) -> Floats:
        """Incumbents and candidates, [outcomes, rows, goals], from what was measured, [outcomes, candidates, M]."""
        finite = np.isfinite(self.contest.losses).all(1)
        rows = {g: k for k, g in enumerate(self.contest.genomes)}
        exact = self.contest.exact[[rows[g] for g in genomes]]
        mine = joined(self.contest.objectives, np.broadcast_to(exact, (len(measured), *exact.shape)), measured)
        theirs = np.broadcast_to(self.contest.losses[finite], (len(measured), int(finite.sum()), mine.shape[2]))
        return np.concatenate([theirs, np.where(np.isfinite(mine).all(2, keepdims=True), mine, np.inf)], axis=1)


def stops(chunk: int, total: int) -> list[int]:
    """After how many images is decided: each time half as many again were seen, in whole chunks; at last all."""
    out = [min(chunk, total)]
    while out[-1] < total:
        out.append(min(total, out[-1] + chunk * max(1, out[-1] // 2 // chunk)))
    return out


def influences(several: Sequence[Ratios]) -> Floats:
    """Of each image on each metric, [images, M]."""
    found: Floats = np.nan_to_num(np.stack([ratios.influence().cpu().numpy() for ratios in several], axis=1))
    return found


def outcomes(guesses: Sequence[Guess], total: int, count: int, rng: np.random.Generator) -> Floats:
    """What the metrics over all `total` images may be, [count, candidates, M]. An image that is drawn more often is so for
    all who saw it."""
    most = max(guess.images for guess in guesses)
    draws = rng.standard_normal((count, most))
    out = np.empty((count, len(guesses), len(guesses[0].values)))
    for k, guess in enumerate(guesses):
        n = guess.images
        scale = np.sqrt((1 - n / total) / n / max(1, n - 2))
        out[:, k] = guess.values + scale * (draws[:, :n] @ guess.influence)
    return out


def joined(objectives: Sequence[Objective], exact: Floats, measured: Floats) -> Floats:
    """Exact costs [..., E] and metrics [..., M] as losses in the order of the goals."""
    costs, metrics = iter(range(exact.shape[-1])), iter(range(measured.shape[-1]))
    columns = [exact[..., next(costs)] if o.exact else measured[..., next(metrics)] for o in objectives]
    return np.stack([-c if o.maximize else c for o, c in zip(objectives, columns, strict=True)], axis=-1)
