"""Digit scenes and their cache: fixed bytes, disjoint splits, consistent labels, and a cache that survives damage."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hrdsl.runtime import data, digits
from hrdsl.runtime.data import load
from hrdsl.runtime.digits import PARTS, Scene, Split, Variant, scene

GOLDEN: dict[tuple[Split, Variant], str] = {
    ("train", "scenes"): "4ce557b4f18b6b024fc327eeddbabb95c716f4255b9b4dd8096c9d804a02cd2e",
    ("val", "scenes"): "40104a6cc02f7abf3531cb42f1046c61d2ecbcea2c685006fae070c3b75c41ab",
    ("test", "scenes"): "d419d7794c71c46ba032b1bff2e13fdf8f5b99e6de27e4d0c2feebe9cb809003",
    ("train", "match"): "5b1a213895cc6ead5e3a8b7db2f3927efad7b97372885c83c8f775c6f3fca3ff",
    ("val", "match"): "099872fea4ba12a5c159c2ad6baa0b934f53e5d188d1d4e52e1105929c84035f",
    ("test", "match"): "d9b404867e0b81e7c628348cd6cde0a9c5d111987b8297c97c03b5af8be6d8e6",
}
ASSET = "8f6600386027f78a5c0668354b85cada86a0461c933a993138a77d54c31b6b78"
CASES: list[tuple[Split, int, Variant]] = [
    (split, size, variant)
    for split in ("train", "val", "test")
    for size in (48, 64, 128)
    for variant in ("scenes", "match")
]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep every cache of these tests, also the last resort, below `tmp_path`."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(folder))
    monkeypatch.setenv("HRDSL_CACHE", str(tmp_path / "cache"))
    return folder


def content(drawn: Scene) -> bytes:
    arrays = (drawn.image, drawn.semantic, drawn.instance.astype("<i2"), drawn.depth.astype("<f4"))
    points = [(each.digit, each.y, each.x, each.size, each.instance) for each in drawn.keypoints]
    return b"".join(array.tobytes() for array in arrays) + repr((points, drawn.label)).encode()


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def same(one: data.Split, other: data.Split) -> bool:
    return np.array_equal(one.images, other.images) and np.array_equal(one.labels, other.labels)


# Scenes


@pytest.mark.parametrize(("split", "variant"), GOLDEN)
def test_first_scenes_are_golden(split: Split, variant: Variant) -> None:
    digest = hashlib.sha256(b"".join(content(scene(split, index, variant=variant)) for index in range(20)))
    assert digest.hexdigest() == GOLDEN[split, variant]


def test_asset_is_golden_and_names_its_authors() -> None:
    assert hashlib.sha256(digits.ASSET.read_bytes()).hexdigest() == ASSET
    with np.load(digits.ASSET, allow_pickle=False) as packed:
        about = str(packed["about"])
    assert all(name in about for name in ("Alpaydin", "danielbuechele", "vultilion", "CC BY 4.0", "CC BY 2.0"))


def test_every_argument_matters_and_nothing_else() -> None:
    scenes = [
        scene("train", 3),
        scene("train", 4),
        scene("val", 3),
        scene("train", 3, size=65),
        scene("train", 3, seed=1),
        scene("train", 3, variant="match"),
    ]
    assert len({content(each) for each in scenes}) == len(scenes)
    assert content(scene("train", 3)) == content(scenes[0])


@pytest.mark.parametrize(("split", "size", "variant"), CASES)
def test_shapes_types_and_ranges(split: Split, size: int, variant: Variant) -> None:
    for index in range(10):
        drawn = scene(split, index, size, variant=variant)
        assert drawn.image.shape == (size, size, 3)
        assert drawn.semantic.shape == drawn.instance.shape == drawn.depth.shape == (size, size)
        types = [array.dtype for array in (drawn.image, drawn.semantic, drawn.instance, drawn.depth)]
        assert types == [np.uint8, np.uint8, np.int16, np.float32]
        assert set(np.unique(drawn.semantic)) <= {*range(digits.CLASSES), digits.IGNORE}
        assert 0 <= drawn.label <= 9
        assert 1 <= len(drawn.keypoints) <= digits.most_keypoints(size)


@pytest.mark.parametrize(("split", "size", "variant"), CASES)
def test_instances_agree_with_classes(split: Split, size: int, variant: Variant) -> None:
    for index in range(10):
        drawn = scene(split, index, size, variant=variant)
        assert np.array_equal(drawn.instance > 0, drawn.semantic > 0)
        assert np.all(drawn.depth >= drawn.instance)
        numbers = [point.instance for point in drawn.keypoints]
        assert set(numbers) == set(np.unique(drawn.instance)) - {0}
        assert numbers == sorted(numbers)
        for point in drawn.keypoints:
            found = set(np.unique(drawn.semantic[drawn.instance == point.instance])) - {digits.IGNORE}
            assert found <= {point.digit + 1}


def test_label_is_the_largest_digit() -> None:
    for index in range(50):
        drawn = scene("train", index)
        assert drawn.label == drawn.keypoints[0].digit
        assert drawn.keypoints[0].size == max(point.size for point in drawn.keypoints)


def test_match_labels_one_class_and_hides_the_others() -> None:
    hidden = 0
    for index in range(50):
        drawn = scene("val", index, variant="match")
        assert {point.digit for point in drawn.keypoints} == {drawn.label}
        assert set(np.unique(drawn.semantic)) <= {0, drawn.label + 1, digits.IGNORE}
        hidden += bool(np.any((drawn.depth > 0) & (drawn.semantic == 0)))
    assert hidden > 40


def test_classes_are_balanced() -> None:
    counts = np.zeros(256, np.int64)
    for index in range(300):
        counts += np.bincount(scene("train", index, 48).semantic.ravel(), minlength=256)
    share = counts / counts.sum()
    assert 0.75 < share[0] < 0.9
    assert share[1:11].min() > 0.005


def test_splits_share_no_digit_and_no_photograph_column() -> None:
    labels = digits.assets().labels
    parts = list(PARTS.values())
    assert sorted(index for part in parts for index in part.digits) == list(range(len(labels)))
    assert all(set(labels[part.digits]) == set(range(10)) for part in parts)
    for photo in digits.assets().photos:
        columns = [column for part in parts for column in part.columns(photo.shape[1])]
        assert sorted(columns) == list(range(photo.shape[1]))


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Assets that show where they come from: a photograph's colour is its column's split, a digit's ink its own."""
    real = digits.assets()
    ink, photos = real.digits.copy(), []
    for part in PARTS.values():
        ink[part.digits] = part.number
    for photo in real.photos:
        painted = photo.copy()
        for part in PARTS.values():
            painted[:, part.columns(photo.shape[1])] = part.number
        photos.append(painted)
    monkeypatch.setattr(digits, "assets", lambda: digits.Assets(ink, real.labels, tuple(photos)))


