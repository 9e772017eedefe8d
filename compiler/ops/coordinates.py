"""Where pixels are, as a flow."""

from dataclasses import dataclass, field
from typing import ClassVar

from ...dsl import errors
from ...dsl.diagnostic import ArchError
from ..axis import fixed
from ..operator import Ask, Call, In, Operator, Out, Site, Step
from ..shape import Shape
from ..sym import Value
from .common import want

KINDS = ("standard", "unit")


@dataclass(frozen=True, slots=True)
class Coordinates(Operator):
    """Column and row of each pixel, two channels. [C, H, W] -> [2, H, W].

    `standard`: mean 0 and population deviation 1 over the map, 0 where a side is one pixel; as in the code of HR-NAS. `unit`:
    column / W and row / H, counted from 0, as in its paper (Ding et al. 2021, arXiv 2106.06560, Section 3).
    """

    name: ClassVar[str] = "coordinates"
    summary: ClassVar[str] = "column and row of each pixel"

    kind: Value = field(default="standard", metadata={"kind": "text"})

    def shape(self, site: Site, *x: Shape) -> Shape:
        want(site, self.name, x[0], "map")
        if self.kind not in KINDS:
            raise ArchError(errors.unknown_value("kind", str(self.kind), site.at("kind"), KINDS))
        return x[0].wide(fixed(2))

    def lower(self, ask: Ask, x: tuple[Shape, ...], y: Shape) -> tuple[Step, ...]:
        counted = (
            Call("torch.narrow", (In(0), 1, 0, 1)),
            Call("torch.ones_like", (Out(0),)),
            Call("torch.cumsum", (Out(1), 3)),
            Call("torch.cumsum", (Out(1), 2)),
        )
        return (*counted, *(_standard() if self.kind == "standard" else _unit()))


def _standard() -> tuple[Step, ...]:
    return (
        Call("torch.cat", ([Out(2), Out(3)], 1)),
        Call("hrdsl.size", (In(0),)),
        Call("torch.nn.functional.layer_norm", (Out(4), Out(5), None, None, 1e-12)),
    )


def _unit() -> tuple[Step, ...]:
    steps: list[Step] = []
    for k, axis in enumerate((3, 2)):
        steps.append(Call("hrdsl.length", (In(0), axis)))
        steps.append(Call("torch.sub", (Out(2 + k), 1)))
        steps.append(Call("torch.div", (Out(5 + 3 * k), Out(4 + 3 * k))))
    return (*steps, Call("torch.cat", ([Out(6), Out(9)], 1)))
