"""Data by name: images and labels as arrays, drawn or read once and then kept in a cache folder.

In: a name such as `digits.scenes`, a split, a count and a size. Out: one frozen `Split`. Imports `digits`; numpy only.
A cache entry is written whole or not at all and compared with its digest when it is read; a damaged one is drawn again.
Without any folder to write to, everything works uncached.
"""

from __future__ import annotations

import difflib
import hashlib
import logging
import os
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache as once
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from . import digits

Task: TypeAlias = Literal["segmentation", "classification", "instances", "keypoints", "depth"]
Array: TypeAlias = npt.NDArray[Any]
Pair: TypeAlias = tuple[npt.NDArray[np.uint8], Array]
Progress: TypeAlias = Callable[[int, int], None]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Images uint8 [N, 3, H, W] and, for the task, labels.

    segmentation: uint8 [N, H, W], 0 background, `ignore` where nothing is scored.
    classification: uint8 [N].
    instances: int16 [N, H, W], 0 background, else the number of the object in its image.
    keypoints: float32 [N, K, 4], class, y, x and size in pixels; unused rows have class `ignore`.
    depth: float32 [N, H, W], 0 background, else the rank in drawing order, the nearest object highest.
    """

    images: npt.NDArray[np.uint8]
    labels: Array
    classes: int = digits.CLASSES
    ignore: int = digits.IGNORE


class Dataset(Protocol):
    """A source of images and labels."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of its splits."""

    @property
    def classes(self) -> Mapping[str, int]:
        """How many classes (channels to predict) each task has; a task that is not named here is not offered."""

    @property
    def fingerprint(self) -> str:
        """A name for the exact content: when it changes, older cache entries are not used."""

    def draw(self, split: str, count: int, size: int, seed: int, task: str, progress: Progress | None) -> Pair:
        """The first `count` images and their labels, as in `Split`."""


@dataclass(frozen=True, slots=True)
class Digits:
    """Digit scenes of one variant."""

    variant: digits.Variant

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(digits.PARTS)

    @property
    def classes(self) -> Mapping[str, int]:
        return {"segmentation": 11, "classification": 10, "instances": 11, "keypoints": 10, "depth": 1}

    @property
    def fingerprint(self) -> str:
        return _digits_fingerprint()

    def draw(self, split: str, count: int, size: int, seed: int, task: str, progress: Progress | None) -> Pair:
        part = cast(digits.Split, split)
        sample = _labels_of(digits.scene(part, 0, size, seed, self.variant), task)
        images = np.empty((count, 3, size, size), np.uint8)
        labels = np.empty((count, *sample.shape), sample.dtype)
        for index in range(count):
            drawn = digits.scene(part, index, size, seed, self.variant)
            images[index] = drawn.image.transpose(2, 0, 1)
            labels[index] = _labels_of(drawn, task)
            if progress is not None:
                progress(index + 1, count)
        return images, labels


DATASETS: Mapping[str, Dataset] = MappingProxyType(
    {"digits.scenes": Digits("scenes"), "digits.match": Digits("match")},
)


def load(
    name: str,
    split: str,
    count: int,
    size: int,
    seed: int = 0,
    cache: Path | None = None,
    task: Task = "segmentation",
    progress: Progress | None = None,
) -> Split:
    """The first `count` images of a split, `size` x `size` pixels, with the labels of one task.

    `cache` is a folder; by default $HRDSL_CACHE, $XDG_CACHE_HOME/hrdsl or ~/.cache/hrdsl, and where that cannot be
    written a folder for temporary files. `progress(done, count)` is called after each image that is drawn, so never
    for a cached split. Raises ValueError for an unknown name, split or task and for a count below 1.
    """
    dataset = DATASETS[_known("data set", name, DATASETS)]
    _known("split", split, dataset.splits)
    _known("task", task, dataset.classes)
    if count < 1:
        raise ValueError(f"a split holds at least 1 image, not {count}")
    entry = f"{name}-{split}-{task}-{count}x{size}-seed{seed}-{dataset.fingerprint}.npz"
    folders = tuple(cache_folders(cache))
    pair = _find(folders, entry)
    if pair is None:
        pair = dataset.draw(split, count, size, seed, task, progress)
        _keep(folders, entry, pair)
    return Split(*pair, dataset.classes[task])


def _known(kind: str, name: str, names: Iterable[str]) -> str:
    """`name` if it is one of `names`, else a ValueError that suggests the nearest."""
    names = tuple(names)
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(names)}"
    raise ValueError(f"unknown {kind} {name!r}: {hint}")


@once
def _digits_fingerprint() -> str:
    """Of the text that draws and stores the scenes, and of the asset."""
    content = b"".join(path.read_bytes() for path in (Path(__file__), Path(digits.__file__), digits.ASSET))
    return hashlib.sha256(content).hexdigest()[:12]


def _labels_of(drawn: digits.Scene, task: str) -> Array:
    """The labels of one scene for one task."""
    match task:
        case "segmentation":
            return drawn.semantic
        case "classification":
            return np.array(drawn.label, np.uint8)
        case "instances":
            return drawn.instance
        case "depth":
            return drawn.depth
    return _table(drawn.keypoints, digits.most_keypoints(len(drawn.semantic)))


def _table(points: tuple[digits.Keypoint, ...], rows: int) -> Array:
    """Keypoints as float32 [rows, 4]; the rows that are left over have class `ignore`."""
    table = np.zeros((rows, 4), np.float32)
    table[:, 0] = digits.IGNORE
    for row, point in enumerate(points):
        table[row] = point.digit, point.y, point.x, point.size
    return table


def cache_folders(chosen: Path | None) -> Iterator[Path]:
    """Where what can be made again is kept: the preferred folder first, a temporary one last."""
    if chosen is not None:
        yield chosen
    elif (default := _default_folder()) is not None:
        yield default
    yield Path(tempfile.gettempdir()) / f"hrdsl-{getattr(os, 'getuid', int)()}"


def _default_folder() -> Path | None:
    """$HRDSL_CACHE, $XDG_CACHE_HOME/hrdsl or ~/.cache/hrdsl; None without a home."""
    if folder := os.environ.get("HRDSL_CACHE"):
        return Path(folder)
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder) / "hrdsl"
    try:
        return Path.home() / ".cache" / "hrdsl"
    except RuntimeError:
        return None


def _find(folders: Iterable[Path], entry: str) -> Pair | None:
    """The first sound entry."""
    for folder in folders:
        try:
            return _read(folder / entry)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except Exception as fault:  # A damaged file can raise nearly anything.
            log.warning("the cached data in %s cannot be used: %s", folder / entry, fault)
    return None


def _read(path: Path) -> Pair:
    """The images and labels of a file; ValueError where they differ from their digest."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        pair = stored["images"], stored["labels"]
        if str(stored["digest"]) != _digest(pair):
            raise ValueError("the content does not match its digest")
    return pair


def _keep(folders: Iterable[Path], entry: str, pair: Pair) -> None:
    """Write an entry into the first folder that takes it."""
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write(folder / entry, pair)
            return
        except OSError as fault:
            log.warning("data cannot be cached in %s: %s", folder, fault)


def _write(path: Path, pair: Pair) -> None:
    """Write a file whole or not at all; its content is on the disk before it gets its name."""
    images, labels = pair
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            np.savez(file, images=images, labels=labels, digest=np.array(_digest(pair)))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _digest(pair: Pair) -> str:
    """Of the types, shapes and contents of both arrays."""
    state = hashlib.sha256()
    for array in pair:
        state.update(f"{array.dtype.str}{array.shape}".encode())
        state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()
