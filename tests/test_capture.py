"""Batches of one size replayed as a graph; the graph is one that only remembers what it was asked."""

import logging
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hrdsl.runtime import capture
from hrdsl.runtime.capture import Recorded, Recorder, Repeated, Results


class Graph:
    """Records like CUDA: a call and the memory of its input and results; a replay computes them again in place."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def __call__(self, call: Callable[[Tensor], Results], x: Tensor) -> Recorded:
        self.recorded += 1
        results = [(number, torch.full_like(value, torch.nan)) for number, value in call(x)]

        def replay() -> None:
            self.replayed += 1
            for (_, kept), (_, fresh) in zip(results, call(x), strict=True):
                kept.copy_(fresh)

        return replay, results


def two(x: Tensor) -> Results:
    yield 7, x + 1
    yield 3, x.sum(1)


def batches(*sizes: int) -> list[Tensor]:
    made = torch.Generator().manual_seed(0)
    return [torch.randn(n, 4, 2, 2, generator=made).contiguous(memory_format=torch.channels_last) for n in sizes]


def outputs(run: Callable[[Tensor], Results], given: list[Tensor]) -> list[list[tuple[int, Tensor]]]:
    return [[(number, value.clone()) for number, value in run(x)] for x in given]


def same(a: list[list[tuple[int, Tensor]]], b: list[list[tuple[int, Tensor]]]) -> bool:
    return all(
        n == m and torch.equal(v, w)
        for one, other in zip(a, b, strict=True)
        for (n, v), (m, w) in zip(one, other, strict=True)
    )


def test_the_second_batch_is_recorded_and_all_but_the_first_and_the_last_are_replayed() -> None:
    graph, given = Graph(), batches(5, 5, 5, 5, 3)
    run = Repeated(two, Recorder(graph), 4)
    assert same(outputs(run, given), outputs(two, given))
    assert (graph.recorded, graph.replayed) == (1, 3)


def test_another_layout_is_another_size() -> None:
    graph, given = Graph(), batches(5, 5, 5, 5)
    given[2] = given[2].contiguous()
    assert same(outputs(Repeated(two, Recorder(graph), 4), given), outputs(two, given))
    assert (graph.recorded, graph.replayed) == (1, 2)


def test_few_batches_are_not_worth_a_graph() -> None:
    graph, given = Graph(), batches(5, 5, 5)
    assert same(outputs(Repeated(two, Recorder(graph), 3), given), outputs(two, given))
    assert graph.recorded == 0


def test_large_results_are_freed_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "ROOM", 100)
    graph, given = Graph(), batches(5, 5, 5, 5)
    assert same(outputs(Repeated(two, Recorder(graph), 4), given), outputs(two, given))
    assert graph.recorded == 0


def test_without_graphs_everything_is_launched_and_this_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(call: Callable[[Tensor], Results], x: Tensor) -> Recorded:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    records, given = Recorder(refuse), batches(5, 5, 5, 5)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert same(outputs(Repeated(two, records, 4), given), outputs(two, given))
    assert [r.getMessage() for r in caplog.records] == [
        "no CUDA graphs: operation not permitted when stream is capturing; everything is launched call by call"
    ]


def test_no_graphs_on_a_cpu() -> None:
    assert capture.recorder(torch.device("cpu")) is None
