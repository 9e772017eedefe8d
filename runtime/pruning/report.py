"""The report of a pruning: one HTML file that needs nothing else. Units over time, the cost, and the network as it shrinks."""

import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ...compiler.draw import dot, draw
from ...compiler.outline import outline
from ..files import write
from ..report import STYLE, described, drawing, inline, listed
from .history import history
from .pruning import Pruned

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SNAPSHOTS = 6
"""Pictures of the network on its way, at most."""
STEPS = ".step>input{margin:0 .2rem 0 .9rem}.step>div{display:none}" + "".join(
    f".step>input:nth-of-type({k}):checked~div:nth-of-type({k}){{display:block}}" for k in range(1, SNAPSHOTS + 1)
)


def write_report(pruned: Pruned, command: str, device: str) -> Path:
    """`report.html`, `history.svg` and `space.svg` beside the networks."""
    folder, space = pruned.folder / "front", pruned.compiled
    done = history(pruned)
    picture = write(folder / "history.svg", history_picture(done))
    draw(dot(outline((pruned.job.fixed or pruned.compiled).graph)), folder / "space.svg")
    body = [
        f"<h1>{escape(space.space.name)}: pruned to {len(pruned.networks)} networks</h1>",
        f"<p>{escape(' '.join(space.space.docs))}</p>",
        _facts(pruned, done, device),
        "<h2>Networks</h2>",
        listed(pruned.networks),
        f'<h2>History</h2><img alt="units and cost over steps" src="{inline(picture)}">',
        "<h2>Step by step</h2>",
        _steps(pruned),
        _kept(pruned),
        f"<h2>Reproduce</h2><pre>{escape(command)}</pre>",
        f"<h2>Space</h2>{drawing(folder / 'space.svg')}",
        "<h2>Details</h2>",
        *map(described, pruned.networks),
    ]
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>hrdsl: {escape(space.space.name)}</title>'
    return write(folder / "report.html", f"{page}<style>{STYLE}{STEPS}</style>{''.join(body)}</html>\n")


def _facts(pruned: Pruned, done: dict[str, Any], device: str) -> str:
    trainer = pruned.trainer
    before, after = sum(trainer.start), sum(trainer.left.counts())
    facts = {
        "units": f"{before:,} in {len(done['groups'])} groups; {after:,} left",
        done["cost"]: f"{done['full']:,.0f} at the start; budgets {', '.join(f'{b:,.0f}' for b in done['budgets'])}",
        "removals": f"{len(done['events'])} in {trainer.done:,} steps",
        "importance": f"by {trainer.settings.importance}",
        "time": f"{trainer.seconds / 60:.1f} min on {device}",
    }
    rows = "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in facts.items())
    return f"<table>{rows}</table>"


def _kept(pruned: Pruned) -> str:
    """The decisions that could not be pruned."""
    if not pruned.kept:
        return ""
    rows = "".join(f"<tr><td>{escape(k.decision.path)}</td><td>{escape(k.reason)}</td></tr>" for k in pruned.kept)
    return f"<h2>Not pruned</h2><p>As in the largest network:</p><table>{rows}</table>"


# Step by step ------------------------------------------------------------------------------------------------------


def _steps(pruned: Pruned) -> str:
    """The network at the start and after some removals, one picture at a time."""
    frames = [_frame(pruned, k, step, counts, cost) for k, (step, counts, cost) in enumerate(snapshots(pruned))]
    return f'<div class="step">{"".join(a for a, _ in frames)}{"".join(b for _, b in frames)}</div>'


def snapshots(pruned: Pruned) -> list[tuple[int, Sequence[int], float]]:
    """Step, units left in each group and cost: of the start, of some removals, of the last one."""
    trainer = pruned.trainer
    every = [(0, trainer.start, trainer.full), *((e.step, e.counts, e.cost) for e in trainer.events)]
    last = len(every) - 1
    count = min(SNAPSHOTS, len(every))
    return [every[round(k * last / max(1, count - 1))] for k in range(count)]


def _frame(pruned: Pruned, k: int, step: int, counts: Sequence[int], cost: float) -> tuple[str, str]:
    """A button and what it shows."""
    checked = " checked" if k == 0 else ""
    button = f'<input type="radio" name="step" id="step{k}"{checked}><label for="step{k}">step {step}</label>'
    genome = pruned.trainer.left.genome_with(counts)
    with TemporaryDirectory() as folder:
        drawn = draw(dot(outline(pruned.compiled.graph, genome)), Path(folder) / f"step {step}.svg")
        picture = drawing(drawn.path)
    words = f"step {step}: {sum(counts):,} units, {pruned.job.strategy.options['cost']} {cost:,.0f}"
    return button, f"<div><p>{words}</p>{picture}</div>"


# The history as a picture ------------------------------------------------------------------------------------------


def history_picture(done: dict[str, Any]) -> bytes:
    """Units by kernel and by branch, the cost against its budgets and the strength of the pull, over steps; as SVG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "hrdsl"
    figure, axes = pyplot.subplots(1, 3, figsize=(13, 4), constrained_layout=True)
    for place, key in zip(axes[:2], ("kernel", "branch"), strict=True):
        _stacked(place, done, key)
    _spent(axes[2], done)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    return buffer.getvalue()


def stacked(done: dict[str, Any], key: str) -> tuple[list[int], dict[str, list[int]]]:
    """The steps at which units change, and those left by `kernel` or by `branch`, as they are drawn: as stairs."""
    groups = done["groups"]
    names = sorted({g[key] for g in groups})
    steps, rows = [0], [[g["units"] for g in groups]]
    for event in done["events"]:
        steps += [event["step"], event["step"]]
        rows += [rows[-1], event["units"]]
    steps, rows = [*steps, done["steps"]], [*rows, rows[-1]]
    sums = {n: [sum(u for u, g in zip(row, groups, strict=True) if g[key] == n) for row in rows] for n in names}
    return steps, sums


def _stacked(axes: "Axes", done: dict[str, Any], key: str) -> None:
    steps, sums = stacked(done, key)
    axes.stackplot(steps, list(sums.values()), labels=list(sums), alpha=0.85)
    axes.set(xlabel="step", ylabel="units left", title=f"by {key}", xlim=(0, done["steps"]), ylim=(0, None))
    if len(sums) <= 12:
        axes.legend(loc="lower left", fontsize="small")


def _spent(axes: "Axes", done: dict[str, Any]) -> None:
    events = done["events"]
    steps = [0, *(e["step"] for e in events), done["steps"]]
    costs = [done["full"], *(e["cost"] for e in events)]
    axes.step(steps, [c / 1e6 for c in [*costs, costs[-1]]], where="post", color="#0B5FFF", label=done["cost"])
    for budget in done["budgets"]:
        axes.axhline(budget / 1e6, color="#888888", linewidth=0.8, linestyle="--")
    axes.set(xlabel="step", ylabel=f"{done['cost']} (millions)", title="cost and budgets", ylim=(0, None))
    pull = axes.twinx()
    pull.plot([e["step"] for e in events], [e["strength"] for e in events], ".-", color="#C4502B", linewidth=0.8)
    pull.set(ylabel="strength of the pull", yscale="log" if all(e["strength"] for e in events) else "linear")
