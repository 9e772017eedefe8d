"""Rules that several operators share."""

from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import partial, reduce
from itertools import combinations

from ...dsl import errors
from ...dsl.diagnostic import ArchError, Diagnostic
from ..axis import Chosen
from ..conditions import both, negate
from ..operator import Site
from ..shape import WORDS, Form, Shape, text
from ..sym import Table, Value, apply

PADDINGS = ("same", "valid")
"""What a window does at the border: half a window of padding, or none."""


def want(site: Site, operator: str, x: Shape, *forms: Form) -> None:
    """The input has one of these forms."""
    if x.form not in forms:
        raise ArchError(errors.wrong_form(operator, WORDS[x.form], " or ".join(WORDS[f] for f in forms), site.span))


def positive(site: Site, operator: str, name: str, value: Value, least: int = 1) -> None:
    """A whole number that is at least `least`."""
    if value.starts(least) if type(value) is Table else type(value) is int and value >= least:
        return

    def fault(example: str) -> ArchError:
        return ArchError(
            errors.out_of_range(
                f"{name}` of `{operator}",
                f"{text(value)}{example}",
                f"a whole number of at least {least}",
                site.at(name),
                site.span,
            )
        )

    site.check(
        apply("whole", value),
        lambda e: ArchError(errors.not_whole(f"{name}` of `{operator}", text(value), site.at(name), e, site.span)),
    )
    site.check(apply(">=", value, least), fault)


def odd(site: Site, operator: str, name: str, value: Value) -> None:
    """An odd number: the size of a window around a middle."""
    if type(value) is int and value % 2:
        return
    fact = apply("==", apply("%", value, 2), 1)
    what = f"{name}` of `{operator}"
    site.check(fact, lambda e: ArchError(errors.not_odd(what, text(value), site.at(name), e, site.span)))


def windows(
    site: Site, operator: str, x: Shape, kernel: Value, stride: Value, padding: Value, dilation: Value = 1
) -> tuple[Value, ...]:
    """How often a window fits along each side: ceil(side / stride) with half padding, else where it lies inside."""
    if padding not in PADDINGS:
        raise ArchError(errors.unknown_value("padding", str(padding), site.at("padding"), PADDINGS))
    if padding == "same":
        odd(site, operator, "kernel", kernel)
        return x.extent if stride == 1 else tuple(apply("ceil", e, stride) for e in x.extent)
    span = apply("+", apply("*", dilation, apply("-", kernel, 1)), 1)
    for e in x.extent:
        inside(site, operator, span, e)
    return tuple(apply("+", apply("//", apply("-", e, span), stride), 1) for e in x.extent)


def inside(site: Site, operator: str, span: Value, side: Value) -> None:
    """A window that is not padded is no larger than the map."""
    what, wanted = f"window` of `{operator}", f"at most {text(side)} pixels, a side of the map"
    site.check(
        apply("<=", span, side),
        lambda e: ArchError(errors.out_of_range(what, f"{text(span)}{e}", wanted, site.at("kernel"), site.span)),
    )


def half(kernel: int, padding: str, dilation: int = 1) -> int:
    """The padding of each side, in pixels."""
    return kernel // 2 * dilation if padding == "same" else 0


def divides(site: Site, operator: str, what: str, value: Value, setting: str, by: Value) -> None:
    """`value` is a multiple of `by`, a setting; of 1 it need not be told."""
    if by == 1:
        return
    place = site.at(setting)
    site.check(
        apply("==", apply("%", value, by), 0),
        lambda e: ArchError(errors.not_divisible(operator, what, text(value), text(by), place, e, site.span)),
    )


def same_extent(site: Site, what: str, x: tuple[Shape, ...]) -> None:
    """All inputs have one form, and those that flow together have one extent."""
    for first, other in pairs(x):
        if other.form != first.form:
            raise ArchError(errors.wrong_form(what, WORDS[other.form], WORDS[first.form], site.span))
        if first.extent == other.extent:
            continue
        sizes = "x".join(map(text, first.extent)), "x".join(map(text, other.extent))
        equal = (apply("==", a, b) for a, b in zip(first.extent, other.extent, strict=True))
        together(site, first, other, equal, partial(errors.size_mismatch, what, *sizes, site.span))
    same_copies(site, what, x)


def same_copies(site: Site, what: str, x: tuple[Shape, ...]) -> None:
    """Inputs that flow together are cut into equally many windows."""
    for first, other in pairs(x):
        if first.copies == other.copies:
            continue
        copies = text(first.copies), text(other.copies)
        fault = partial(errors.size_mismatch, what, *copies, site.span, windows=True)
        together(site, first, other, (apply("==", first.copies, other.copies),), fault)


def pairs(x: tuple[Shape, ...]) -> Iterable[tuple[Shape, Shape]]:
    """What must agree with what: all with the first, and, where that one may be `none`, each with each."""
    return combinations(x, 2) if x[0].present is not True else ((x[0], other) for other in x[1:])


def leading(x: tuple[Shape, ...]) -> Shape:
    """The shape of the first flow that is not `none`: flows that are never there together may differ."""
    always = next((s for s in x if s.present is True), None)
    return always or reduce(lambda rest, s: _or_else(s, rest), reversed(x))


def _or_else(a: Shape, b: Shape) -> Shape:
    absent = negate(a.present)

    def pick(one: Value, two: Value) -> Value:
        return one if one == two else apply("select", absent, one, two)

    channels = a.channels if a.width == b.width else Chosen(absent, (a.channels, b.channels))
    extent = tuple(pick(m, n) for m, n in zip(a.extent, b.extent, strict=True))
    return Shape(a.form, channels, extent, pick(a.stride, b.stride), copies=pick(a.copies, b.copies))


def same_width(site: Site, one: Shape, two: Shape) -> None:
    """Two inputs have one width wherever both flow."""
    if one.width == two.width:
        return
    fault = partial(errors.width_mismatch, text(one.width), text(two.width), site.span, one.form)
    together(site, one, two, (apply("==", one.width, two.width),), fault)


def together(site: Site, one: Shape, two: Shape, facts: Iterable[Value], fault: Callable[[str], Diagnostic]) -> None:
    """The facts hold wherever both flows are present."""
    apart = negate(both(one.present, two.present))
    for fact in facts:
        site.check(apply("or", apart, fact), lambda example: ArchError(fault(example)))


def further(stride: Value, by: Value) -> Value:
    return stride if by == 1 else apply("*", stride, by)


def real(value: int | float | Fraction) -> float:
    return float(value)
