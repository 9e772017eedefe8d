"""Normalisation."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar, Literal

from ...dsl import errors
from ...dsl.diagnostic import ArchError
from ..operator import Ask, Call, In, Norm, Operator, Out, Par, Site, Step, Weight
from ..shape import Shape
from ..sym import Value
from .common import real, want


def _affine(y: Shape, init: Value = 1) -> tuple[Weight, ...]:
    factor = Weight("weight", (y.channels,), "ones") if init == 1 else _constant(y, real(init))
    return factor, Weight("bias", (y.channels,), "zeros")


def _constant(y: Shape, value: float) -> Weight:
    return Weight("weight", (y.channels,), "constant", value=value)


def _small(site: Site, title: str, setting: str, value: Any) -> None:
    if not 0 <= value.numerator <= value.denominator:
        want = "from 0 to 1; the width is that of the flow"
        raise ArchError(errors.out_of_range(title, str(value), want, site.at(setting), site.span))


@dataclass(frozen=True, slots=True)
class BatchNorm(Operator):
    """Batch normalisation of each channel. Any form -> the same. Statistics and affine terms follow the channel axis.

    `init` is the first value of the learned factor: with 0 a branch that ends here begins silent (Goyal et al. 2017, 5.1).
    """

    name: ClassVar[str] = "bn"
    scales: ClassVar[str] = "weight"
    summary: ClassVar[str] = "batch normalisation"

    eps: Value = field(default=Fraction(1, 100_000), metadata={"kind": "number"})
    momentum: Value = field(default=Fraction(1, 10), metadata={"kind": "number"})
    init: Value = field(default=1, metadata={"kind": "number"})

    def shape(self, site: Site, *x: Shape) -> Shape:
        want(site, "bn", x[0], "map", "tokens", "vector")
        _small(site, "eps` of `bn", "eps", self.eps)
        _small(site, "momentum` of `bn", "momentum", self.momentum)
        return x[0]

    def weights(self, x: tuple[Shape, ...], y: Shape) -> tuple[Weight, ...]:
        return _affine(y, self.init)

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        norm = Norm(ask(y.width), real(ask(self.eps)), real(ask(self.momentum)))
        if y.form != "tokens":
            return (norm,)
        return Call("torch.flatten", (In(0), 0, 1)), norm, Call("torch.Tensor.view_as", (Out(1), In(0)))


@dataclass(frozen=True, slots=True)
class LayerNorm(Operator):
    """Layer normalisation over channels of tokens, vectors, or each pixel of a map. Any form -> the same."""

    name: ClassVar[str] = "ln"
    summary: ClassVar[str] = "layer normalisation over channels"

    eps: Value = field(default=Fraction(1, 100_000), metadata={"kind": "number"})

    def shape(self, site: Site, *x: Shape) -> Shape:
        want(site, "ln", x[0], "map", "tokens", "vector")
        _small(site, "eps` of `ln", "eps", self.eps)
        return x[0]

    def weights(self, x: tuple[Shape, ...], y: Shape) -> tuple[Weight, ...]:
        return _affine(y)

    def ordered(self) -> tuple[Literal["channels", "tokens"], ...]:
        return ("channels",)

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        rest = ((ask(y.width),), Par("weight"), Par("bias"), real(ask(self.eps)))
        if y.form != "map":
            return (Call("torch.nn.functional.layer_norm", (In(0), *rest)),)
        last = Call("torch.permute", (In(0), (0, 2, 3, 1)))
        return (
            last,
            Call("torch.nn.functional.layer_norm", (Out(0), *rest)),
            Call("torch.permute", (Out(1), (0, 3, 1, 2))),
        )
