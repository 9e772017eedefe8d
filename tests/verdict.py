"""Whether the compiler and plain torch agree on a program: what it accepts runs as it says, what it refuses does not run."""

import re
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from hrdsl.compiler.api import Compiled, compile_module
from hrdsl.compiler.module import extract
from hrdsl.compiler.store import Store
from hrdsl.dsl.diagnostic import ArchError, Diagnostic, Source
from hrdsl.dsl.model import build_model
from hrdsl.dsl.modules import Module, load_source

from .network import Network, network
from .torch_operators import Wrong

SHAPES = ("E303", "E304", "E305", "E306", "E307", "E308", "E309", "E310", "E311", "E315", "E322")
"""Refusals that say that an architecture cannot be built."""
OTHER = ("E301", "E403", "E404", "E405", "E410")
"""What has to be fixed and is not, and constraints and priors that exclude each other: nothing that torch could say."""
DRAWN, RAW, TRIES = 3, 5, 3


def verdict(text: str, seed: int = 0) -> str:
    """`valid`, or the code of the refusal. Raises AssertionError where compiler and torch disagree."""
    module = load_source(Source("program.arch", text))
    try:
        space = compile_module(module)
    except ArchError as fault:
        return refused(module, fault.found, Random(seed))
    try:
        space.decisions.check()
    except ArchError as fault:
        return fault.found[0].code
    accepted(space, np.random.default_rng(seed))
    return "valid"


# what is accepted


def accepted(space: Compiled, rng: np.random.Generator) -> None:
    decisions = space.decisions
    drawn = [*decisions.sample(rng, DRAWN).tolist(), decisions.largest(), decisions.smallest()]
    store = Store(space.graph, 0)
    for k, genes in enumerate(drawn):
        runs(space, store, tuple(genes), counted=k == DRAWN)
    if space.graph.constraints:
        return  # what cannot be built may stand where the architecture computes nothing
    raw = rng.integers(0, decisions.cardinalities or (), (RAW, len(decisions.cardinalities)))
    for genes, canonical in zip(raw, decisions.canonical(raw), strict=True):
        made = network(space.model, space.space, chooser(space, tuple(genes)))
        assert costs(made) == told(space, tuple(canonical.tolist()))


def runs(space: Compiled, store: Store, genes: tuple[int, ...], counted: bool) -> None:
    """One architecture: the same shapes and costs by the compiler, by the network read from the text, and by its module."""
    chosen = space.decisions.labels(genes)
    made = network(space.model, space.space, chooser(space, genes), chosen.__contains__)
    assert costs(made) == told(space, genes), (genes, made, told(space, genes))
    assert all(made.constraints), (genes, made)
    module = extract(space.graph, store, genes).eval()
    image = torch.rand(2, *made.image)
    with torch.no_grad(), FlopCounterMode(display=False) if counted else torch.no_grad() as counter:
        out = module(image)
    listed = {n: t if isinstance(t, list) else [t] for n, t in (out if isinstance(out, dict) else {"": out}).items()}
    outputs = {n if len(ts) == 1 else f"{n}[{k}]": t for n, ts in listed.items() for k, t in enumerate(ts)}
    assert {n: tuple(t.shape[1:]) for n, t in outputs.items()} == made.outputs
    assert sum(p.numel() for p in module.parameters()) == made.parameters
    if counted:
        assert counter.get_total_flops() == 2 * 2 * made.macs


def chooser(space: Compiled, genes: tuple[int, ...]) -> Callable[[str, tuple[str, ...]], int]:
    """Decisions of a genome; each has the path and the labels that the text says."""
    known = {d.path: d for d in space.graph.decisions}

    def choose(path: str, labels: tuple[str, ...]) -> int:
        assert known[path].labels == labels, (path, labels, known[path].labels)
        return int(genes[known[path].index])

    return choose


def costs(made: Network) -> tuple[int, int]:
    return made.parameters, made.macs


def told(space: Compiled, genes: tuple[int, ...]) -> tuple[int, int]:
    found = space.costs.one(genes)
    return found["parameters"], found["macs"]


# what is refused


def refused(module: Module, found: tuple[Diagnostic, ...], rng: Random) -> str:
    """The choices that the first message names cannot be built, whatever the others are."""
    first = found[0]
    if first.code in OTHER:
        return first.code
    assert first.code in SHAPES, first
    model = build_model(module)
    example = counterexample(first)
    for _ in range(TRIES):
        chosen: dict[str, str] = dict(example)

        def choose(path: str, labels: tuple[str, ...], chosen: dict[str, str] = chosen) -> int:
            return labels.index(chosen.setdefault(path, rng.choice(labels)))

        try:
            made = network(model, model.spaces[0], choose)
        except Wrong:
            continue
        raise AssertionError(f"refused, but it runs: {chosen} gives {made}\n{ArchError(first)}")
    return first.code


def counterexample(fault: Diagnostic) -> dict[str, str]:
    """`when a = 1, b = [2, 3]` as a dictionary."""
    shown = max(fault.title.partition(" when ")[2], fault.here.text.partition(" when ")[2])
    pairs: list[Any] = re.split(r", (?=[\w.\[\]]+ = )", shown) if shown else []
    return dict(pair.split(" = ") for pair in pairs)
