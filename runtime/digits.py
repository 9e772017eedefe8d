"""Draw digit scenes: real handwritten digits warped over crops of real photographs, exactly labelled for every task.

In: a split, an index, a size and a seed. Out: one frozen `Scene`. Imports numpy only; reads `assets/digits.npz`.
The larger digits are drawn first, so that small ones occlude them. Fragments of digits are drawn too and count as
background, so that single strokes decide nothing. Splits share neither digits nor photograph columns.
The bytes are the same on every machine: random numbers are raw PCG64 doubles, pixels see only + - * / and comparisons.

The digits are E. Alpaydin's and C. Kaynak's (UCI Machine Learning Repository, 1998, CC BY 4.0), the photographs
danielbuechele's and vultilion's (CC BY 2.0, halved in size); `about` in the asset holds the full attribution.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

Split: TypeAlias = Literal["train", "val", "test"]
Variant: TypeAlias = Literal["scenes", "match"]
Bytes: TypeAlias = npt.NDArray[np.uint8]
Reals: TypeAlias = npt.NDArray[np.float32]
Region: TypeAlias = tuple[slice, slice]

ASSET = Path(__file__).with_name("assets") / "digits.npz"
CLASSES = 11
IGNORE = 255
SMALLEST = 16
FRAGMENT = -1


@dataclass(frozen=True, slots=True)
class Part:
    """What one split may use: a range of digits and a range of photograph columns, in fifths of the width."""

    number: int
    digits: range
    fifths: tuple[int, int]

    def columns(self, width: int) -> range:
        """The columns of a photograph of `width` pixels."""
        first, last = self.fifths
        return range(width * first // 5, width * last // 5)


PARTS: Mapping[str, Part] = MappingProxyType(
    {
        "train": Part(0, range(1200), (0, 3)),
        "val": Part(1, range(1200, 1500), (3, 4)),
        "test": Part(2, range(1500, 1797), (4, 5)),
    }
)


@dataclass(frozen=True, slots=True)
class Keypoint:
    """The centre of a visible digit, in pixels; `size` is the side of its box, `instance` its number in the scene."""

    digit: int
    y: float
    x: float
    size: int
    instance: int


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One image and its labels.

    image: uint8 [H, W, 3], red, green, blue.
    semantic: uint8 [H, W], 0 background, 1..10 the digits 0..9, 255 (ignore) on their soft rims.
    instance: int16 [H, W], 0 where `semantic` is 0, else the digit's number in drawing order from 1.
    depth: float32 [H, W], 0 background, else the rank in drawing order, the nearest digit highest.
    keypoints: the visible labelled digits in drawing order.
    label: 0..9, the largest digit.
    """

    image: Bytes
    semantic: Bytes
    instance: npt.NDArray[np.int16]
    depth: Reals
    keypoints: tuple[Keypoint, ...]
    label: int


