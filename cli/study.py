"""`hrdsl study`: what a study holds, how far its supernet can be trusted, whether its search beats chance."""

from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import UsageError, add_space, compiled, show, table, whole
from .progress import Meter, clock
from .running import add_running, device, one_line

if TYPE_CHECKING:
    from ..compiler.api import Compiled
    from ..runtime.search.problem import Progress
    from ..runtime.trust.correlation import Heard, Standing
    from ..runtime.trust.setting import Setting
    from .common import Verbs

NAMES = {"tau": "Kendall's tau", "rho": "Pearson's rho", "spearman": "Spearman's rho"}


def declare(verbs: "Verbs") -> None:
    parser = verbs.add_parser("study")
    parser.add_argument(
        "action",
        choices=("show", "correlate", "compare"),
        help="show DIR; correlate FILE --study DIR; compare FILE --study DIR",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="an .arch file; for `show` the folder of a study")
    parser.add_argument("--study", metavar="DIR", type=Path, help="the folder that keeps everything; continues there")
    parser.add_argument("--train", metavar="NAME", help="the `train` block of that name (default: the first)")
    parser.add_argument("--search", metavar="NAME", help="the `search` block of that name (default: the first)")
    group = parser.add_argument_group("correlate")
    group.add_argument("--networks", metavar="N", type=whole(3), default=20, help="networks to train (default: 20)")
    group.add_argument(
        "--sample",
        choices=("prior", "macs"),
        default="prior",
        help="as `sample` draws them (default), or spread by MACs",
    )
    group.add_argument("--steps", metavar="N", type=whole(), help="steps of each (default: those of the `train` block)")
    group.add_argument(
        "--batch", metavar="N", type=whole(), help="images in a step (default: those of the `train` block)"
    )
    group.add_argument(
        "--repeats",
        metavar="N",
        type=whole(),
        default=1,
        help="trainings of each, every one with another seed (default: 1)",
    )
    group.add_argument("--seed", metavar="N", type=whole(0), help="seed of the sample, the weights and the batches")
    group = parser.add_argument_group("compare")
    group.add_argument("--seeds", metavar="N", type=whole(), default=3, help="searches of each kind (default: 3)")
    group.add_argument(
        "--times",
        metavar="N",
        type=whole(),
        default=1,
        help="evaluations of random search for each of the search (default: 1)",
    )
    add_running(parser)
    add_space(parser)


def run(args: Namespace) -> int:
    if args.action == "show":
        return _show(args)
    if args.study is None:
        raise UsageError(f"study {args.action}: `--study DIR` says where the supernet is, or is to be kept")
    return _correlate(args) if args.action == "correlate" else _compare(args)


# show --------------------------------------------------------------------------------------------------------------


def _show(args: Namespace) -> int:
    from ..runtime.trust.summary import summary

    with one_line():
        data = summary(args.file)
    return show(args, data, _lines(data))


def _lines(data: Mapping[str, Any]) -> list[str]:
    """A study for people."""
    settings = ", ".join(f"{name} {_plain(value)}" for name, value in data["configuration"].items())
    lines = [
        f"study {data['path']}",
        f"goals: {', '.join(data['objectives'])}",
        f"search: {settings}, seed {data['seed']}",
        f"evaluated: {data['evaluated']} ({data['failed']} failed, {data['estimated']} estimated) in {clock(data['seconds'])}",
        *(f"  failed {f['count']} times: {f['reason']}" for f in data["failures"]),
    ]
    goals = [goal.split()[1] for goal in data["objectives"]]
    head = ["generation", "evaluated", "failed", "front", "hypervolume", *(f"best {g}" for g in goals[:1]), "seconds"]
    rows = [_generation(g) for g in data["generations"]]
    lines += ["", *table([head, *rows], right=range(len(head)), indent=0)] if rows else []
    found = [[_number(member[g]) for g in goals] for member in data["front"]]
    return lines + (
        ["", f"front: {len(found)} networks", *table([goals, *found], right=range(len(goals)))] if found else []
    )


def _generation(state: Mapping[str, Any]) -> list[str]:
    counts = [str(state[name]) for name in ("generation", "evaluated", "failed", "front")]
    best = _number(state["best"][0]) if state["best"] else "-"
    return [*counts, f"{state['hypervolume']:.4f}", best, f"{state['seconds']:.1f}"]


# correlate ---------------------------------------------------------------------------------------------------------


