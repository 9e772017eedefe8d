"""Training by several processes: what `torchrun` computes is what one process does with as many parts of a batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hrdsl.compiler.api import compile_file
from hrdsl.runtime import checkpoint, steps
from hrdsl.runtime.distributed import ALONE, Group, buckets, several
from hrdsl.runtime.searching import Listener, supernet

TEXT = (Path(__file__).parent / "tiny" / "two.arch").read_text()
TRAIN = """train together for two {
  images = 24
  sample = sandwich(random = 1, operators = same, decay = largest)
  schedule = cosine(warm = 1/4)
  steps = 6
  batch = 8
  ema = 9/10
  clip = 1
  accumulate = 2
}
"""
TENSORS = ("store", "average", "first", "second", "counts")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A space whose fusion drops numbers, too, and what one process makes of it."""
    made = tmp_path_factory.mktemp("together")
    text = TEXT.replace("head = fusion.concat_up ->", "head = fusion.concat_up -> dropout(1/10) ->")
    (made / "s.arch").write_text(f"{text}\n{TRAIN}")
    one(made, "one")
    return made


def one(folder: Path, study: str, listen: Listener | None = None) -> None:
    space = compile_file(folder / "s.arch")
    block = space.run("train", "together")
    assert block is not None
    supernet(space, block, torch.device("cpu"), folder / study, listen or Listener(), folder / "cache")


def together(folder: Path, verb: str, study: str, *more: str) -> str:
    """Two processes; their output."""
    words = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "hrdsl",
        verb,
    ]
    words += [str(folder / "s.arch"), "--study", str(folder / study), "--train", "together", "--json", *more]
    words += ["--cache", str(folder / "cache"), "--device", "cpu"]
    path = os.pathsep.join([str(Path(__file__).parents[1] / ".path"), *filter(None, sys.path)])
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def same(folder: Path, study: str) -> None:
    one, other = (checkpoint.load(folder / name / "supernet.ckpt") for name in ("one", study))
    assert one["step"] == other["step"] == 6
    for name in TENSORS:
        torch.testing.assert_close(other[name], one[name], rtol=0, atol=1e-6)


def test_two_processes_are_one(folder: Path) -> None:
    """And only the first of them speaks."""
    assert json.loads(together(folder, "train", "two"))["steps"] == 6
    same(folder, "two")


def test_a_search_goes_on_from_what_one_process_began(folder: Path) -> None:
    """Both begin where the first one stands; then the first one searches."""

    def stop(state: steps.Step) -> None:
        if state.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        one(folder, "began", Listener(training=stop))
    found = json.loads(together(folder, "search", "began"))
    same(folder, "began")
    assert found["front"]


def test_shares() -> None:
    """Equal parts, as few as all processes can share out, each in one process."""
    assert ALONE.shares(3) == (3, range(3))
    for size in range(1, 6):
        for parts in range(1, 7):
            found = [Group(rank, size).shares(parts) for rank in range(size)]
            (total,) = {total for total, _ in found}
            assert [part for _, mine in found for part in mine] == list(range(total))
            assert len({len(mine) for _, mine in found}) == 1
            assert total % parts == 0
            assert not any(t % parts == t % size == 0 for t in range(1, total))


def test_buckets() -> None:
    """In order, none above the limit unless it is one tensor, none that could be joined with the next."""
    sizes = torch.randint(1, 50, (100,), generator=torch.Generator().manual_seed(0)).tolist()
    sizes[40] = 200
    tensors = [torch.empty(n) for n in sizes]
    found = buckets(tensors, 100)
    assert [id(t) for bucket in found for t in bucket] == list(map(id, tensors))
    filled = [sum(t.numel() for t in bucket) for bucket in found]
    assert all(n <= 100 or len(bucket) == 1 for n, bucket in zip(filled, found, strict=True))
    for n, after in zip(filled, found[1:], strict=False):
        assert n + after[0].numel() > 100


def test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process of a cluster's scheduler, say, is alone."""
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    assert not several()
    values = torch.ones(3)
    ALONE.add([values])
    ALONE.spread([values])
    assert torch.equal(values, torch.ones(3))
