"""How good a candidate is: statistics recalibrated for it, then the metric on validation images."""

import torch

from ..compiler.plan import Plan, Planner
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


@torch.no_grad()
def plan_miou(plan: Plan, data: Examples) -> float:
    """Mean IoU of an architecture over the store, with its recalibrated statistics."""
    metric = MeanIoU(data.classes, data.ignore, data.images.device)
    for x, labels in data.chunks(BATCH):
        with autocast(data.images.device):
            logits = plan(x, "stored")
        metric.add(logits, labels)
    return metric.value()


def candidate_miou(planner: Planner, genes: tuple[int, ...], calibration: Examples, validation: Examples) -> float:
    """The whole evaluation of one candidate."""
    plan = planner(genes)
    recalibrate(plan, calibration)
    return plan_miou(plan, validation)


@torch.no_grad()
def network_miou(network: torch.nn.Module, data: Examples) -> float:
    """Mean IoU of a network in evaluation mode."""
    metric = MeanIoU(data.classes, data.ignore, data.images.device)
    network.eval()
    for x, labels in data.chunks(BATCH):
        with autocast(data.images.device):
            logits = network(x)
        metric.add(logits, labels)
    return metric.value()
