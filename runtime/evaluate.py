"""How good a candidate is: statistics recalibrated for it, then the metric on validation images."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..compiler.plan import Plan, Planner
from .capture import Repeated, Results, recorder
from .device import autocast
from .task import Examples, MeanIoU

BATCH = 50
"""Images evaluated at once."""
CALIBRATION_BATCH = 32
"""Images that a normalisation takes its statistics of at once."""


@torch.no_grad()
def recalibrate(plan: Plan, images: Examples, batch: int = CALIBRATION_BATCH) -> None:
    """Renew the statistics of every normalisation of an architecture from training images."""
    plan.reset_statistics()
    for x, _ in images.chunks(batch):
        plan(x, "calibrate")


def plan_miou(plan: Plan, data: Examples) -> float:
    """Mean IoU of an architecture over the store, with its recalibrated statistics."""
    return _miou(lambda x: plan(x, "stored"), data)


def candidate_miou(planner: Planner, genes: tuple[int, ...], calibration: Examples, validation: Examples) -> float:
    """The whole evaluation of one candidate."""
    plan = planner(genes)
    recalibrate(plan, calibration)
    return plan_miou(plan, validation)


def network_miou(network: torch.nn.Module, data: Examples) -> float:
    """Mean IoU of a network in evaluation mode."""
    network.eval()
    return _miou(network, data)


@torch.no_grad()
def _miou(network: Callable[[Tensor], Tensor], data: Examples) -> float:
    device = data.device
    metric = MeanIoU(data.classes, data.ignore, device)

    def call(x: Tensor) -> Results:
        with autocast(device):
            return [(0, network(x))]

    run = Repeated(call, recorder(device), len(data) // BATCH)
    for x, labels in data.chunks(BATCH):
        for _, logits in run(x):
            metric.add(logits, labels)
    return metric.value()
