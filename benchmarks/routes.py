"""The space of HyCTAS with 20 layers: from its text to the graph, and to the exact number of its architectures."""

from collections.abc import Iterator
from pathlib import Path

from timing import Report, Target, interleave, seconds, spread

import hrdsl.compiler.decisions  # noqa: F401
from hrdsl.compiler.api import compile_file

SPACE = Path(__file__).parents[1] / "tests" / "routes" / "trellis.arch"
LAYERS = (4, 20)
ROUNDS = 3


def main() -> None:
    sizes: dict[int, tuple[int, int]] = {}

    def variant(layers: int):  # type: ignore[no-untyped-def]
        def phases() -> Iterator[str]:
            space = compile_file(SPACE, settings={"layers": layers})
            yield "graph"
            count = space.decisions.count()
            yield "count"
            sizes[layers] = len(space.graph.nodes), len(str(count.value))

        return phases

    times = interleave({str(n): variant(n) for n in LAYERS}, ROUNDS)
    report = Report("Routes, after imports", ["layers", "nodes", "digits of the count", "graph s", "count s"])
    for layers, (nodes, digits) in sizes.items():
        parts = [f"{spread(seconds(times, str(layers), p)).median:.3f}" for p in ("graph", "count")]
        report.add(layers, f"{nodes:,}", digits, *parts)
    report.targets += [
        Target("20 layers to the graph", 3.0, spread(seconds(times, "20", "graph")).median, "s"),
        Target("20 layers counted", 1.0, spread(seconds(times, "20", "count")).median, "s"),
    ]
    report.print()


if __name__ == "__main__":
    main()
