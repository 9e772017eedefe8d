"""The pictures of `hrdsl study`: supernet against stand-alone accuracy, hypervolume over evaluations. Numbers in, SVG out."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .agreement import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, GREY = "#0B5FFF", "#888888"
SHOWN = {"tau": "Kendall's tau", "rho": "Pearson's rho"}


@contextmanager
def drawing() -> Iterator[tuple["Axes", io.BytesIO]]:
    """Axes to draw on; the buffer holds the SVG behind the block. Equal numbers are equal bytes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "hrdsl"
    figure, axes = pyplot.subplots(figsize=(6, 4.5), constrained_layout=True)
    buffer = io.BytesIO()
    try:
        yield axes, buffer
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    finally:
        pyplot.close(figure)


def scatter(pairs: Sequence[tuple[float, float]], metric: str, agreement: Mapping[str, Estimate]) -> bytes:
    """One dot for each network; the coefficients with their intervals in the title."""
    with drawing() as (axes, buffer):
        axes.plot([x for x, _ in pairs], [y for _, y in pairs], "o", color=BLUE, alpha=0.8)
        axes.set(xlabel=f"{metric}, weights of the supernet", ylabel=f"{metric}, trained from scratch")
        words = [
            f"{words} {e.value:.2f} [{e.low:.2f}, {e.high:.2f}]"
            for name, words in SHOWN.items()
            if (e := agreement.get(name)) is not None
        ]
        axes.set_title("  ".join([f"{len(pairs)} networks", *words]), fontsize=10)
    return buffer.getvalue()


def curves(lines: Mapping[str, Sequence[tuple[int, Estimate]]]) -> bytes:
    """Hypervolume over evaluations: for each way to search its mean over seeds, and the interval as a band."""
    with drawing() as (axes, buffer):
        for colour, (name, points) in zip((BLUE, GREY), lines.items(), strict=False):
            at = [count for count, _ in points]
            axes.plot(at, [e.value for _, e in points], color=colour, label=name)
            axes.fill_between(
                at, [e.low for _, e in points], [e.high for _, e in points], color=colour, alpha=0.2, lw=0
            )
        axes.set(xlabel="evaluations", ylabel="hypervolume")
        axes.legend(loc="lower right")
    return buffer.getvalue()
