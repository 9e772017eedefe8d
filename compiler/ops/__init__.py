"""The operators of the language: one class each. Imports `compiler.operator` and below, never torch."""

from functools import cache

from ...dsl.packages import entry_points
from ..operator import Operator
from .attention import Attention
from .convolution import Conv, Depthwise
from .elementwise import Activation, Add, Dropout, Identity, Multiply, Scale
from .layout import Concat, Split, ToMap, ToTokens
from .learned import Learned
from .linear import Linear
from .normalise import BatchNorm, LayerNorm
from .pool import AveragePool, GlobalPool, MaxPool
from .resize import Resize

BUILTIN: tuple[type[Operator], ...] = (
    Conv,
    Depthwise,
    Linear,
    BatchNorm,
    LayerNorm,
    *Activation.all(),
    Identity,
    Dropout,
    Scale,
    Add,
    Multiply,
    Concat,
    Split,
    ToTokens,
    ToMap,
    Resize,
    MaxPool,
    AveragePool,
    GlobalPool,
    Attention,
    Learned,
)


@cache
def operators() -> dict[str, type[Operator]]:
    """Every operator by its name in `.arch`: the built-in ones and those of installed packages."""
    table = {op.name: op for op in BUILTIN}
    for entry in entry_points("hrdsl.operators"):
        found = entry.load()
        if found.name in table:
            raise ValueError(f"operator `{found.name}` of {entry.value} is declared twice")
        table[found.name] = found
    return table
