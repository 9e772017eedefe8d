"""What flows between operators: a map [C, H, W], tokens [N, C] or a vector [C], each without its batch axis."""

from dataclasses import replace
from typing import Literal

from .axis import Axis, prefix
from .record import record
from .sym import Apply, Decision, Table, Value, apply, deps, merge

Form = Literal["map", "tokens", "vector", "outputs"]
WORDS = {"map": "a map [C, H, W]", "tokens": "tokens [N, C]", "vector": "a vector [C]", "outputs": "several outputs"}


@record(frozen=True, slots=True)
class Shape:
    """`channels` is the index set of the channel axis; `extent` is (H, W), (N,) or (); `stride` is relative to the input.

    A sample has `copies` of such a flow: its windows, along the batch axis of tensors.
    """

    form: Form
    channels: Axis
    extent: tuple[Value, ...]
    stride: Value = 1
    present: Value = True
    """Where it is false, the flow is `none`."""
    copies: Value = 1
    rows: Axis | None = None
    """The index set of the tokens, where they were channels; otherwise they are a prefix."""

    @property
    def width(self) -> Value:
        return self.channels.size

    @property
    def tokens(self) -> Axis:
        """The index set of the tokens."""
        return self.rows or prefix(self.points)

    @property
    def points(self) -> Value:
        """Pixels or tokens of one copy: the product of the extent."""
        total: Value = 1
        for e in self.extent:
            total = apply("*", total, e)
        return total

    @property
    def elements(self) -> Value:
        """Numbers in one sample."""
        return apply("*", apply("*", self.width, self.points), self.copies)

    @property
    def deps(self) -> tuple[Decision, ...]:
        rows = () if self.rows is None else self.rows.deps
        return merge((self.channels.deps, rows, *(deps(e) for e in self.extent), deps(self.copies)))

    def where(self, present: Value) -> "Shape":
        return self if present is self.present else replace(self, present=present)

    def wide(self, channels: Axis) -> "Shape":
        return self.sized(channels, self.extent, self.stride)

    def sized(self, channels: Axis, extent: tuple[Value, ...], stride: Value) -> "Shape":
        """The same flow with other channels and of another extent."""
        return Shape(self.form, channels, extent, stride, self.present, self.copies, self.rows)

    def __str__(self) -> str:
        extent = [text(e) for e in self.extent]
        inner = [text(self.width), *extent] if self.form != "tokens" else [*extent, text(self.width)]
        copies = "" if self.copies == 1 else f" x {text(self.copies)}"
        return f"{self.form}[{', '.join(inner)}]{copies}"


def text(value: Value) -> str:
    """A value for people: `24`, or all values it can take, `24|32|48`."""
    if isinstance(value, Table):
        options = list(dict.fromkeys(map(str, value.values)))
        return "|".join(options) if len(options) <= 8 else f"{options[0]}|...|{options[-1]}"
    return "?" if isinstance(value, Apply) else str(value)
