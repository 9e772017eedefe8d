"""What candidates are measured by: confusions and losses of images in, metrics and what each image adds to them out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..task import full_size

PART = 10
"""Images whose logits are enlarged at once: few enough for the caches of a processor."""


@dataclass(frozen=True, slots=True)
class Truth:
    """The labels of some images, [N, H, W]; `known` has a label of its own, `classes`, where they are ignored. What is asked
    of it is kept: many candidates are measured by one truth."""

    labels: Tensor
    known: Tensor
    classes: int
    ignore: int
    kept: dict[int, Tensor]

    @staticmethod
    def of(labels: Tensor, classes: int, ignore: int) -> "Truth":
        return Truth(labels, torch.where(labels == ignore, classes, labels), classes, ignore, {})

    def counted(self, predicted: Tensor, scale: int = 0) -> Tensor:
        """Pixels by label and prediction, for each image: [N, classes, classes]. Predictions are [N, H, W], or, with a scale,
        [N * cells, scale * scale], as `_by_cells` has them."""
        if scale not in self.kept:
            self.kept[scale] = self._places(scale)
        bins = len(self.labels) * (self.classes + 1) * self.classes
        table = torch.bincount((self.kept[scale] + predicted).flatten(), minlength=bins)
        return table.view(-1, self.classes + 1, self.classes)[:, :-1]

    def _places(self, scale: int) -> Tensor:
        """For each pixel `classes` times the number of its image and label."""
        k, n = scale // 2, len(self.known)
        framed = F.pad(self.known, (k, k, k, k), value=self.classes)
        places = (
            (torch.arange(n, device=framed.device)[:, None, None] * (self.classes + 1) + framed) * self.classes
        ).int()
        if not scale:
            return places
        high, wide = (length // scale for length in places.shape[1:])
        return places.view(n, high, scale, wide, scale).transpose(2, 3).reshape(-1, scale * scale)


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

    def metric(self, name: str) -> float:
        """`miou`, mean intersection over union; `accuracy`, the share of pixels that are right; `loss`, the mean cross
        entropy of a pixel, all classes alike. NaN if some logit was not finite."""
        return self.ratios(name).mean() if self.sound else math.nan

    def ratios(self, name: str) -> "Ratios":
        """What a metric is the mean of."""
        table = self.confusions.double()
        if name == "miou":
            hits = table.diagonal(dim1=1, dim2=2)
            return Ratios(hits, table.sum(1) + table.sum(2) - hits)
        below = table.sum((1, 2))[:, None]
        if name == "accuracy":
            return Ratios(table.diagonal(dim1=1, dim2=2).sum(1, keepdim=True), below)
        assert self.losses is not None
        return Ratios(self.losses[:, None], below)


@dataclass(frozen=True, slots=True)
class Ratios:
    """Ratios of sums over images: above and below the line, [images, ratios] each."""

    above: Tensor
    below: Tensor

    def first(self, images: int) -> "Ratios":
        """Those of the first images."""
        return Ratios(self.above[:images], self.below[:images])

    def mean(self) -> float:
        """Of the ratios that have something below the line."""
        above, below = self.above.sum(0), self.below.sum(0)
        seen = below > 0
        return float((above[seen] / below[seen]).mean()) if bool(seen.any()) else 0.0

    def influence(self) -> Tensor:
        """What each image adds to the mean, [images], to first order: (a - r b) / mean(b), averaged over the ratios r = a / b.

        Its mean is 0, and its variance over the number of images is that of the metric: the infinitesimal jackknife
        (Efron 1982, "The Jackknife, the Bootstrap and Other Resampling Plans", Chapter 6).
        """
        seen = self.below.sum(0) > 0
        above, below = self.above[:, seen], self.below[:, seen]
        ratio = above.sum(0) / below.sum(0)
        found: Tensor = ((above - ratio * below) / below.mean(0)).mean(1)
        return found


def scores(logits: Tensor, truth: Truth, loss: bool = False, quick: bool = False) -> Scores:
    """Of logits [N, C, h, w] of any size. `quick`: those that differ by a few millionths of their size may count as equal."""
    sound = math.isfinite(float(logits.sum(dtype=torch.float32)))
    scale = _scale(logits, truth.labels) if quick and sound and not loss else 0
    if scale:
        return Scores(truth.counted(_by_cells(logits, scale), scale), None, sound)
    cuts = [slice(k, k + PART) for k in range(0, len(logits), PART)]
    parts = [_predicted(logits[cut], truth.labels[cut], truth, loss, quick and sound) for cut in cuts]
    losses = torch.cat([each for _, each in parts if each is not None]) if loss else None
    return Scores(truth.counted(torch.cat([predicted for predicted, _ in parts])), losses, sound)


def _predicted(logits: Tensor, labels: Tensor, truth: Truth, loss: bool, quick: bool) -> tuple[Tensor, Tensor | None]:
    """The class of each pixel, and the cross entropy of each image."""
    full = full_size(logits, labels)
    losses = None
    if loss:
        losses = F.cross_entropy(full, labels, ignore_index=truth.ignore, reduction="none").double().sum((1, 2))
    return _largest(full.contiguous(), 1) if quick else full.argmax(1), losses


def _largest(values: Tensor, axis: int) -> Tensor:
    """The place of the largest of float32 values along an axis; they are overwritten. Each has its place in its last bits, so
    that the largest is found with it, which takes a fraction of the time."""
    classes = values.shape[axis]
    last = (1 << max(1, (classes - 1).bit_length())) - 1
    shape = [classes if k == axis % values.dim() else 1 for k in range(values.dim())]
    numbers = torch.arange(classes, dtype=torch.int32, device=values.device).view(shape)
    marked = values.view(torch.int32).bitwise_and_(~last).bitwise_or_(numbers).view(torch.float32)
    return marked.amax(axis).view(torch.int32).bitwise_and_(last)


def _scale(logits: Tensor, labels: Tensor) -> int:
    """By how much logits are enlarged to the size of labels, where that is an even number; 0 elsewhere."""
    if logits.dim() < 4:
        return 0
    (h, w), (high, wide) = logits.shape[-2:], labels.shape[-2:]
    scale = high // h
    return scale if (high, wide) == (scale * h, scale * w) and scale % 2 == 0 else 0


def _by_cells(logits: Tensor, scale: int) -> Tensor:
    """The class of each pixel of enlarged logits [N, C, h, w], cell by cell: [N * (h + 1) * (w + 1), scale * scale].

    The pixels of one cell are blended from the same four corners. Where these agree on the class, so does every blend of
    them; only the other cells, few in most images, are enlarged at all. Cells at the rims lie half outside.
    """
    _, classes, h, w = logits.shape
    best = _largest(logits.to(torch.float32, memory_format=torch.contiguous_format, copy=True), 1)
    framed = F.pad(best[:, None].float(), (1, 1, 1, 1), mode="replicate")[:, 0].to(torch.int16)
    cells = framed[:, :-1, :-1]
    same = (framed[:, 1:, 1:] == cells) & (framed[:, :-1, 1:] == cells) & (framed[:, 1:, :-1] == cells)
    found = cells.reshape(-1, 1).repeat(1, scale * scale)
    torn = (~same).flatten().nonzero().squeeze(1)
    image, row, column = torch.unravel_index(torn, same.shape)
    above, below = (image * h + (row - 1).clamp_(min=0)) * w, (image * h + row.clamp(max=h - 1)) * w
    left, right = (column - 1).clamp_(min=0), column.clamp(max=w - 1)
    corners = torch.cat([above + left, above + right, below + left, below + right])
    values = logits.permute(0, 2, 3, 1).reshape(-1, classes).index_select(0, corners).float().view(4, -1)
    blended = (_blends(scale, logits.device) @ values).view(scale * scale, -1, classes)
    return found.index_copy_(0, torn, _largest(blended.transpose(1, 2).contiguous(), 1).to(torch.int16).t())


def _blends(scale: int, device: torch.device) -> Tensor:
    """How each pixel of a cell is blended from its corners, [scale * scale, 4]: bilinear, half-pixel centres."""
    far = (torch.arange(scale, device=device) + 0.5) / scale
    each = torch.stack([1 - far, far], 1)
    return torch.einsum("ya,xb->yxab", each, each).reshape(-1, 4)
