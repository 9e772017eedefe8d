"""Training of one network, by the same recipe as a supernet and with torch's own optimisers."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from . import compiling
from .average import NetworkAverage
from .device import autocast
from .steps import Progress, Recipe, Step, require_finite
from .task import Examples


def train_network(
    network: torch.nn.Module,
    settings: Mapping[str, Any],
    data: Examples,
    device: torch.device,
    progress: Progress | None = None,
) -> None:
    """Train one network from what it holds, as a `train` block says; `sample` and `widen` have no meaning here.

    Matrices and kernels get weight decay, vectors do not. With `ema` the network holds the averages at the end. Raises
    RunError if training diverges.
    """
    recipe = Recipe(settings, data, device)
    network.to(device).train()
    optimizer = _optimizer(network, recipe)
    average = NetworkAverage(network, recipe.ema) if recipe.ema else None
    forward = compiling.network(network) if recipe.compile else network
    begun = time.monotonic()
    for step in range(recipe.steps):
        with compiling.explained():
            loss = _gradients(forward, recipe, step)
        require_finite(loss, step)
        if recipe.clip:
            torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if average is not None:
            average.update()
        if progress:
            progress(Step(step + 1, recipe.steps, loss, time.monotonic() - begun))
    if average is not None:
        average.settle()
    network.eval()


def _gradients(forward: Callable[..., Any], recipe: Recipe, step: int) -> float:
    """The mean loss over the parts of the batch; its gradients are in the network."""
    total = torch.zeros((), device=recipe.device)
    for images, labels in recipe.batches(step, recipe.parts, range(recipe.parts)):
        with autocast(recipe.device, recipe.precision):
            loss = recipe.loss(forward(images), labels) / recipe.parts
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    return float(total)


def _optimizer(network: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    chosen = recipe.settings["optimizer"]
    decayed = [p for p in network.parameters() if p.dim() > 1]
    others = [p for p in network.parameters() if p.dim() <= 1]
    groups = [
        {"params": decayed, "weight_decay": float(chosen.options["weight_decay"])},
        {"params": others, "weight_decay": 0.0},
    ]
    if chosen.name == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.peak, eps=float(chosen.options["eps"]))
    momentum = float(chosen.options["momentum"])
    return torch.optim.SGD(groups, lr=recipe.peak, momentum=momentum, nesterov=momentum > 0)