@pytest.mark.usefixtures("marked")
@pytest.mark.parametrize("split", PARTS)
def test_scenes_draw_from_their_own_split_only(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    part = PARTS[split]
    taken: list[np.ndarray[Any, Any]] = []
    warp = digits._warp

    def noted(ink: digits.Reals, *shape: Any) -> digits.Reals:
        taken.append(ink)
        return warp(ink, *shape)

    monkeypatch.setattr(digits, "_warp", noted)
    for index in range(100):
        ground = digits._backdrop(digits.Dice(index), part, 64)
        assert np.ptp(ground) == 0
        scene(split, index)
        scene(split, index, variant="match")
    assert {float(value) for ink in taken for value in np.unique(ink)} == {float(part.number)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("trian", 0), "unknown split 'trian'"),
        (("train", -1), "index and seed start at 0"),
        (("train", 0, 64, -1), "index and seed start at 0"),
        (("train", 0, 15), "at least 16 pixels"),
        (("train", 0, 64, 0, "scene"), "unknown variant 'scene'"),
    ],
)
def test_bad_arguments_are_named(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scene(*arguments)


# Splits and their cache


def test_load_gives_the_scenes_in_channels_first_order() -> None:
    split = load("digits.scenes", "val", 3, 32, seed=5)
    scenes = [scene("val", index, 32, 5) for index in range(3)]
    assert split.images.shape == (3, 3, 32, 32) and split.images.dtype == np.uint8
    assert split.labels.shape == (3, 32, 32) and split.labels.dtype == np.uint8
    assert np.array_equal(split.images, np.stack([each.image.transpose(2, 0, 1) for each in scenes]))
    assert np.array_equal(split.labels, np.stack([each.semantic for each in scenes]))
    assert (split.classes, split.ignore) == (11, 255)


@pytest.mark.parametrize(
    ("task", "shape", "kind", "classes"),
    [
        ("segmentation", (2, 32, 32), np.uint8, 11),
        ("classification", (2,), np.uint8, 10),
        ("instances", (2, 32, 32), np.int16, 11),
        ("keypoints", (2, 9, 4), np.float32, 10),
        ("depth", (2, 32, 32), np.float32, 1),
    ],
)
def test_tasks(task: data.Task, shape: tuple[int, ...], kind: type[np.generic], classes: int) -> None:
    for _ in ("drawn", "cached"):
        split = load("digits.match", "train", 2, 32, task=task)
        assert (split.labels.shape, split.labels.dtype, split.classes) == (shape, np.dtype(kind), classes)


def test_keypoints_beyond_the_last_are_ignored() -> None:
    split = load("digits.scenes", "train", 4, 64, task="keypoints")
    for index, table in enumerate(split.labels):
        points = scene("train", index).keypoints
        assert table[: len(points)].tolist() == [[each.digit, each.y, each.x, each.size] for each in points]
        assert set(table[len(points) :, 0]) <= {split.ignore}


def test_progress_counts_drawn_images_only() -> None:
    calls: list[tuple[int, int]] = []
    for _ in ("drawn", "cached"):
        load("digits.scenes", "train", 3, 32, progress=lambda done, count: calls.append((done, count)))
    assert calls == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("digits.scene", "train", 1, 32), "unknown data set 'digits.scene': did you mean 'digits.scenes'"),
        (("cityscrapes", "train", 1, 32), "expected one of digits.scenes, digits.match"),
        (("digits.scenes", "trian", 1, 32), "unknown split 'trian': did you mean 'train'"),
        (("digits.scenes", "train", 0, 32), "at least 1 image"),
        (("digits.scenes", "train", 1, 32, 0, None, "segmentatoin"), "did you mean 'segmentation'"),
    ],
)
def test_bad_requests_are_named(arguments: tuple[Any, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        load(*arguments)
    assert files(tmp_path) == []


def test_second_load_is_read_and_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load("digits.scenes", "train", 3, 32)
    assert [path.parent for path in files(tmp_path)] == [tmp_path / "cache"]
    monkeypatch.delattr(digits, "scene")
    assert same(load("digits.scenes", "train", 3, 32), first)


def test_changed_generator_does_not_read_old_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load("digits.scenes", "train", 1, 32)
    monkeypatch.setattr(data, "_digits_fingerprint", lambda: "other")
    load("digits.scenes", "train", 1, 32)
    assert len(files(tmp_path)) == 2


def damages(whole: bytes) -> Iterator[bytes]:
    """Nothing, too little, no archive, a wrong archive member, and flipped bytes all over."""
    yield from (b"", whole[:-1], whole[: len(whole) // 2], b"\0" * len(whole), b"\x93NUMPY" + whole)
    yield whole.replace(b"labels.npy", b"lapels.npy")
    for at in range(0, len(whole), len(whole) // 60):
        yield whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]


def test_damaged_entries_are_detected_and_repaired(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sound = load("digits.scenes", "train", 2, 16)
    (entry,) = files(tmp_path)
    whole = entry.read_bytes()
    for damaged in damages(whole):
        caplog.clear()
        entry.write_bytes(damaged)
        assert same(load("digits.scenes", "train", 2, 16), sound)
        noticed = bool(caplog.records)
        assert not noticed or entry.read_bytes() == whole
    assert files(tmp_path) == [entry]


def test_swapped_content_is_detected(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sound = load("digits.scenes", "train", 2, 16)
    (entry,) = files(tmp_path)
    with np.load(entry) as stored:
        arrays = dict(stored)
    np.savez(entry, **{**arrays, "labels": arrays["labels"][::-1]})
    assert same(load("digits.scenes", "train", 2, 16), sound)
    assert "does not match its digest" in caplog.text


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_interrupted_writing_leaves_nothing(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, step, interrupt)
        with pytest.raises(KeyboardInterrupt):
            load("digits.scenes", "train", 1, 16)
    assert files(tmp_path) == []


def test_content_is_on_the_disk_before_it_gets_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(file: int) -> None:
        steps.append("fsync")
        fsync(file)

    def noted_replace(old: Path, new: Path) -> None:
        steps.append("replace")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    load("digits.scenes", "train", 1, 16)
    assert steps == ["fsync", "replace"]


def test_full_disk_only_costs_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert load("digits.scenes", "train", 1, 16).images.shape == (1, 3, 16, 16)
    assert files(tmp_path) == []
    assert "No space left on device" in caplog.text


def test_unwritable_cache_falls_back_to_temporary_files(tmp_path: Path, temporary: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    first = load("digits.scenes", "train", 1, 16, cache=blocker / "cache")
    assert len(files(temporary)) == 1
    assert same(load("digits.scenes", "train", 1, 16, cache=blocker / "cache"), first)


def test_works_without_any_writable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(blocker))
    assert load("digits.scenes", "train", 1, 16, cache=blocker).images.shape == (1, 3, 16, 16)
    assert files(tmp_path) == [blocker]


def test_default_folders(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("no home")

    assert next(data.cache_folders(tmp_path)) == tmp_path
    assert next(data.cache_folders(None)) == tmp_path / "cache"
    monkeypatch.delenv("HRDSL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "ü x"))
    assert next(data.cache_folders(None)) == tmp_path / "ü x" / "hrdsl"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert next(data.cache_folders(None)) == tmp_path / ".cache" / "hrdsl"
    monkeypatch.setattr(Path, "home", homeless)
    assert [folder.parent for folder in data.cache_folders(None)] == [temporary]
