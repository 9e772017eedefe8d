"""The report of a search: one HTML file that needs nothing else, and the front as a picture."""

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from ..compiler.conventions import DEFAULT
from ..dsl.model import METRICS
from .files import write
from .objectives import objectives_of
from .results import Network
from .search.problem import Progress
from .searching import Searched

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}
table{border-collapse:collapse}th,td{padding:.3rem .7rem;text-align:right;border-bottom:1px solid #ddd}
th:first-child,td:first-child{text-align:left}code,pre{background:#f4f5f7;padding:.1rem .3rem;border-radius:3px}
pre{padding:.7rem;overflow:auto}img{max-width:100%;border:1px solid #eee}details{margin:.6rem 0}"""


def write_report(
    searched: Searched, networks: Sequence[Network], folder: Path, command: str, device: str, convention: str = DEFAULT
) -> Path:
    """`report.html` and `front.svg` in `folder`."""
    picture = write(folder / "front.svg", front_picture(searched, networks))
    body = [
        f"<h1>{escape(searched.compiled.space.name)}: {len(networks)} networks</h1>",
        f"<p>{escape(' '.join(searched.compiled.space.docs))}</p>",
        _facts(searched, device),
        f'<h2>Front</h2><img alt="front" src="{inline(picture)}">',
        listed(networks, convention),
        _parts(searched),
        f"<h2>Reproduce</h2><pre>{escape(command)}</pre>",
        f"<h2>Space</h2>{drawing(folder / 'space.svg')}",
        "<h2>Networks</h2>",
        *map(described, networks),
    ]
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>hrdsl: {escape(searched.compiled.space.name)}</title>'
    return write(folder / "report.html", f"{page}<style>{STYLE}</style>{''.join(body)}</html>\n")


def _spent(searched: Searched) -> dict[str, str]:
    """How candidates were measured, where this process did it."""
    found = searched.spent.facts()
    if not found["candidates"]:
        return {}
    seconds = ", ".join(f"{part} {spent:,.1f} s" for part, spent in found["seconds"].items())
    stopped = f", {found['stopped']} stopped early" if found["stopped"] else ""
    return {
        "measured": f"{found['images']:,.0f} images for each candidate{stopped}; {found['shared']:.0%} of calls shared",
        "measuring": seconds,
    }


def _facts(searched: Searched, device: str) -> str:
    count = searched.compiled.decisions.count()
    front = searched.front
    facts = {
        "architectures": f"{'' if count.exact else 'at most '}{count.value:,}",
        "evaluated": f"{front.evaluated} ({front.failed} failed)",
        "hypervolume": f"{front.hypervolume:.4g}" if front.hypervolume is not None else "-",
        "supernet": f"{searched.trainer.done} steps, {searched.trainer.store.flat.numel():,} parameters",
        "time": f"{searched.seconds / 60:.1f} min on {device}",
        **_spent(searched),
    }
    return (
        "<table>" + "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in facts.items()) + "</table>"
    )


def listed(networks: Sequence[Network], convention: str = DEFAULT) -> str:
    """Networks with what they cost and reach, as a table."""
    if not networks:
        return "<p>No network was found.</p>"
    columns = [*networks[0].values, *(k for k in networks[0].costs if k not in networks[0].values)]
    head = "".join(
        f"<th>{escape(c)}</th>" for c in ("network", *(convention if c == "operations" else c for c in columns))
    )
    rows = "".join(
        f"<tr><td>{n.name}</td>{''.join(f'<td>{_number({**n.costs, **n.values}[c])}</td>' for c in columns)}</tr>"
        for n in networks
    )
    return f"<table><tr>{head}</tr>{rows}</table>"


def _parts(searched: Searched) -> str:
    """What each part of a split search found by itself."""
    if "" in searched.parts:
        return ""
    rows = "".join(
        f"<tr><td>{escape(value)}</td><td>{front.evaluated:,}</td><td>{front.failed:,}</td><td>{len(front.members):,}</td>"
        f"<td>{f'{front.hypervolume:.4g}' if front.hypervolume is not None else '-'}</td></tr>"
        for value, front in searched.parts.items()
    )
    head = "".join(f"<th>{name}</th>" for name in ("value", "evaluated", "failed", "networks", "hypervolume"))
    split = searched.compiled.graph.splits[searched.run.name].syntax.span.text
    return f"<h2>By <code>{escape(split)}</code></h2><table><tr>{head}</tr>{rows}</table>"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.4f}"


def described(network: Network) -> str:
    """A network to unfold: its picture, its choices, its text."""
    choices = "".join(f"<tr><td>{escape(k)}</td><td>{escape(v)}</td></tr>" for k, v in network.choices.items())
    text = escape(network.arch.read_text())
    return f"<details><summary>{network.name}</summary>{drawing(network.picture)}<table>{choices}</table><pre>{text}</pre></details>"


def inline(path: Path) -> str:
    """An SVG file as an address that holds it."""
    return f"data:image/svg+xml;base64,{base64.b64encode(path.read_bytes()).decode()}"


def drawing(path: Path) -> str:
    """A picture within the page, or where its text lies."""
    if path.suffix == ".svg" and path.exists():
        return f'<img alt="{path.stem}" src="{inline(path)}">'
    return f"<p>Drawn as text in <code>{escape(path.with_suffix('.dot').name)}</code>; no renderer was found.</p>"


def front_picture(searched: Searched, networks: Sequence[Network]) -> bytes:
    """The front, and the hypervolume by generation, as SVG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "hrdsl"
    names = [o.name for o in objectives_of(searched.run)]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), width_ratios=(3, 2), constrained_layout=True)
    if len(names) > 1:
        xs, ys = ([n.values[name] / _scale(name) for n in networks] for name in (names[1], names[0]))
        left.plot(xs, ys, "o-", color="#0B5FFF")
        left.set(xlabel=_axis(names[1]), ylabel=_axis(names[0]), title="front")
    _growth(right, searched.generations)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    return buffer.getvalue()


def _scale(name: str) -> float:
    """Costs are drawn in millions."""
    return 1.0 if name in METRICS else 1e6


def _axis(name: str) -> str:
    return name if name in METRICS else f"{name} (millions)"


def _growth(axes: "Axes", generations: Sequence[Progress]) -> None:
    points = [(g.evaluated, g.hypervolume) for g in generations if g.hypervolume is not None]
    axes.plot([x for x, _ in points], [y for _, y in points], color="#444444")
    axes.set(xlabel="evaluations", ylabel="hypervolume", title="progress")
