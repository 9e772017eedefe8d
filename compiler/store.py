"""The parameters of a supernet: one flat tensor and one flat gradient, every use a cached leaf alias.

An alias is a view of the flat parameters whose `.grad` is the same view of the flat gradient: autograd adds gradients
straight into the store, and no slice is on the tape. So nothing but the store may clear gradients or move parameters.
"""

import hashlib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from math import prod, sqrt
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .axis import Runs
from .graph import Graph
from .operator import Weight

ALIGN = 16
"""Each parameter starts at a multiple of so many numbers."""
LARGE = 1 << 14
"""From how many numbers on autograd adds the gradient of a parameter in place, rather than keep a fresh one."""


class Cat(NamedTuple):
    """Parts to be joined along `axis`: what is read of a parameter where an axis has several runs."""

    axis: int
    parts: tuple["View", ...]


View = nn.Parameter | Cat


@dataclass(frozen=True, slots=True)
class Place:
    """Where a parameter lies in the flat tensors."""

    offset: int
    size: tuple[int, ...]
    weight: Weight

    def whole(self, flat: Tensor) -> Tensor:
        """The parameter in a tensor that is laid out like those of the store, as a view."""
        return flat[self.offset : self.offset + prod(self.size)].view(self.size)


class Store:
    """The weights of every node of a graph at their largest size, named `node.weight`."""

    def __init__(
        self, graph: Graph, seed: int = 0, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        _settle_layout_warning()
        self.seed = seed
        self.generation = 0
        self.places: dict[str, Place] = {}
        total = 0
        for node in graph.nodes:
            for weight in node.weights:
                size = tuple(axis.limit for axis in weight.axes)
                self.places[f"{node.name}.{weight.name}"] = Place(total, size, weight)
                total += -(-prod(size) // ALIGN) * ALIGN
        self.flat = torch.zeros(total, dtype=dtype)
        self.gradient = torch.zeros(total, dtype=dtype, device=device)
        self._views: dict[tuple[str, tuple[Runs, ...]], View] = {}
        self._homes: dict[int, Tensor] = {}
        self._fresh: list[Tensor] = []
        self.initialise()
        self.flat = self.flat.to(device)

    def initialise(self) -> None:
        """Fill every parameter, each from its own generator: it depends on the seed and its name only."""
        for name, place in self.places.items():
            fresh = torch.zeros(place.size, dtype=self.flat.dtype)
            fill(fresh, place.weight, generator(self.seed, name))
            self.tensor(name).copy_(fresh)

    def tensor(self, name: str) -> Tensor:
        """The whole parameter, without autograd."""
        return self.places[name].whole(self.flat)

    def gradient_of(self, name: str) -> Tensor:
        """Its whole gradient."""
        return self.places[name].whole(self.gradient)

    def full(self, name: str) -> nn.Parameter:
        """The alias of the whole parameter."""
        found = self.view(name, tuple(((0, n),) for n in self.places[name].size))
        assert isinstance(found, nn.Parameter)
        return found

    def view(self, name: str, runs: tuple[Runs, ...]) -> View:
        """What these runs of a parameter are: a leaf alias, or aliases to join where an axis has several runs."""
        key = name, runs
        found = self._views.get(key)
        if found is None:
            found = self._views[key] = self._make(name, runs)
        return found

    def _make(self, name: str, runs: tuple[Runs, ...]) -> View:
        for axis, several in enumerate(runs):
            if len(several) != 1:
                return Cat(axis, tuple(self.view(name, (*runs[:axis], (run,), *runs[axis + 1 :])) for run in several))
        alias = nn.Parameter(_cut(self.tensor(name), runs))
        alias.grad = self._homes[id(alias)] = _cut(self.gradient_of(name), runs)
        return alias

    @contextmanager
    def collecting(self, aliases: Sequence[nn.Parameter], alone: bool = False) -> Iterator[None]:
        """Around a backward pass: autograd hands fresh gradients of small parameters over, which is faster than adding in
        place, and they are added to the flat gradient at the end. `alone`: they replace what is there, which needs no clearing
        before. The gradients of large ones would fill memory between the activations: they are added in place.

        The fresh ones are released at the next backward pass: were nothing alive between steps, the allocator of the C library
        would hand the memory of a step back to the system, and fault it in again.
        """
        self._fresh.clear()
        small = [alias for alias in aliases if alias.numel() < LARGE]
        if alone:
            self.zero(alias for alias in aliases if alias.numel() >= LARGE)
        for alias in small:
            alias.grad = None
        try:
            yield
        finally:
            homes = [self._homes[id(a)] for a in small]
            fresh = [
                home.new_zeros(()).expand_as(home) if a.grad is None else a.grad
                for a, home in zip(small, homes, strict=True)
            ]
            self._fresh = [alias.grad for alias in small if alias.grad is not None]
            if fresh:
                (torch._foreach_copy_ if alone else torch._foreach_add_)(homes, fresh)
            for alias in small:
                alias.grad = self._homes[id(alias)]

    def read(self, name: str, runs: tuple[Runs, ...]) -> Tensor:
        """A contiguous copy of these runs of a parameter."""
        return _joined(self.view(name, runs)).detach().clone(memory_format=torch.contiguous_format)

    @staticmethod
    def zero(views: Iterable[Tensor]) -> None:
        """Clear the gradients of these aliases, in place."""
        grads = [v.grad for v in views if v.grad is not None]
        if grads:
            torch._foreach_zero_(grads)

    def zero_grad(self) -> None:
        """Clear the whole gradient."""
        self.gradient.zero_()

    def to(self, device: torch.device | str) -> "Store":
        """Move to a device. Plans and modules made before are stale: `generation` tells."""
        self.flat, self.gradient = self.flat.to(device), self.gradient.to(device)
        self.release()
        return self

    def release(self) -> None:
        """Drop every alias: what was made over the store before is stale, as after `to`."""
        self._views.clear()
        self._homes.clear()
        self._fresh.clear()
        self.generation += 1

    def state_dict(self) -> dict[str, Tensor]:
        """Every parameter by name, as views of the store."""
        return {name: self.tensor(name) for name in self.places}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Copy parameters in place; names and sizes must be those of this store."""
        wrong = sorted(set(state) ^ set(self.places))
        wrong += [n for n, place in self.places.items() if n in state and tuple(state[n].shape) != place.size]
        if wrong:
            raise ValueError(f"these parameters do not fit: {', '.join(wrong[:8])}")
        with torch.no_grad():
            for name, value in state.items():
                self.tensor(name).copy_(value)


def _cut(whole: Tensor, runs: tuple[Runs, ...]) -> Tensor:
    for axis, ((start, length),) in enumerate(runs):
        whole = whole.narrow(axis, start, length)
    return whole


def _joined(view: View) -> Tensor:
    return torch.cat([_joined(p) for p in view.parts], view.axis) if isinstance(view, Cat) else view


def leaves(view: View) -> Iterator[nn.Parameter]:
    """The aliases of a view."""
    if isinstance(view, Cat):
        for part in view.parts:
            yield from leaves(part)
    else:
        yield view


def generator(seed: int, name: str) -> torch.Generator:
    """A generator that depends on the seed and the name alone."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def fill(tensor: Tensor, weight: Weight, source: torch.Generator) -> None:
    """Initialise a parameter in place: He et al. 2015 for convolutions, truncated normal for linear maps."""
    match weight.init:
        case "conv":
            tensor.normal_(0, sqrt(2 / prod(weight.fan)), generator=source)
        case "linear":
            std = sqrt(1 / prod(weight.fan))
            nn.init.trunc_normal_(tensor, std=std, a=-2 * std, b=2 * std, generator=source)
        case "zeros":
            tensor.zero_()
        case "ones":
            tensor.fill_(1)
        case "normal":
            tensor.normal_(0, weight.value, generator=source)
        case "constant":
            tensor.fill_(weight.value)


@cache
def _settle_layout_warning() -> None:
    """Torch warns once of a gradient laid out unlike its parameter; aliases are, on purpose: have it now."""
    with warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter("ignore")
        alias = nn.Parameter(torch.zeros(2, 4)[:, :2])
        alias.grad = torch.zeros(2, 4)[:, :2]
        alias.sum().backward()  # type: ignore[no-untyped-call]
