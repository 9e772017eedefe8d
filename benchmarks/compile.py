"""Compiling generated spaces, imports done: parse, model, elaboration, passes; then the tables of costs and decisions."""

from collections.abc import Iterator

from spaces import compiled, generated, staged
from timing import Report, Target, interleave, ratio, seconds, spread

import hrdsl.compiler.cost
import hrdsl.compiler.decisions  # noqa: F401

ROUNDS = 4


def main() -> None:
    sizes: dict[str, int] = {}
    texts = {str(n): generated(n) for n in (500, 2000, 5000, 10000)}
    texts["many stages"] = staged(10_000)

    def variant(name: str):  # type: ignore[no-untyped-def]
        text = texts[name]

        def phases() -> Iterator[str]:
            space = compiled(text)
            yield "graph"
            _ = space.costs
            yield "costs"
            _ = space.decisions
            yield "decisions"
            sizes[name] = len(space.graph.nodes)

        return phases

    times = interleave({name: variant(name) for name in texts}, ROUNDS)
    head = ["nodes", "lines", "graph s", "costs s", "decisions s", "all s"]
    report = Report("Compiling a space, after imports", head)
    for name, count in sizes.items():
        parts = [f"{spread(seconds(times, name, p)).median:.3f}" for p in ("graph", "costs", "decisions")]
        report.add(f"{count:,}", f"{texts[name].count(chr(10)):,}", *parts, spread(seconds(times, name)))
    growth = ratio(seconds(times, "10000"), seconds(times, "5000")).median / (sizes["10000"] / sizes["5000"])
    per = 5000 / sizes["5000"]
    report.targets += [
        Target("compile of 5,000 nodes to the graph", 1.0, per * spread(seconds(times, "5000", "graph")).median, "s"),
        Target("compile of 5,000 nodes with all tables", 1.0, per * spread(seconds(times, "5000")).median, "s"),
        Target("growth per node from 5,000 to 10,000", 1.2, growth, "x"),
    ]
    report.print()


if __name__ == "__main__":
    main()
