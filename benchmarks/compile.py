"""Compiling generated spaces, imports done: parse, model, elaboration, passes; then the tables of costs and decisions."""

from collections.abc import Iterator

from spaces import compiled, generated
from timing import Report, Target, interleave, ratio, seconds, spread

import hrdsl.compiler.cost
import hrdsl.compiler.decisions  # noqa: F401

ROUNDS = 4


def main() -> None:
    sizes: dict[str, int] = {}

    def variant(nodes: int):  # type: ignore[no-untyped-def]
        text = generated(nodes)

        def phases() -> Iterator[str]:
            space = compiled(text)
            yield "graph"
            _ = space.costs
            yield "costs"
            _ = space.decisions
            yield "decisions"
            sizes[str(nodes)] = len(space.graph.nodes)

        return phases

    times = interleave({str(n): variant(n) for n in (500, 2000, 4000)}, ROUNDS)
    report = Report("Compiling a space, after imports", ["nodes", "graph s", "costs s", "decisions s", "all s"])
    for name, count in sizes.items():
        parts = [f"{spread(seconds(times, name, p)).median:.3f}" for p in ("graph", "costs", "decisions")]
        report.add(f"{count:,}", *parts, spread(seconds(times, name)))
    growth = ratio(seconds(times, "4000"), seconds(times, "2000")).median / (sizes["4000"] / sizes["2000"])
    per = 2000 / sizes["2000"]
    report.targets += [
        Target("compile of 2,000 nodes to the graph", 1.0, per * spread(seconds(times, "2000", "graph")).median, "s"),
        Target("compile of 2,000 nodes with all tables", 1.0, per * spread(seconds(times, "2000")).median, "s"),
        Target("growth per node from 2,000 to 4,000", 1.2, growth, "x"),
    ]
    report.print()


if __name__ == "__main__":
    main()