@dataclass(frozen=True, slots=True, eq=False)
class Assets:
    """Digits float32 [1797, 8, 8] with ink 0..1, their classes uint8 [1797], photographs uint8 [H, W, 3]."""

    digits: Reals
    labels: Bytes
    photos: tuple[Bytes, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A patch of ink to draw in a box of `size` pixels; `digit` is 0..9, or FRAGMENT for background."""

    size: int
    ink: Reals
    digit: int


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """A scene while it is drawn: `image` float32 [H, W, 3] in 0..1, and the boxes already taken, bool [H, W]."""

    image: Reals
    semantic: Bytes
    instance: npt.NDArray[np.int16]
    taken: npt.NDArray[np.bool_]


class Dice:
    """Random numbers that no numpy release changes: the raw bits of PCG64 as doubles in [0, 1)."""

    def __init__(self, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(key))

    def real(self, low: float = 0.0, high: float = 1.0) -> float:
        return low + (high - low) * ((int(self._bits.random_raw()) >> 11) * 2.0**-53)

    def reals(self, count: int) -> Reals:
        """`count` numbers in [0, 1)."""
        return ((self._bits.random_raw(count) >> np.uint64(11)) * 2.0**-53).astype(np.float32)

    def whole(self, low: int, high: int) -> int:
        """An integer in [low, high)."""
        return min(low + int(self.real() * (high - low)), high - 1)

    def scale(self, low: float, high: float) -> int:
        """An integer whose logarithm is uniform between those of `low` and `high`."""
        return int(0.5 + low * (high / low) ** self.real())


@cache
def assets() -> Assets:
    """The packed digits and photographs, read once."""
    with np.load(ASSET, allow_pickle=False) as packed:
        digits = packed["digits"].astype(np.float32) / np.float32(16)
        return Assets(digits, packed["labels"], (packed["china"], packed["flower"]))


def scene(split: Split, index: int, size: int = 64, seed: int = 0, variant: Variant = "scenes") -> Scene:
    """Draw scene `index` of a split, `size` x `size` pixels; the same arguments always give the same bytes.

    Variant "scenes" labels every digit. Variant "match" has no fragments and labels only the digits of the largest
    one's class, so that a pixel's label depends on a far object; only `depth` still shows the others.
    Raises ValueError for an unknown split or variant, a negative index or seed, or a size below 16.
    """
    _check(split, index, size, seed, variant)
    part = PARTS[split]
    dice = Dice(seed, part.number, index, size)
    canvas = _canvas(_backdrop(dice, part, size))
    pieces = _match_pieces(dice, part.digits, size) if variant == "match" else _pieces(dice, part.digits, size)
    drawn = tuple(_draw(dice, canvas, pieces))
    noise = (dice.reals(canvas.image.size).reshape(canvas.image.shape) - np.float32(0.5)) * dice.real(0.02, 0.16)
    depth = canvas.instance.astype(np.float32)
    label = pieces[0].digit
    if variant == "match":
        _keep_only(canvas, [each.instance for each in drawn if each.digit == label])
    return Scene(
        image=_to_bytes(canvas.image + noise),
        semantic=canvas.semantic,
        instance=canvas.instance,
        depth=depth,
        keypoints=_visible(drawn, canvas),
        label=label,
    )


def most_keypoints(size: int) -> int:
    """No scene of `size` pixels, of either variant, has more keypoints than this."""
    return max(9, round(6 * size / 64))


def _check(split: str, index: int, size: int, seed: int, variant: str) -> None:
    if split not in PARTS:
        raise ValueError(f"unknown split {split!r}: expected one of {', '.join(PARTS)}")
    if variant not in get_args(Variant):
        raise ValueError(f"unknown variant {variant!r}: expected one of {', '.join(get_args(Variant))}")
    if size < SMALLEST:
        raise ValueError(f"a scene is at least {SMALLEST} pixels wide, not {size}")
    if index < 0 or seed < 0:
        raise ValueError(f"index and seed start at 0, not {min(index, seed)}")


def _canvas(image: Reals) -> Canvas:
    shape = image.shape[:2]
    return Canvas(image, np.zeros(shape, np.uint8), np.zeros(shape, np.int16), np.zeros(shape, np.bool_))


def _backdrop(dice: Dice, part: Part, size: int) -> Reals:
    """A crop of 32 to 76 photograph pixels, stretched to [size, size, 3], 0..1, of varied contrast and brightness."""
    photos = assets().photos
    photo = photos[dice.whole(0, len(photos))]
    height, width = photo.shape[:2]
    columns = part.columns(width)
    window = min(int(dice.real(0.5, 1.2) * 64), len(columns) - 1, height - 1)
    nearest = (2 * np.arange(size) + 1) * window // (2 * size)
    y = dice.whole(0, height - window) + nearest
    x = dice.whole(columns.start, columns.stop - window) + nearest
    if dice.real() < 0.5:
        x = x[::-1]
    contrast, brightness = np.float32(dice.real(0.6, 1.1)), np.float32(dice.real(0.35, 0.65))
    crop = photo[y[:, None], x].astype(np.float32) / np.float32(255)
    image: Reals = np.clip((crop - np.float32(0.5)) * contrast + brightness, 0, 1)
    return image


def _pieces(dice: Dice, pool: range, size: int) -> list[Piece]:
    """Digits from 9 pixels to 62 % of the side and fragments from 6 pixels to 30 %, log-uniform."""
    digits = [
        _digit(dice.whole(pool.start, pool.stop), dice.scale(9, 0.62 * size))
        for _ in range(max(2, round(dice.real(3, 6) * size / 64)))
    ]
    fragments = [_fragment(dice, pool, dice.scale(6, 0.3 * size)) for _ in range(round(dice.real(3, 7) * size / 64))]
    return _largest_first(digits, fragments)


def _match_pieces(dice: Dice, pool: range, size: int) -> list[Piece]:
    """One large digit and four to eight small ones, about half of them of its class."""
    labels = assets().labels
    leader = dice.whole(pool.start, pool.stop)
    same = pool.start + np.flatnonzero(labels[pool.start : pool.stop] == labels[leader])
    digits = [_digit(leader, int(dice.real(0.42, 0.55) * size))]
    for _ in range(round(dice.real(4, 7.5))):
        alike = dice.real() < 0.5
        chosen = int(same[dice.whole(0, len(same))]) if alike else dice.whole(pool.start, pool.stop)
        digits.append(_digit(chosen, round(dice.real(0.18, 0.34) * size)))
    return _largest_first(digits, [])


def _digit(index: int, size: int) -> Piece:
    return Piece(size, assets().digits[index], int(assets().labels[index]))


def _fragment(dice: Dice, pool: range, size: int) -> Piece:
    """A 4 x 4 window of a digit."""
    ink = assets().digits[dice.whole(pool.start, pool.stop)]
    y, x = dice.whole(0, 5), dice.whole(0, 5)
    return Piece(size, ink[y : y + 4, x : x + 4], FRAGMENT)


def _largest_first(digits: list[Piece], fragments: list[Piece]) -> list[Piece]:
    """The largest digit, which every scene has, and then everything else by size."""
    leader, *others = sorted(digits, key=lambda piece: -piece.size)
    return [leader, *sorted([*others, *fragments], key=lambda piece: -piece.size)]


def _draw(dice: Dice, canvas: Canvas, pieces: list[Piece]) -> Iterator[Keypoint]:
    """Draw the pieces that find a place and number the digits among them from 1."""
    number = 0
    for piece in pieces:
        corner = _place(dice, canvas, piece.size)
        if corner is None:
            continue
        mask = _warp(piece.ink, piece.size, dice.real(-0.35, 0.35), dice.real(-0.2, 0.2), dice.real(0.8, 1.2))
        region, ink = _clip(mask, *corner, canvas)
        _paint(dice, canvas.image[region], ink)
        if piece.digit == FRAGMENT:
            _erase(canvas, region, ink)
            continue
        number += 1
        _label(canvas, region, ink, piece.digit, number)
        y, x = corner
        yield Keypoint(piece.digit, y + piece.size / 2, x + piece.size / 2, piece.size, number)


def _place(dice: Dice, canvas: Canvas, size: int) -> tuple[int, int] | None:
    """A free corner for a box of `size` pixels, which may reach an eighth over the border; None after twelve tries."""
    low, high = -size // 8, len(canvas.taken) - size + size // 8 + 1
    for _ in range(12):
        y, x = dice.whole(low, high), dice.whole(low, high)
        box = canvas.taken[max(0, y) : y + size, max(0, x) : x + size]
        if np.count_nonzero(box) < 0.12 * box.size:
            box[:] = True
            return y, x
    return None


def _warp(ink: Reals, size: int, turn: float, shear: float, aspect: float) -> Reals:
    """Turn (radians), shear and stretch a square patch into [size, size]: bilinear, zero outside, a small margin."""
    cells = len(ink)
    half = turn / 2  # The tangent of half the angle gives an exact rotation without sine and cosine.
    cosine, sine = (1 - half * half) / (1 + half * half), 2 * half / (1 + half * half)
    grid = ((np.arange(size) + 0.5) / size - 0.5) * (1.15 * cells)
    down, across = grid[:, None], grid * aspect
    centre = cells / 2 - 0.5
    y = np.clip(down * cosine + across * (cosine * shear - sine) + centre, -1, cells)
    x = np.clip(down * sine + across * (sine * shear + cosine) + centre, -1, cells)
    return _sample(ink, y, x)


def _sample(ink: Reals, y: npt.NDArray[np.float64], x: npt.NDArray[np.float64]) -> Reals:
    """Read a square patch between its cells; coordinates are within [-1, cells]."""
    cells = len(ink)
    stride = cells + 3
    padded = np.zeros((stride, stride), np.float32)
    padded[1:-2, 1:-2] = ink
    flat = padded.ravel()
    row, column = np.floor(y), np.floor(x)
    below, right = (y - row).astype(np.float32), (x - column).astype(np.float32)
    start = ((row + 1) * stride + column + 1).astype(np.intp)
    upper, lower = (_between(flat[at], flat[at + 1], right) for at in (start, start + stride))
    return _between(upper, lower, below)


def _between(first: Reals, second: Reals, weight: Reals) -> Reals:
    return first + (second - first) * weight


def _clip(mask: Reals, y: int, x: int, canvas: Canvas) -> tuple[Region, Reals]:
    """The part of the canvas under a mask whose corner is at (y, x), and the part of the mask over it."""
    height, width = canvas.semantic.shape
    size = len(mask)
    rows, columns = slice(max(0, -y), min(size, height - y)), slice(max(0, -x), min(size, width - x))
    region = slice(rows.start + y, rows.stop + y), slice(columns.start + x, columns.stop + x)
    return region, mask[rows, columns]


def _paint(dice: Dice, image: Reals, ink: Reals) -> None:
    """Blend one colour that differs from the ground into `image`, where there is ink."""
    colour = _colour(dice, image)
    alpha = (np.clip((ink - np.float32(0.25)) * np.float32(2.5), 0, 1) * np.float32(dice.real(0.65, 1)))[..., None]
    image += (colour - image) * alpha


def _colour(dice: Dice, ground: Reals) -> Reals:
    """A random colour, drawn up to eight times until it differs from the mean ground by a quarter."""
    mean = ground.mean((0, 1), dtype=np.float64)
    for _ in range(8):
        colour = (dice.real(), dice.real(), dice.real())
        if sum(abs(one - other) for one, other in zip(colour, mean.tolist(), strict=True)) > 0.75:
            break
    return np.array(colour, np.float32)


def _label(canvas: Canvas, region: Region, ink: Reals, digit: int, number: int) -> None:
    core, whole = ink > 0.5, ink > 0.3
    canvas.semantic[region][whole] = IGNORE
    canvas.semantic[region][core] = digit + 1
    canvas.instance[region][whole] = number


def _erase(canvas: Canvas, region: Region, ink: Reals) -> None:
    core = ink > 0.5
    canvas.semantic[region][core] = 0
    canvas.instance[region][core] = 0


def _keep_only(canvas: Canvas, numbers: list[int]) -> None:
    """Turn all other digits into background."""
    others = ~np.isin(canvas.instance, numbers)
    canvas.semantic[others] = 0
    canvas.instance[others] = 0


def _visible(drawn: tuple[Keypoint, ...], canvas: Canvas) -> tuple[Keypoint, ...]:
    pixels = np.bincount(canvas.instance.ravel(), minlength=len(drawn) + 1)
    return tuple(each for each in drawn if pixels[each.instance])


def _to_bytes(image: Reals) -> Bytes:
    return (np.clip(image, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
