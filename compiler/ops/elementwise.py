"""Operators that treat every number alone, and sums and products of flows."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar, Literal, cast

from ...dsl import errors
from ...dsl.diagnostic import ArchError
from ..axis import fixed
from ..operator import Ask, Call, In, Operator, Out, Par, Site, Step, Weight
from ..shape import Shape
from ..sym import Value
from .common import leading, pairs, real, same_copies, same_extent, same_width


@dataclass(frozen=True, slots=True)
class Activation(Operator):
    """An activation function. Any form -> the same."""

    function: ClassVar[str]
    arguments: ClassVar[tuple[Any, ...]] = ()

    def shape(self, site: Site, *x: Shape) -> Shape:
        return x[0]

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        return (Call(self.function, (In(0), *self.arguments)),)

    def level(self) -> bool:
        return True

    @staticmethod
    def all() -> tuple[type["Activation"], ...]:
        return Relu, Relu6, Gelu, Silu, Hardswish, Hardsigmoid, Sigmoid, Tanh, Softmax


class Relu(Activation):
    name = "relu"
    summary = "max(x, 0)"
    function = "torch.relu"


class Relu6(Activation):
    name = "relu6"
    summary = "min(max(x, 0), 6)"
    function = "torch.nn.functional.relu6"


class Gelu(Activation):
    name = "gelu"
    summary = "x Phi(x)"
    function = "torch.nn.functional.gelu"


class Silu(Activation):
    name = "silu"
    summary = "x sigmoid(x), also called swish"
    function = "torch.nn.functional.silu"


class Hardswish(Activation):
    name = "hardswish"
    summary = "x relu6(x + 3) / 6"
    function = "torch.nn.functional.hardswish"


class Hardsigmoid(Activation):
    name = "hardsigmoid"
    summary = "relu6(x + 3) / 6"
    function = "torch.nn.functional.hardsigmoid"


class Sigmoid(Activation):
    name = "sigmoid"
    summary = "1 / (1 + exp(-x))"
    function = "torch.sigmoid"


class Tanh(Activation):
    name = "tanh"
    summary = "hyperbolic tangent"
    function = "torch.tanh"


@dataclass(frozen=True, slots=True)
class Softmax(Activation):
    """Softmax over channels."""

    name = "softmax"
    summary = "softmax over channels"
    function = "torch.softmax"

    def ordered(self) -> tuple[Literal["channels", "tokens"], ...]:
        return ("channels",)

    def level(self) -> bool:
        return False

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        return (Call("torch.softmax", (In(0), -1 if y.form == "tokens" else 1)),)


@dataclass(frozen=True, slots=True)
class Identity(Operator):
    """The flow itself."""

    name: ClassVar[str] = "identity"
    affine: ClassVar[bool] = True
    summary: ClassVar[str] = "the flow itself"

    def shape(self, site: Site, *x: Shape) -> Shape:
        return x[0]

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class Dropout(Operator):
    """Dropout with probability `p` in training; nothing in evaluation."""

    name: ClassVar[str] = "dropout"
    summary: ClassVar[str] = "dropout in training"

    p: Value = field(default=Fraction(1, 2), metadata={"kind": "number"})

    def shape(self, site: Site, *x: Shape) -> Shape:
        return x[0]

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        return (Call("torch.nn.functional.dropout", (In(0), real(ask(self.p)), TRAINING)),)


@dataclass(frozen=True, slots=True)
class DropPath(Operator):
    """In training each sample is 0 with probability `rate`, otherwise divided by 1 - rate; nothing in evaluation. Any form ->
    the same.

    It ends the residual branch that is left out: stochastic depth (Huang et al. 2016, arXiv 1603.09382, Section 3; of paths,
    Larsson et al. 2017, arXiv 1605.07648).
    """

    name: ClassVar[str] = "drop_path"
    summary: ClassVar[str] = "stochastic depth in training"

    rate: Value = field(default=Fraction(1, 10), metadata={"kind": "number"})

    def shape(self, site: Site, *x: Shape) -> Shape:
        if not 0 <= cast(Fraction, self.rate) < 1:
            title, rate = "rate` of `drop_path", str(self.rate)
            raise ArchError(errors.out_of_range(title, rate, "at least 0 and below 1", site.at("rate"), site.span))
        if x[0].copies != 1:
            help = "drop what has been joined: `from_windows(x) -> drop_path`"
            raise ArchError(
                errors.wrong_form("drop_path", "one in windows", "a flow of whole samples", site.span, help)
            )
        return x[0]

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        rate = real(ask(self.rate))
        if not rate:
            return ()
        # The samples as channels of one sample, of which whole ones are dropped.
        drop = f"torch.nn.functional.dropout{DIMENSIONS[y.form]}d"
        return (
            Call("torch.unsqueeze", (In(0), 0)),
            Call(drop, (Out(0), rate, TRAINING)),
            Call("torch.squeeze", (Out(1), 0)),
        )


DIMENSIONS = {"map": 3, "tokens": 2, "vector": 1}
"""Axes behind that of the samples."""
TRAINING = "<training>"
"""Stands for the flag that says whether a network trains."""


@dataclass(frozen=True, slots=True)
class Scale(Operator):
    """A factor: one for all (`each = false`) or one for each channel, from `init`. Any form -> the same.

    It is learned, or with `learned = false` stays `init`.
    """

    name: ClassVar[str] = "scale"
    affine: ClassVar[bool] = True
    summary: ClassVar[str] = "a factor, learned or fixed"

    init: Value = field(default=1, metadata={"kind": "number"})
    each: Value = field(default=False, metadata={"kind": "flag"})
    learned: Value = field(default=True, metadata={"kind": "flag"})

    def shape(self, site: Site, *x: Shape) -> Shape:
        return x[0]

    def weights(self, x: tuple[Shape, ...], y: Shape) -> tuple[Weight, ...]:
        if not self.learned:
            return ()
        return (Weight("weight", (y.channels if self.each else fixed(1),), "constant", value=real(self.init)),)

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        if not self.learned:
            return (Call("torch.mul", (In(0), real(self.init))),)
        if self.each and y.form == "map":
            return Call("torch.reshape", (Par("weight"), (-1, 1, 1))), Call("torch.mul", (In(0), Out(0)))
        return (Call("torch.mul", (In(0), Par("weight"))),)


@dataclass(frozen=True, slots=True)
class Add(Operator):
    """The sum of flows of one width and one size. An input that is `none` does not count."""

    name: ClassVar[str] = "sum"
    affine: ClassVar[bool] = True
    joins: ClassVar[bool] = True
    summary: ClassVar[str] = "the sum of flows"
    inputs: ClassVar[int | None] = None

    def shape(self, site: Site, *x: Shape) -> Shape:
        same_extent(site, "added", x)
        for one, other in pairs(x):
            same_width(site, one, other)
        return leading(x)

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        steps: list[Step] = []
        for i in range(1, len(x)):
            steps.append(Call("torch.add", (In(0) if i == 1 else Out(i - 2), In(i))))
        return tuple(steps)


@dataclass(frozen=True, slots=True)
class Multiply(Operator):
    """The product of two flows; a vector scales the channels of a map or of tokens, a width of 1 scales all."""

    name: ClassVar[str] = "multiply"
    joins: ClassVar[bool] = True
    summary: ClassVar[str] = "the product of two flows"
    inputs: ClassVar[int | None] = 2

    def shape(self, site: Site, *x: Shape) -> Shape:
        a, b = x
        if b.form != "vector":
            same_extent(site, "multiplied", x)
        same_copies(site, "multiplied", x)
        if b.width != 1:
            same_width(site, a, b)
        return a

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        a, b = x
        if b.form == "vector" and a.form != "vector":
            view = (-1, ask(b.width), 1, 1) if a.form == "map" else (-1, 1, ask(b.width))
            return Call("torch.reshape", (In(1), view)), Call("torch.mul", (In(0), Out(0)))
        return (Call("torch.mul", (In(0), In(1))),)
