"""What candidates are measured by: confusions and losses of images in, metrics out."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..task import full_size


@dataclass(slots=True)
class Scores:
    """What some images say of one candidate.

    `confusions` [images, classes, classes] counts pixels by label and by prediction; `losses` [images] sums the cross
    entropy of each image's pixels, where it is wanted. `sound` is false once some logit was not finite.
    """

    confusions: Tensor
    losses: Tensor | None
    sound: bool

    @staticmethod
    def joined(parts: Sequence["Scores"]) -> "Scores":
        """Those of chunk after chunk."""
        losses = [p.losses for p in parts if p.losses is not None]
        return Scores(
            torch.cat([p.confusions for p in parts]), torch.cat(losses) if losses else None, all(p.sound for p in parts)
        )

    def metric(self, name: str) -> float:
        """A metric of METRICS over all images; NaN if some logit was not finite."""
        return METRICS[name](self) if self.sound else math.nan


def scores(logits: Tensor, labels: Tensor, classes: int, ignore: int, loss: bool) -> Scores:
    """Logits [N, C, h, w] of any size, labels [N, H, W]."""
    full = full_size(logits, labels)
    kept = labels != ignore
    images = torch.arange(len(labels), device=labels.device)[:, None, None].expand_as(labels)
    pairs = (images * classes + labels)[kept] * classes + full.argmax(1)[kept]
    table = torch.bincount(pairs, minlength=len(labels) * classes**2).view(len(labels), classes, classes)
    losses = F.cross_entropy(full, labels, ignore_index=ignore, reduction="none").double().sum((1, 2)) if loss else None
    return Scores(table, losses, bool(logits.isfinite().all()))


def mean_iou(table: Tensor) -> float:
    """Mean intersection over union of [classes, classes] counts; classes that never occur and are never predicted do not
    count."""
    table = table.double()
    joined = table.sum(0) + table.sum(1) - table.diag()
    seen = joined > 0
    return float((table.diag()[seen] / joined[seen]).mean()) if bool(seen.any()) else 0.0


def _miou(found: Scores) -> float:
    return mean_iou(found.confusions.sum(0))


def _accuracy(found: Scores) -> float:
    table = found.confusions.sum(0).double()
    return float(table.diag().sum() / table.sum().clamp(min=1))


def _loss(found: Scores) -> float:
    assert found.losses is not None
    return float(found.losses.sum() / found.confusions.sum().clamp(min=1))


METRICS: dict[str, Callable[[Scores], float]] = {"miou": _miou, "accuracy": _accuracy, "loss": _loss}
"""Mean IoU; the share of pixels that are right; the mean cross entropy of a pixel, every class with the same weight."""
