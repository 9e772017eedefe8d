"""Batches that are fetched ahead: the same as those that are not, whatever is asked for next."""

import threading
from dataclasses import replace

import torch

from hrdsl.runtime.feed import Feed
from hrdsl.runtime.retrain import train_network
from hrdsl.runtime.steps import rows
from hrdsl.runtime.task import Examples

CPU = torch.device("cpu")


def data() -> Examples:
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (24, 3, 8, 8), generator=rng, dtype=torch.uint8)
    return Examples(images, torch.randint(0, 5, (24, 8, 8), generator=rng, dtype=torch.uint8), 5, 255)


def away() -> Examples:
    """As if a device had no room for them."""
    return replace(data(), target=CPU)


def test_every_step_has_its_rows_in_whatever_order_steps_come() -> None:
    feed, whole = Feed(away(), lambda step: rows(7, step, 24, 4)), data()
    for step in (0, 1, 2, 9, 3, 3, 4):
        images, labels = feed(step)
        chosen = rows(7, step, 24, 4)
        assert torch.equal(images, whole.images[chosen]) and torch.equal(labels, whole.labels[chosen])


def test_the_next_step_is_fetched_in_a_thread_of_its_own() -> None:
    seen: list[tuple[int, bool]] = []

    def chosen(step: int) -> torch.Tensor:
        seen.append((step, threading.current_thread() is threading.main_thread()))
        return rows(7, step, 24, 4)

    feed = Feed(away(), chosen)
    for step in range(3):
        feed(step)
    feed(3)
    assert [step for step, here in seen if here] == [0]
    assert {step for step, here in seen if not here} >= {1, 2, 3}
    assert Feed(data(), chosen)._thread is None


def test_training_is_the_same_with_images_on_the_device_and_away() -> None:
    settings = {"steps": 4, "batch": 4, "accumulate": 2}
    networks = [torch.nn.Conv2d(3, 5, 3, padding=1) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    for network, images in zip(networks, (data(), away()), strict=True):
        train_network(network, settings, images, CPU)
    assert torch.equal(networks[0].weight, networks[1].weight)


def test_chunks_are_the_same() -> None:
    for (x, labels), (y, others) in zip(data().chunks(10), away().chunks(10), strict=True):
        assert torch.equal(x, y) and torch.equal(labels, others)
    assert len(away().first(5)) == 5 and away().first(5).device == CPU
