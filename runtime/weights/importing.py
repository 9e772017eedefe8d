"""Released tensors into a network: a map says where from, shapes are checked, everything on both sides has to fit."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, fx

from ...dsl.errors import near
from .maps import Cut, Map, MapError, Part, Source
from .patterns import Pattern

HINTED = 12
"""So many names get a hint at what may have been meant."""
COUNTERS = ("num_batches_tracked",)
"""Buffers that no network computes with."""


class Row(NamedTuple):
    """One of ours, the tensors of theirs that it comes from, and its shape."""

    ours: str
    theirs: tuple[str, ...]
    shape: tuple[int, ...]


@dataclass
class Imported:
    """What an import found. `state` has our names of the state dictionary; without faults it is complete."""

    state: dict[str, Tensor]
    rows: list[Row] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def names(network: fx.GraphModule) -> dict[str, str]:
    """Every parameter and statistic of an extracted network: the path of its node and its own name -> its key in the state."""
    parameters, statistics = network.meta["parameters"], network.meta["statistics"]
    kept = {f"{n}.{kind}": f"{key}.{kind}" for n, key in statistics.items() for kind in ("running_mean", "running_var")}
    return {**parameters, **kept}


def fit(
    network: fx.GraphModule,
    theirs: Mapping[str, Tensor],
    chart: Map,
    section: str,
    at: str = "",
    fresh: Sequence[str] = (),
    ignore: Sequence[str] = (),
) -> Imported:
    """The state of a network with their tensors, by a section of a map, and what does not fit. `at`: the place of ours that
    the section describes; `fresh` keep their values, whatever `ignore` names may be left over. Raises MapError."""
    patterns = ([Pattern(p) for p in fresh], [Pattern(p) for p in ignore])
    out = Imported(dict(network.state_dict()))
    return _Fit(network, theirs, chart, section, f"{at}." if at else "", *patterns, out).made()


class _Misfit(ValueError):
    """Tensors that cannot become ours: one line."""


@dataclass
class _Fit:
    """One import: what was found, taken and missed so far."""

    network: fx.GraphModule
    theirs: Mapping[str, Tensor]
    chart: Map
    section: str
    at: str
    fresh: Sequence[Pattern]
    ignore: Sequence[Pattern]
    out: Imported
    taken: set[str] = field(default_factory=set)
    shares: dict[str, Tensor] = field(default_factory=dict)
    """Of tensors that are taken in parts: which entries."""
    missing: list[tuple[str, Source]] = field(default_factory=list)

    def made(self) -> Imported:
        for name, key in names(self.network).items():
            self._one(name, key)
        left, faults = self._left(), self.out.faults
        faults += [self._lacks(name, source, left, i) for i, (name, source) in enumerate(self.missing)]
        faults += [f"{self._shown(name)} of the checkpoint is taken by nothing" for name in left]
        part = [name for name, share in self.shares.items() if name not in self.taken and not share.all()]
        faults += [f"{self._shown(name)} of the checkpoint is taken in part only" for name in part]
        return self.out

    def _one(self, name: str, key: str) -> None:
        """Take what this name of ours needs, or note why not."""
        source = self._source(name) if name.startswith(self.at) else None
        parts = [(part, self._found(part)) for part in source or ()]
        fresh = any(name in p for p in self.fresh)
        if source and not fresh and all(found for _, found in parts):
            self._take(name, key, parts)
            return
        self.taken.update(n for _, found in parts for n in found)
        if fresh:
            self.out.fresh.append(name)
        else:
            self.missing.append((name, source or ()))

    def _source(self, name: str) -> Source | None:
        """The first source that is there, else the first."""
        first = None
        try:
            for source in self.chart.sources(self.section, name.removeprefix(self.at)):
                first = first or source
                if all(map(self._found, source)):
                    return source
        except (ValueError, ZeroDivisionError) as fault:
            raise MapError(f"[{self.section}] {name}: {fault}") from None
        return first

    def _found(self, part: Part) -> list[str]:
        """The names of a part that the checkpoint has."""
        return [n for name in part.names for n in self._like(name)]

    def _like(self, name: str) -> list[str]:
        if "*" not in name:
            return [name] if name in self.theirs else []
        like = re.compile("[^.]*".join(map(re.escape, name.split("*"))))
        return [n for n in self.theirs if like.fullmatch(n)]

    def _take(self, name: str, key: str, parts: Sequence[tuple[Part, list[str]]]) -> None:
        own = self.out.state[key]
        try:
            value = joined([self._value(part.cuts, found) for part, found in parts])
            if value is None or not agree(value.shape, own.shape):
                what = " + ".join(f"{self._shown(n[0])}{_text(part.cuts)}" for part, n in parts)
                raise _Misfit(f"`{name}` {_shape(own)} does not fit {what}")
        except _Misfit as fault:
            self.out.faults.append(str(fault))
            return
        self.out.state[key] = value.reshape(own.shape).to(own.dtype).clone()
        theirs = tuple(found[0] + _text(part.cuts) for part, found in parts)
        self.out.rows.append(Row(name, theirs, tuple(own.shape)))

    def _value(self, cuts: Sequence[Cut], found: Sequence[str]) -> Tensor:
        """The share of a tensor that `cuts` take; all its names are noted as taken."""
        name, *others = found
        value = self.theirs[name]
        self.taken.update(others if cuts else found)
        for other in others:
            if not torch.equal(value, self.theirs[other]):
                raise _Misfit(f"`{name}` and `{other}` should be one tensor, and differ")
        if not cuts:
            return value
        share = self.shares.setdefault(name, torch.zeros(value.shape, dtype=torch.bool))
        for cut in cuts:
            value, share = self._narrowed(value, cut, name), self._narrowed(share, cut, name)
        share.fill_(True)
        return value

    def _narrowed(self, tensor: Tensor, cut: Cut, name: str) -> Tensor:
        found = narrowed(tensor, cut)
        if found is None:
            self.taken.add(name)
            raise _Misfit(f"`{name}` {_shape(tensor)} has no {_text([cut])}")
        return found

    def _left(self) -> list[str]:
        """Names of theirs that nothing takes; those that nothing need take are noted."""
        ignore, copies = [*self.ignore, *self.chart.ignored()], self.chart.copies()
        left = [n for n in self.theirs if n not in self.taken and n not in self.shares]
        left = [n for n in left if n.rpartition(".")[2] not in COUNTERS]
        idle = {n for n in left if any(n in p for p in ignore) or (any(n in p for p in copies) and self._is_copy(n))}
        self.out.ignored += [n for n in left if n in idle]
        return [n for n in left if n not in idle]

    def _is_copy(self, name: str) -> bool:
        """Whether a tensor that was taken, of the same own name, is equal to this one."""
        own, value = name.rpartition(".")[2], self.theirs[name]
        alike = (self.theirs[n] for n in {*self.taken, *self.shares} if n.rpartition(".")[2] == own)
        return any(value.shape == other.shape and torch.equal(value, other) for other in alike)

    def _lacks(self, name: str, source: Source, left: Sequence[str], count: int) -> str:
        if not name.startswith(self.at):
            return f"`{name}`: it lies outside of `{self.at[:-1]}`"
        if not source:
            return f"`{name}`: no entry of the section `{self.section}` leads to it"
        lost = next(part.names[0] for part in source if not self._found(part))
        hint = near(lost, left, ()) if count < HINTED else ""
        return f"`{name}` needs `{lost}`, which the checkpoint lacks{f'; {hint}' if hint else ''}"

    def _shown(self, name: str) -> str:
        return f"`{name}` {_shape(self.theirs[name])}"


def agree(one: Sequence[int], other: Sequence[int]) -> bool:
    """The same sides but for those of 1."""
    return [n for n in one if n != 1] == [n for n in other if n != 1]


def narrowed(tensor: Tensor, cut: Cut) -> Tensor | None:
    """A view of these shares of its axes; None where there is no such axis, or no whole number of entries."""
    if len(cut) > tensor.dim():
        return None
    for axis, share in enumerate(cut):
        start, stop = (bound * tensor.shape[axis] for bound in share)
        if start.denominator != 1 or stop.denominator != 1 or not 0 <= start < stop <= tensor.shape[axis]:
            return None
        tensor = tensor.narrow(axis, int(start), int(stop - start))
    return tensor


def joined(parts: Sequence[Tensor]) -> Tensor | None:
    """One after the other along the first axis; None where the others differ."""
    if len(parts) == 1:
        return parts[0]
    if not all(p.dim() and p.shape[1:] == parts[0].shape[1:] for p in parts):
        return None
    return torch.cat(list(parts))


def _text(cuts: Sequence[Cut]) -> str:
    return "".join(f"[{', '.join(f'{a}:{b}' for a, b in cut)}]" for cut in cuts)


def _shape(tensor: Tensor) -> str:
    return f"[{', '.join(map(str, tensor.shape))}]"
