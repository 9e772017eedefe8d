"""Change of resolution without weights."""

from dataclasses import dataclass, field
from typing import ClassVar

from ...dsl import errors
from ...dsl.diagnostic import ArchError
from ..operator import Ask, Call, In, Operator, Out, Site, Step
from ..shape import Shape
from ..sym import Value
from .common import same_copies, want

MODES = ("nearest", "bilinear")


@dataclass(frozen=True, slots=True)
class Resize(Operator):
    """A map at the size of a second map. [C, H, W], like [., H', W'] -> [C, H', W'].

    `mode` is `nearest` or `bilinear` (half-pixel centres, `align_corners` false). The size is read from the second map when
    the network runs, so it works at every input size.
    """

    name: ClassVar[str] = "resize"
    summary: ClassVar[str] = "a map at the size of another map"
    inputs: ClassVar[int | None] = 2

    mode: Value = field(default="bilinear", metadata={"kind": "text"})

    def shape(self, site: Site, *x: Shape) -> Shape:
        want(site, "resize", x[0], "map")
        want(site, "resize", x[1], "map")
        if self.mode not in MODES:
            raise ArchError(errors.unknown_value("mode", str(self.mode), site.at("mode"), MODES))
        same_copies(site, "resized to each other", x)
        return x[1].wide(x[0].channels)

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        mode = ask(self.mode)
        corners = () if mode == "nearest" else (("align_corners", False),)
        size = Call("hrdsl.size", (In(1),))
        return size, Call("torch.nn.functional.interpolate", (In(0), Out(0)), (("mode", mode), *corners))
