"""Which networks of a space are trained to judge it: a space and a seed in, genomes out. Declared before anything is trained."""

from collections.abc import Iterator

import numpy as np

from ...compiler.api import Compiled
from ..faults import RunError

Genome = tuple[int, ...]

SAMPLES = {
    "prior": "as `hrdsl sample` draws: by the priors of the space, uniformly where it has none",
    "macs": "one from each of as many equal shares of a larger draw, by MACs",
}
"""How networks may be chosen."""
DRAWS = 64
"""Draws for each network that is wanted, before a space counts as too small; shares of MACs are cut from as many."""


def chosen(compiled: Compiled, count: int, seed: int, sample: str) -> tuple[Genome, ...]:
    """`count` different architectures; more of them begin with the same ones, but for `macs`. Raises RunError if the space seems to hold fewer."""
    rng = np.random.default_rng((seed, 5))
    genomes = drawn(compiled, rng, count) if sample == "prior" else spread(compiled, rng, count)
    if len(genomes) < count:
        raise RunError(
            f"space `{compiled.space.name}` seems to hold {len(genomes)} different networks; ask for at most so many"
        )
    return genomes


def drawn(compiled: Compiled, rng: np.random.Generator, count: int) -> tuple[Genome, ...]:
    """The first `count` different ones of many draws."""
    found: dict[Genome, None] = {}
    for genome in _draws(compiled, rng, DRAWS * count):
        if len(found) == count:
            break
        found[genome] = None
    return tuple(found)


def spread(compiled: Compiled, rng: np.random.Generator, count: int) -> tuple[Genome, ...]:
    """Many draws in the order of their MACs, cut into `count` shares of one size, and one of each."""
    many = np.array(list(dict.fromkeys(_draws(compiled, rng, DRAWS * count))), np.int16)
    order = np.argsort(compiled.costs(many)["macs"], kind="stable")
    shares = np.array_split(order, count)
    return tuple(tuple(many[rng.choice(share)].tolist()) for share in shares if len(share))


def _draws(compiled: Compiled, rng: np.random.Generator, count: int) -> Iterator[Genome]:
    """Drawn a fixed number at a time: a larger sample begins with the smaller ones."""
    for _ in range(0, count, DRAWS):
        for row in compiled.decisions.sample(rng, DRAWS).tolist():
            yield tuple(row)
