"""What candidates are measured by: confusions and losses of images in, metrics and what each image adds to them out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..task import full_size

PART = 10
"""Images whose logits are enlarged at once: few enough for the caches of a processor."""


class Truth(NamedTuple):
    """The labels of some images, [N, H, W], and for each pixel `classes` times the number of its image and label; pixels
    that are ignored have a label of their own."""

    labels: Tensor
    places: Tensor
    classes: int
    ignore: int

    @staticmethod
    def of(labels: Tensor, classes: int, ignore: int) -> "Truth":
        known = torch.where(labels == ignore, classes, labels)
        images = torch.arange(len(labels), device=labels.device)[:, None, None]
        return Truth(labels, ((images * (classes + 1) + known) * classes).int(), classes, ignore)

    def counted(self, predicted: Tensor) -> Tensor:
        """Pixels by label and prediction, for each image: [N, classes, classes]."""
        bins = len(self.labels) * (self.classes + 1) * self.classes
        table = torch.bincount((self.places + predicted).flatten(), minlength=bins)
        return table.view(-1, self.classes + 1, self.classes)[:, :-1]


@dataclass(frozen=True, slots=True)
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
        tables = torch.cat([p.confusions for p in parts])
        return Scores(tables, torch.cat(losses) if losses else None, all(p.sound for p in parts))

    def first(self, images: int) -> "Scores":
        """What the first images say."""
        return Scores(self.confusions[:images], None if self.losses is None else self.losses[:images], self.sound)

    def metric(self, name: str) -> float:
        """`miou`, mean intersection over union; `accuracy`, the share of pixels that are right; `loss`, the mean cross
        entropy of a pixel, all classes alike. NaN if some logit was not finite."""
        above, below = self.parts(name)
        if not self.sound:
            return math.nan
        above, below = above.sum(0), below.sum(0)
        seen = below > 0
        return float((above[seen] / below[seen]).mean()) if bool(seen.any()) else 0.0

    def parts(self, name: str) -> tuple[Tensor, Tensor]:
        """A metric as the mean of ratios of sums over images: above and below the line, [images, ratios] each."""
        table = self.confusions.double()
        if name == "miou":
            hits = table.diagonal(dim1=1, dim2=2)
            return hits, table.sum(1) + table.sum(2) - hits
        below = table.sum((1, 2))[:, None]
        if name == "accuracy":
            return table.diagonal(dim1=1, dim2=2).sum(1, keepdim=True), below
        assert self.losses is not None
        return self.losses[:, None], below

    def influence(self, name: str) -> Tensor:
        """What each image adds to a metric, [images], to first order: (a - r b) / mean(b), averaged over the ratios r = a / b.

        Its mean is 0, and its variance over the number of images is that of the metric: the infinitesimal jackknife
        (Efron 1982, "The Jackknife, the Bootstrap and Other Resampling Plans", Chapter 6).
        """
        above, below = self.parts(name)
        seen = below.sum(0) > 0
        above, below = above[:, seen], below[:, seen]
        ratio = above.sum(0) / below.sum(0)
        found: Tensor = ((above - ratio * below) / below.mean(0)).mean(1)
        return found


def scores(logits: Tensor, truth: Truth, loss: bool = False, quick: bool = False) -> Scores:
    """Of logits [N, C, h, w] of any size. `quick`: those that differ by a few millionths of their size may count as equal."""
    sound = math.isfinite(float(logits.sum(dtype=torch.float32)))
    cuts = [slice(k, k + PART) for k in range(0, len(logits), PART)]
    parts = [_predicted(logits[cut], truth.labels[cut], truth, loss, quick) for cut in cuts]
    losses = torch.cat([each for _, each in parts if each is not None]) if loss else None
    return Scores(truth.counted(torch.cat([predicted for predicted, _ in parts])), losses, sound)


def _predicted(logits: Tensor, labels: Tensor, truth: Truth, loss: bool, quick: bool) -> tuple[Tensor, Tensor | None]:
    """The class of each pixel, and the cross entropy of each image."""
    full = full_size(logits, labels)
    losses = None
    if loss:
        losses = F.cross_entropy(full, labels, ignore_index=truth.ignore, reduction="none").double().sum((1, 2))
    return _quick_argmax(full.contiguous()) if quick else full.argmax(1), losses


def _quick_argmax(full: Tensor) -> Tensor:
    """The class with the largest of [N, C, H, W], overwritten: its number stands in the last bits of each float, so that
    the largest is found without its place, which takes a fraction of the time."""
    classes = full.shape[1]
    last = (1 << max(1, (classes - 1).bit_length())) - 1
    numbers = torch.arange(classes, dtype=torch.int32, device=full.device).view(1, -1, 1, 1)
    marked = full.view(torch.int32).bitwise_and_(~last).bitwise_or_(numbers).view(torch.float32)
    return marked.amax(1).view(torch.int32).bitwise_and_(last)
