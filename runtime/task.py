"""What a network is trained for: batches, loss and metric of semantic segmentation."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from .data import load

BACKGROUND = 0.3
"""Weight of the background class in the loss: it covers most pixels."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Images uint8 [N, 3, H, W] and labels uint8 [N, H, W] on the device that computes."""

    images: Tensor
    labels: Tensor
    classes: int
    ignore: int

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised float images and long labels of some rows."""
        return normalise(self.images[rows]), self.labels[rows].long()

    def chunks(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All rows in order."""
        for start in range(0, len(self), size):
            yield self.batch(torch.arange(start, min(start + size, len(self)), device=self.images.device))


def normalise(images: Tensor) -> Tensor:
    """uint8 [N, 3, H, W] to about [-2, 2]: (x / 255 - 1/2) / (1/4). What every network of this runtime takes."""
    return (images.float() / 255 - 0.5) / 0.25


def examples(
    data: str, split: str, count: int, size: int, device: torch.device, cache: Path | None = None
) -> Examples:
    """The first `count` images of a split at `size` x `size` pixels."""
    found = load(data, split, count, size, cache=cache)
    images, labels = torch.from_numpy(found.images).to(device), torch.from_numpy(found.labels).to(device)
    return Examples(images, labels, found.classes, found.ignore)


def class_weights(classes: int, device: torch.device) -> Tensor:
    """Loss weights [classes]: the background counts less."""
    weights = torch.ones(classes, device=device)
    weights[0] = BACKGROUND
    return weights


def full_size(logits: Tensor, labels: Tensor) -> Tensor:
    """Logits [N, C, h, w] at the labels' size, bilinear."""
    return F.interpolate(logits.float(), labels.shape[-2:], mode="bilinear", align_corners=False)


def segmentation_loss(logits: Tensor, labels: Tensor, weights: Tensor, ignore: int) -> Tensor:
    """Weighted cross entropy over pixels that are not ignored."""
    return F.cross_entropy(full_size(logits, labels), labels, weight=weights, ignore_index=ignore)


def distillation_loss(logits: Tensor, teacher: Tensor) -> Tensor:
    """Cross entropy to the teacher's probabilities (in-place distillation, Yu & Huang 2019)."""
    return -(teacher.float().softmax(1) * logits.float().log_softmax(1)).sum(1).mean()


class MeanIoU:
    """Mean intersection over union from a confusion matrix; classes that never occur and are never predicted do not count."""

    def __init__(self, classes: int, ignore: int, device: torch.device) -> None:
        self.classes = classes
        self.ignore = ignore
        self.matrix = torch.zeros(classes * classes, dtype=torch.long, device=device)

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Logits [N, C, h, w] of any size, labels [N, H, W]."""
        predicted = full_size(logits, labels).argmax(1)
        kept = labels != self.ignore
        pairs = labels[kept] * self.classes + predicted[kept]
        self.matrix += torch.bincount(pairs, minlength=self.classes**2)

    def value(self) -> float:
        table = self.matrix.view(self.classes, self.classes).double()
        union = table.sum(0) + table.sum(1) - table.diag()
        seen = union > 0
        return float((table.diag()[seen] / union[seen]).mean()) if bool(seen.any()) else 0.0