def _correlate(args: Namespace) -> int:
    from ..runtime.faults import RunError
    from ..runtime.trust import correlation

    space, meter = compiled(args), Meter(args.quiet)
    with one_line():
        setting = _setting(args, space, meter)
        given = {k: getattr(args, k) for k in ("steps", "batch", "seed") if getattr(args, k) is not None}
        found = setting.correlate(args.networks, args.sample, given, _alone(meter), args.repeats)
        folder = args.study / "correlation"
        data = {
            "path": str(args.study),
            "space": space.space.name,
            "sample": args.sample,
            "repeats": args.repeats,
            **setting.recipe(given),
            **correlation.as_json(found, space.decisions.labels),
        }
        report, picture = correlation.write_report(found, data, folder)
        if not found.agreement:
            raise RunError(f"only {len(found.compared)} networks could be compared; see {report}")
    return show(args, {**data, "report": str(report), "picture": str(picture)}, _agreement(data, report, picture))


def _agreement(data: Mapping[str, Any], report: Path, picture: Path) -> list[str]:
    """A correlation for people."""
    rows = [["", "value", "95 % interval"]]
    for name, e in data["agreement"].items():
        words = NAMES.get(name) or f"regret, first {name.removeprefix('regret_')}"
        rows.append([words, _part(e["value"]), f"{_part(e['low'])} to {_part(e['high'])}"])
    lost = [f"network {k}: {n['error']}" for k, n in enumerate(data["networks"], 1) if n["error"]]
    head = f"{data['compared']} of {len(data['networks'])} networks compared, {data['metric']} on {data['validate']} images"
    again = [f"{NAMES[name]} of two trainings: {_part(value)}" for name, value in data["repeated"].items()]
    return [head, *lost, *table(rows, right=(1,), indent=0), *again, f"report: {report}", f"picture: {picture}"]


def _alone(meter: Meter) -> "Heard":
    def heard(state: "Standing") -> None:
        step = state.step
        words = f"training {state.network}/{state.networks}  step {step.step}/{step.steps}  loss {step.loss:.3f}"
        meter.line(f"{words}  {clock(state.left)} left", step.step == step.steps)

    return heard


# compare -----------------------------------------------------------------------------------------------------------


def _compare(args: Namespace) -> int:
    from ..runtime.trust import comparison

    space, meter = compiled(args), Meter(args.quiet)
    with one_line():
        setting = _setting(args, space, meter)
        found = setting.compare(range(args.seeds), args.times, _searching(meter))
        data = {
            "path": str(args.study),
            "space": space.space.name,
            "seeds": args.seeds,
            "times": args.times,
            **comparison.as_json(found),
        }
        report, picture = comparison.write_report(found, data, args.study / "comparison")
    return show(args, {**data, "report": str(report), "picture": str(picture)}, _verdict(data, report, picture))


def _verdict(data: Mapping[str, Any], report: Path, picture: Path) -> list[str]:
    """A comparison for people."""
    rows = [["search", "evaluations", *(f"seed {seed}" for seed in range(data["seeds"])), "mean"]]
    for name, race in data["searches"].items():
        values = list(race["hypervolume"].values())
        mean = race["curve"][-1]["value"]
        rows.append([name, str(race["evaluations"]), *(f"{v:.4f}" for v in values), f"{mean:.4f}"])
    gain = data["difference"]
    words = f"difference: {gain['value']:+.4f}, 95 % interval {_part(gain['low'])} to {_part(gain['high'])}"
    needed = [str(n) if n is not None else "never" for n in data["needed"].values()]
    more = f"evaluations until it had more than random search at its end: {', '.join(needed)}"
    return [
        *table(rows, right=range(1, len(rows[0])), indent=0),
        words,
        more,
        f"report: {report}",
        f"picture: {picture}",
    ]


def _searching(meter: Meter) -> "Callable[[str, int, Progress], None]":
    def heard(way: str, seed: int, state: "Progress") -> None:
        words = f"{way}, seed {seed}: generation {state.generation}/{state.generations}"
        meter.line(f"{words}  {state.evaluated}/{state.total} evaluated  front {len(state.front)}", True)

    return heard


# shared ------------------------------------------------------------------------------------------------------------


def _setting(args: Namespace, space: "Compiled", meter: Meter) -> "Setting":
    """The trained supernet of the study, and the images."""
    from ..runtime.searching import Listener, runs_of
    from ..runtime.trust.setting import Setting

    train, search = runs_of(space, args.train, args.search)
    listen = Listener(meter.training, meter.generation, meter.evaluated, meter.latency)
    return Setting.of(space, train, search, args.study, device(args), listen, args.cache)


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.0f}"


def _part(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
