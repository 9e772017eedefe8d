"""What a network is trained for: batches, loss and metric of semantic segmentation, or of classification.

A class for each image is a label map of one pixel, and logits [N, classes] are a map of one pixel too.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..compiler.graph import Graph
from .data import DATASETS, Task, load
from .faults import RunError

BACKGROUND = 0.3
"""Weight of the background class in the loss: it covers most pixels."""
SHARE = 0.25
"""Of the free memory of a GPU, for the images of a split."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Images uint8 [N, 3, H, W] and labels uint8 [N, H, W], or [N, 1, 1], on the device that computes, or in main memory."""

    images: Tensor
    labels: Tensor
    classes: int
    ignore: int
    target: torch.device | None = None
    """The device that computes, where the images are not on it."""

    def __len__(self) -> int:
        return len(self.images)

    @property
    def device(self) -> torch.device:
        """The device that computes."""
        return self.target or self.images.device

    def fetch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Some rows as they are, ready to travel: in memory that a GPU reads by itself."""
        rows = rows.to(self.images.device, non_blocking=True)
        images, labels = self.images[rows], self.labels[rows]
        travels = self.target is not None and self.target.type == "cuda"
        return (images.pin_memory(), labels.pin_memory()) if travels else (images, labels)

    def ready(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """What was fetched, as networks take it: float images, normalised, and long labels, on the device that computes. The
        copy does not wait for what the device has to do before."""
        images, labels = (t.to(self.device, non_blocking=True) for t in (images, labels))
        return normalise(images), labels.long()

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised float images and long labels of some rows."""
        return self.ready(*self.fetch(rows))

    def chunks(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All rows in order."""
        for start in range(0, len(self), size):
            yield self.batch(torch.arange(start, min(start + size, len(self)), device=self.images.device))

    def first(self, count: int) -> "Examples":
        """The first rows."""
        return replace(self, images=self.images[:count], labels=self.labels[:count])


def check(graph: Graph, data: str) -> None:
    """Raises RunError unless the networks of a graph take the images of a data set and predict its classes."""
    taken, given, task = graph.input, graph.nodes[graph.output].shape, task_of(graph)
    classes = DATASETS[data].classes[task]
    if (taken.form, taken.width, *taken.extent[1:]) != ("map", 3, *taken.extent[:1]):
        raise RunError(f"`{data}` has square colour images: write `input = [3, 64, 64]`, say")
    if given.form == "outputs":
        raise RunError("training takes a space with one `head`, not with several")
    if given.form == "tokens" or given.width != classes:
        words = "a map of that width, or in a vector for one class of each image"
        raise RunError(f"`{data}` has {classes} classes for {task}: the head must end in {words}")


def task_of(graph: Graph) -> Task:
    """Classification where the networks of a graph end in a vector; segmentation otherwise."""
    return "classification" if graph.nodes[graph.output].shape.form == "vector" else "segmentation"


def normalise(images: Tensor) -> Tensor:
    """uint8 [N, 3, H, W] to about [-2, 2]: (x / 255 - 1/2) / (1/4). What every network of this runtime takes."""
    return (images.float() / 255 - 0.5) / 0.25


def examples(
    data: str,
    split: str,
    count: int,
    size: int,
    device: torch.device,
    cache: Path | None = None,
    task: Task = "segmentation",
) -> Examples:
    """The first `count` images of a split at `size` x `size` pixels. Raises RunError if there are none of that size."""
    try:
        found = load(data, split, count, size, cache=cache, task=task)
    except ValueError as fault:
        raise RunError(f"`{data}`: {fault}") from None
    images, labels = torch.from_numpy(found.images), torch.from_numpy(found.labels)
    labels = labels if labels.dim() > 1 else labels[:, None, None]
    if images.nbytes + labels.nbytes > room(device):
        return Examples(images, labels, found.classes, found.ignore, device)
    return Examples(images.to(device), labels.to(device), found.classes, found.ignore)


def room(device: torch.device) -> float:
    """How many bytes of images a device may keep: a share of what is free on a GPU."""
    return torch.cuda.mem_get_info(device)[0] * SHARE if device.type == "cuda" else math.inf


def class_weights(data: Examples, device: torch.device) -> Tensor:
    """Loss weights [classes]: the background of label maps counts less."""
    weights = torch.ones(data.classes, device=device)
    if data.labels[0].numel() > 1:
        weights[0] = BACKGROUND
    return weights


def full_size(logits: Tensor, labels: Tensor) -> Tensor:
    """Logits [N, C, h, w] or [N, C] at the labels' size, bilinear."""
    logits = logits if logits.dim() == 4 else logits[..., None, None]
    return F.interpolate(logits.float(), labels.shape[-2:], mode="bilinear", align_corners=False)


def segmentation_loss(logits: Tensor, labels: Tensor, weights: Tensor, ignore: int, smoothing: float = 0.0) -> Tensor:
    """Weighted cross entropy over pixels that are not ignored; `smoothing` of each label goes to all classes alike
    (Szegedy et al. 2016, arXiv 1512.00567, Section 7)."""
    sized = full_size(logits, labels)
    return F.cross_entropy(sized, labels, weight=weights, ignore_index=ignore, label_smoothing=smoothing)


def distillation_loss(logits: Tensor, teacher: Tensor) -> Tensor:
    """Cross entropy to the teacher's probabilities (in-place distillation, Yu & Huang 2019)."""
    return -(teacher.float().softmax(1) * logits.float().log_softmax(1)).sum(1).mean()


class MeanIoU:
    """Mean intersection over union; classes that never occur and are never predicted do not count.

    It is NaN if some logit was not finite.
    """

    def __init__(self, classes: int, ignore: int, device: torch.device) -> None:
        self.classes = classes
        self.ignore = ignore
        self.matrix = torch.zeros(classes * classes, dtype=torch.long, device=device)
        self.sound = torch.ones((), dtype=torch.bool, device=device)

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Logits [N, C, h, w] of any size, labels [N, H, W]."""
        self.sound &= logits.isfinite().all()
        predicted = full_size(logits, labels).argmax(1)
        kept = labels != self.ignore
        pairs = labels[kept] * self.classes + predicted[kept]
        self.matrix += torch.bincount(pairs, minlength=self.classes**2)

    def value(self) -> float:
        if not bool(self.sound):
            return math.nan
        table = self.matrix.view(self.classes, self.classes).double()
        union = table.sum(0) + table.sum(1) - table.diag()
        seen = union > 0
        return float((table.diag()[seen] / union[seen]).mean()) if bool(seen.any()) else 0.0
