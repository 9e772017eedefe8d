"""Change of resolution without weights."""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import inf, nextafter
from typing import Any, ClassVar

from ...dsl import errors
from ...dsl.diagnostic import ArchError
from ..operator import Ask, Call, In, Operator, Out, Site, Step
from ..shape import Shape, text
from ..sym import Value, apply
from .common import positive, same_copies, want

MODES = ("nearest", "bilinear")


@dataclass(frozen=True, slots=True)
class Resize(Operator):
    """A map at the size of a second map. [C, H, W], like [., H', W'] -> [C, H', W'].

    `mode` is `nearest` or `bilinear` (half-pixel centres, `align_corners` false). The size is read from the second map when
    the network runs, so it works at every input size.
    """

    name: ClassVar[str] = "resize"
    affine: ClassVar[bool] = True
    summary: ClassVar[str] = "a map at the size of another map"
    inputs: ClassVar[int | None] = 2
    like: ClassVar[tuple[int, ...]] = (1,)

    mode: Value = field(default="bilinear", metadata={"kind": "text"})

    def shape(self, site: Site, *x: Shape) -> Shape:
        want(site, "resize", x[0], "map")
        want(site, "resize", x[1], "map")
        known_mode(site, self.mode)
        same_copies(site, "resized to each other", x)
        return x[1].wide(x[0].channels)

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        size = Call("hrdsl.size", (In(1),))
        return size, Call("torch.nn.functional.interpolate", (In(0), Out(0)), how(ask(self.mode)))


@dataclass(frozen=True, slots=True)
class Rescale(Operator):
    """A map at `ratio` times its size, rounded down. [C, H, W] -> [C, floor(H ratio), floor(W ratio)].

    `mode` as in `resize`: centres are mapped by the ratio of the two sizes, not by `ratio`. The size is read when the
    network runs. As the down- and up-sampling around a light-weight convolution (HyCTAS, Yu et al. 2024).
    """

    name: ClassVar[str] = "rescale"
    affine: ClassVar[bool] = True
    summary: ClassVar[str] = "a map at a multiple of its size"

    ratio: Value = field(metadata={"kind": "number"})
    mode: Value = field(default="bilinear", metadata={"kind": "text"})

    def shape(self, site: Site, *x: Shape) -> Shape:
        want(site, "rescale", x[0], "map")
        known_mode(site, self.mode)
        if self.ratio <= 0:
            what = "ratio` of `rescale"
            raise ArchError(errors.out_of_range(what, str(self.ratio), "a number above 0", site.at("ratio"), site.span))
        ratio = Fraction(self.ratio)
        extent = tuple(self._side(site, e, ratio) for e in x[0].extent)
        return replace(x[0], extent=extent, stride=apply("/", x[0].stride, ratio))

    @staticmethod
    def _side(site: Site, side: Value, ratio: Fraction) -> Value:
        """A side of the result; at least one pixel."""
        out = apply("//", apply("*", side, ratio.numerator), ratio.denominator)
        site.check(
            apply(">=", out, 1),
            lambda e: ArchError(
                errors.out_of_range(
                    "result` of `rescale", f"{text(out)}{e}", "at least 1 pixel", site.at("ratio"), site.span
                )
            ),
        )
        return out

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        factor = (("scale_factor", not_below(ask(self.ratio))), *how(ask(self.mode)), ("recompute_scale_factor", True))
        return (Call("torch.nn.functional.interpolate", (In(0),), factor),)


@dataclass(frozen=True, slots=True)
class ResizeTo(Operator):
    """A map at a fixed size. [C, H, W] -> [C, height, columns]. `mode` as in `resize`.

    The stride follows the height. As in front of the transformer of HR-NAS (Ding et al. 2021, arXiv 2106.06560, Section 3).
    """

    name: ClassVar[str] = "resize_to"
    affine: ClassVar[bool] = True
    summary: ClassVar[str] = "a map at a fixed size"

    height: Value
    columns: Value
    mode: Value = field(default="bilinear", metadata={"kind": "text"})

    def shape(self, site: Site, *x: Shape) -> Shape:
        want(site, self.name, x[0], "map")
        positive(site, self.name, "height", self.height)
        positive(site, self.name, "columns", self.columns)
        known_mode(site, self.mode)
        stride = apply("/", apply("*", x[0].stride, x[0].extent[0]), self.height)
        return replace(x[0], extent=(self.height, self.columns), stride=stride)

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        size = ask(self.height), ask(self.columns)
        return (Call("torch.nn.functional.interpolate", (In(0), size), how(ask(self.mode))),)


def known_mode(site: Site, mode: Value) -> None:
    if mode not in MODES:
        raise ArchError(errors.unknown_value("mode", str(mode), site.at("mode"), MODES))


def how(mode: str) -> tuple[tuple[str, Any], ...]:
    """The arguments of torch that say how values between pixels are found."""
    return ("mode", mode), *(() if mode == "nearest" else (("align_corners", False),))


def not_below(ratio: int | Fraction) -> float:
    """The float at or just above a ratio: a whole multiple of it is never rounded down to the one before."""
    near = float(ratio)
    return near if Fraction(near) >= ratio else nextafter(near, inf)
