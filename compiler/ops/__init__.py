"""The operators of the language: one class each. Imports `compiler.operator` and below, never torch."""

from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from functools import cache
from typing import TYPE_CHECKING

from ...dsl.model import COSTS, TIMES
from ...dsl.packages import entry_points, faulty, load, package
from ...dsl.pieces import WORDS
from ..functions import FUNCTIONS
from ..operator import KINDS, Operator, signature
from .attention import Attention, MaskedAttention
from .convolution import Conv, Depthwise, UpConv
from .coordinates import Coordinates
from .elementwise import Activation, Add, Dropout, DropPath, Identity, Multiply, Scale
from .folding import FoldChannels, UnfoldChannels
from .layout import Concat, Split, ToMap, ToTokens, Transpose
from .learned import Learned
from .linear import Linear
from .normalise import BatchNorm, LayerNorm
from .pool import AveragePool, GlobalPool, MaxPool
from .relative import RelativeAttention
from .resize import Rescale, Resize, ResizeTo
from .windows import FromWindows, Ones, Windows

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

BUILTIN: tuple[type[Operator], ...] = (
    Conv,
    UpConv,
    Depthwise,
    Linear,
    BatchNorm,
    LayerNorm,
    *Activation.all(),
    Identity,
    Dropout,
    DropPath,
    Scale,
    Add,
    Multiply,
    Concat,
    Split,
    ToTokens,
    ToMap,
    Transpose,
    Resize,
    Rescale,
    ResizeTo,
    MaxPool,
    AveragePool,
    GlobalPool,
    Attention,
    MaskedAttention,
    RelativeAttention,
    Windows,
    FromWindows,
    Ones,
    Coordinates,
    FoldChannels,
    UnfoldChannels,
    Learned,
)


class Operators(Mapping[str, type[Operator]]):
    """Every operator by its name in `.arch`. Those of packages are imported, and judged, when first asked for."""

    def __init__(self) -> None:
        self._known = {op.name: op for op in BUILTIN}
        self._entries = {entry.name: entry for entry in entry_points("hrdsl.operators") if self._may_add(entry)}

    def __getitem__(self, name: str) -> type[Operator]:
        if name not in self._known:
            self._known[name] = _judged(self._entries[name])
        return self._known[name]

    def __contains__(self, name: object) -> bool:
        return name in self._known or name in self._entries

    def __iter__(self) -> Iterator[str]:
        yield from {**self._known, **self._entries}

    def __len__(self) -> int:
        return len({**self._known, **self._entries})

    def _may_add(self, entry: "EntryPoint") -> bool:
        """Raises unless the name is free."""
        if entry.name in {*self._known, *FUNCTIONS, *COSTS, *TIMES, *WORDS}:
            raise faulty(entry, "operator", "the name belongs to the language")
        if not entry.name.isidentifier() or not entry.name.isascii():
            raise faulty(entry, "operator", "the name is no name of the language")
        others = {package(e) for e in entry_points("hrdsl.operators") if e.name == entry.name}
        if len(others) > 1:
            raise faulty(entry, "operator", f"several packages add it: {', '.join(sorted(others))}")
        return True


def _judged(entry: "EntryPoint") -> type[Operator]:
    """The class of an entry point. Raises ArchError where it is no operator."""
    found = load(entry, "operator")
    if not isinstance(found, type) or not issubclass(found, Operator) or not is_dataclass(found):
        raise faulty(
            entry, "operator", f"{entry.value} is no dataclass derived from `hrdsl.compiler.operator.Operator`"
        )
    missing = [m for m in ("shape", "lower") if getattr(found, m) is getattr(Operator, m)]
    if missing:
        raise faulty(entry, "operator", f"{entry.value} lacks the method `{missing[0]}`")
    if getattr(found, "name", None) != entry.name:
        raise faulty(entry, "operator", f"{entry.value} calls itself `{getattr(found, 'name', 'nothing')}`")
    unknown = [f.name for f in signature(found) if f.kind not in KINDS]
    if unknown:
        raise faulty(entry, "operator", f"the kind of its field `{unknown[0]}` is none of {', '.join(KINDS)}")
    return found


@cache
def operators() -> Operators:
    """Every operator: the built-in ones and those of installed packages."""
    return Operators()
