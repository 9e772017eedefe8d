"""From text to found networks on a tiny space, through the command line. Run as a script: searches that are killed."""

import contextlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from hrdsl.cli.main import main
from hrdsl.compiler.api import compile_file
from hrdsl.runtime import checkpoint, train
from hrdsl.runtime.evaluate import network_miou
from hrdsl.runtime.evaluation import Evaluator
from hrdsl.runtime.results import load_weights, network_of
from hrdsl.runtime.search.study import read
from hrdsl.runtime.task import examples

TINY = Path(__file__).parent / "tiny"
SPACE = TINY / "two.arch"
KILLS = 10
FIELDS = ["path", "space", "evaluated", "failed", "hypervolume", "seconds", "report", "evaluation", "front"]
COSTS = ["macs", "parameters", "peak_activation_bytes"]
Command = Callable[..., tuple[int, dict[str, Any], str]]


def command(*words: object) -> tuple[int, dict[str, Any], str]:
    """One command with --json: its status, its object and what it said to people."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([*map(str, words), "--json"])
    return status, json.loads(out.getvalue()), err.getvalue()


@dataclass(frozen=True)
class Lab:
    """A cache of data, and a finished study."""

    cache: Path
    study: Path
    data: dict[str, Any]

    def search(self, study: Path, *words: object, file: Path = SPACE) -> tuple[int, dict[str, Any], str]:
        return command("search", file, "--study", study, "--cache", self.cache, "--device", "cpu", *words)

    def again(self, study: Path, *words: object) -> None:
        """The same search ends with the same front in another folder."""
        status, data, _ = self.search(study, *words)
        assert status == 0
        assert content(study) == content(self.study)
        assert data["hypervolume"] == self.data["hypervolume"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("lab ü")
    study = folder / "study"
    status, data, _ = Lab(folder / "cache", study, {}).search(study)
    assert status == 0
    return Lab(folder / "cache", study, data)


def content(study: Path) -> dict[str, Any]:
    """All that a search decides: the table, the weights and optimiser state of the supernet, the files of the front."""
    rows = [
        (r.position, r.genome, r.evaluation.values, r.evaluation.error, r.generation)
        for r in read(study / "study.sqlite")[1]
    ]
    state = checkpoint.load(study / "supernet.ckpt")
    files = {p.name: p.read_bytes() for p in (study / "front").glob("[!.]*") if p.name != "report.html"}
    return {
        "rows": rows,
        "files": files,
        "supernet": {k: v.numpy().tobytes() for k, v in state.items() if isinstance(v, torch.Tensor)},
        "step": state["step"],
    }


# what a search leaves


def test_files(lab: Lab) -> None:
    front = lab.study / "front"
    assert {p.name for p in lab.study.iterdir()} >= {"front", "study.sqlite", "supernet.ckpt"}
    assert {p.name for p in front.iterdir()} >= {"front.svg", "report.html", "manifest.json"}
    assert (front / "space.svg").exists() or (front / "space.dot").exists()
    report = (front / "report.html").read_text()
    assert f"hrdsl search {SPACE} --study" in report
    for network in lab.data["front"]:
        assert network["name"] in report
        assert all(Path(network[kind]).is_file() for kind in ("path", "weights", "picture"))
    assert len({*front.glob("net-*")}) == 3 * len(lab.data["front"])


def test_fields(lab: Lab) -> None:
    assert list(lab.data) == FIELDS
    assert (lab.data["evaluated"], lab.data["failed"], lab.data["space"]) == (15, 0, "two")
    assert lab.data["seconds"] > 0
    for network in lab.data["front"]:
        assert list(network) == ["name", "path", "weights", "picture", "miou", *COSTS, "choices"]


def test_front(lab: Lab) -> None:
    """No network dominates another, and none that was evaluated dominates one of them."""
    points = [(-n["miou"], n["macs"]) for n in lab.data["front"]]
    everything = [(-r.evaluation.values[0], r.evaluation.values[1]) for r in read(lab.study / "study.sqlite")[1]]
    assert len(everything) == 15
    assert len(points) >= 2
    assert points == sorted(points, key=lambda p: p[1])
    assert not [p for p in points for q in everything if q != p and q[0] <= p[0] and q[1] <= p[1]]


def test_found_networks(lab: Lab, tmp_path: Path) -> None:
    """Each found file formats unchanged, checks, counts 1, costs the same, renders, and is what was evaluated."""
    validation = examples("digits.scenes", "val", 16, 16, torch.device("cpu"), lab.cache)
    for stored in lab.data["front"]:
        arch = Path(stored["path"])
        assert command("fmt", "--check", arch)[0] == 0
        status, checked, _ = command("check", arch)
        assert status == 0
        assert all(d["severity"] == "warning" for d in checked["diagnostics"])
        assert command("count", arch)[1]["count"] == "1"
        costs = command("cost", arch)[1]
        assert {k: costs[k] for k in COSTS} == {k: stored[k] for k in COSTS}
        assert command("render", arch, "-o", tmp_path / f"{arch.stem}.dot")[0] == 0
        assert (tmp_path / f"{arch.stem}.dot").stat().st_size > 0

        compiled = compile_file(arch)
        assert compiled.graph.decisions == ()
        network = network_of(compiled, Path(stored["weights"]))
        assert sum(p.numel() for p in network.parameters()) == stored["parameters"]
        assert network_miou(network, validation) == pytest.approx(stored["miou"], abs=1e-3)


def test_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command once more: nothing is trained or evaluated, and every file is the same."""
    before = {p: p.read_bytes() for p in lab.study.rglob("*") if p.is_file() and p.suffix != ".sqlite"}
    table = read(lab.study / "study.sqlite")

    def never(*_: object) -> None:
        raise AssertionError("nothing is left to do")

    monkeypatch.setattr(Evaluator, "__call__", never)
    monkeypatch.setattr(train.SupernetTrainer, "step", never)
    monkeypatch.setattr(checkpoint, "save", never)
    status, data, said = lab.search(lab.study)
    assert (status, data) == (0, lab.data)
    assert read(lab.study / "study.sqlite") == table
    assert {p: p.read_bytes() for p in lab.study.rglob("*") if p.is_file() and p.suffix != ".sqlite"} == before
    assert "15/15 evaluated" in said


def test_convention(lab: Lab) -> None:
    """The finished study, counted another way: operations beside the costs, in the report, and in its command."""
    status, data, _ = lab.search(lab.study, "--convention", "flops")
    report = Path(data["report"]).read_text()
    assert (status, data["convention"]) == (0, "flops")
    assert [n["operations"] for n in data["front"]] == [2 * n["macs"] for n in lab.data["front"]]
    assert "<th>flops</th>" in report and "--convention flops" in report
    assert all(f"{n['operations']:,}" in report for n in data["front"])
    assert lab.search(lab.study)[1] == lab.data


def test_other_seed_is_refused(lab: Lab) -> None:
    status, data, said = lab.search(lab.study, "--seed", 1)
    assert status == 2
    assert said.count("\n") == 1
    assert "seed was 0 and is 1" in said
    assert list(data) == ["diagnostics", "error"]


def test_damaged_supernet_is_refused(lab: Lab, tmp_path: Path) -> None:
    """One line; the study stays."""
    path = tmp_path / "study" / "supernet.ckpt"
    path.parent.mkdir()
    path.write_bytes((lab.study / "supernet.ckpt").read_bytes()[:-1])
    status, _, said = lab.search(tmp_path / "study")
    assert (status, said.count("\n")) == (2, 1)
    assert f"{path} is damaged" in said
    path.unlink()
    lab.again(tmp_path / "study")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[3, 16, 16]", "[3, 16, 32]", "square colour images"),
        ("[3, 16, 16]", "[3, 8, 8]", "at least 16 pixels"),
        ("classes = 11", "classes = 5", "has 11 classes"),
    ],
)
def test_space_that_does_not_fit_the_data(lab: Lab, tmp_path: Path, old: str, new: str, words: str) -> None:
    file = tmp_path / "other.arch"
    file.write_text(SPACE.read_text().replace(old, new))
    status, _, said = lab.search(tmp_path / "study", file=file)
    assert (status, said.count("\n")) == (2, 1)
    assert words in said


# interruptions


@pytest.mark.parametrize(
    ("event", "count", "words"),
    [
        ("training", 3, []),
        ("evaluated", 7, []),
        ("generation", 2, []),
        pytest.param("evaluated", 7, ["--workers", 2], marks=pytest.mark.slow),
    ],
)
def test_interrupted(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, event: str, count: int, words: list[object]
) -> None:
    calls = iter(range(1, 100))

    def interrupt(*_: object) -> None:
        if next(calls) == count:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"hrdsl.cli.progress.Meter.{event}", interrupt)
        status, _, said = lab.search(tmp_path / "study", *words)
    assert status == 130
    assert said.endswith("hrdsl: interrupted\n")
    assert checkpoint.load(tmp_path / "study" / "supernet.ckpt")["step"] == (3 if event == "training" else 6)
    lab.again(tmp_path / "study")


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 4])
def test_workers(lab: Lab, tmp_path: Path, count: int) -> None:
    """The same front from worker processes, bit for bit."""
    lab.again(tmp_path / "study", "--workers", count)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("validate = 16", "validate = 200\n  race = paired", "`race = none`"),
        ("minimize macs", "minimize latency_ms\n  latency = measured", "`latency = table`"),
    ],
)
def test_workers_measure_apart(lab: Lab, tmp_path: Path, old: str, new: str, words: str) -> None:
    file = tmp_path / "other.arch"
    file.write_text(SPACE.read_text().replace(old, new))
    status, _, said = lab.search(tmp_path / "study", "--workers", 2, file=file)
    assert (status, said.count("\n")) == (2, 1)
    assert words in said and not (tmp_path / "study").exists()


@pytest.mark.parametrize("words", [[], pytest.param(["--workers", "2"], marks=pytest.mark.slow)])
def test_killed(lab: Lab, tmp_path: Path, words: list[str]) -> None:
    """`kill -9` at ten random moments of a search, training and writing included, resumed each time."""
    environment = {**os.environ, "PYTHONPATH": str(TINY.parent.parent / ".path")}
    script = [sys.executable, __file__, str(tmp_path), str(lab.cache), *words]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=600 + 300 * len(words))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["kills"] >= KILLS
    for name in said["studies"]:
        assert content(tmp_path / name) == content(lab.study)


def kill_searches(folder: Path, cache: Path, more: list[str]) -> dict[str, Any]:
    """Searches in forks of this process, each killed after a random time and run again, until all that is enough."""
    import matplotlib.pyplot  # noqa: F401
    import pymoo.algorithms.moo.nsga2  # noqa: F401

    checkpoint.SAVE_EVERY = 0.0
    rng, kills, studies = random.Random(0), 0, ["whole"]
    begun = time.monotonic()
    finish(forked(folder / "whole", cache, more))
    seconds = time.monotonic() - begun
    while kills < KILLS:
        studies.append(f"killed-{len(studies)}")
        begun, child = time.monotonic(), forked(folder / studies[-1], cache, more)
        while kills < KILLS and not ended(child, rng.uniform(0, seconds)):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            child, kills = forked(folder / studies[-1], cache, more), kills + 1
        finish(child)
        seconds = min(seconds, time.monotonic() - begun)
    return {"kills": kills, "studies": studies}


def ended(child: int, seconds: float) -> bool:
    """Whether a process ends within some seconds; waits no longer than that."""
    last = time.monotonic() + seconds
    while time.monotonic() < last:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return True
        time.sleep(0.01)
    return False


def finish(child: int) -> None:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def forked(study: Path, cache: Path, more: list[str]) -> int:
    """A child that runs a whole search."""
    child = os.fork()
    if child == 0:
        with contextlib.redirect_stdout(sys.stderr):
            words = ["search", str(SPACE), "--study", str(study), "--cache", str(cache), "--device", "cpu", "--quiet"]
            os._exit(main([*words, *more]))
    return child


# one network


@pytest.fixture(scope="module")
def retrained(lab: Lab) -> tuple[Path, dict[str, Any]]:
    arch = Path(lab.data["front"][-1]["path"])
    out = lab.study.parent / "retrained"
    words = ["--out", out, "--steps", 3, "--cache", lab.cache, "--device", "cpu", "--quiet"]
    status, data, _ = command("retrain", arch, *words)
    assert status == 0
    return arch, data


def test_retrained(lab: Lab, retrained: tuple[Path, dict[str, Any]]) -> None:
    arch, data = retrained
    assert {k: data[k] for k in COSTS} == {k: lab.data["front"][-1][k] for k in COSTS}
    assert (data["path"], data["steps"], data["seed"], data["size"]) == (str(arch), 3, 0, 16)
    assert json.loads(Path(data["weights"]).with_suffix(".json").read_text()) == data
    test = examples("digits.scenes", "test", 400, 16, torch.device("cpu"), lab.cache)
    assert network_miou(network_of(compile_file(arch), Path(data["weights"])), test) == data["miou"]


def test_retrain_begins_with_weights(lab: Lab, retrained: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """One step from given weights stays near them; an other network's are refused."""
    arch, data = retrained
    words = ["--out", tmp_path, "--steps", 1, "--cache", lab.cache, "--device", "cpu", "--quiet", "--weights"]
    status, again, _ = command("retrain", arch, *words, data["weights"])
    first, then = (load_weights(Path(d["weights"])) for d in (data, again))
    moved = [(first[n] - then[n]).abs().max() for n in first if n.endswith("weight")]
    assert status == 0 and max(moved) < 0.05
    status, _, said = command("retrain", arch, *words, lab.data["front"][0]["weights"])
    assert status == 2 and "holds another network" in said


def test_retrain_refuses_open_choices(lab: Lab, tmp_path: Path) -> None:
    status, _, said = command("retrain", SPACE, "--out", tmp_path, "--cache", lab.cache)
    assert (status, said.count("\n")) == (2, 1)
    assert "more than one architecture" in said


def test_retrain_refuses_unknown_block(lab: Lab, tmp_path: Path) -> None:
    words = ["--out", tmp_path, "--cache", lab.cache, "--train", "breif"]
    status, _, said = command("retrain", lab.data["front"][0]["path"], *words)
    assert (status, said.count("\n")) == (2, 1)
    assert "no `train` block `breif`" in said


@pytest.mark.parametrize("inherits", [True, False])
def test_exported(retrained: tuple[Path, dict[str, Any]], tmp_path: Path, inherits: bool) -> None:
    arch, data = retrained
    weights = arch.with_suffix(".safetensors") if inherits else Path(data["weights"])
    chosen = [] if inherits else ["--weights", weights]
    status, exported, _ = command("export", arch, *chosen, "--to", "python", "--to", "safetensors", "-o", tmp_path)
    assert status == 0
    assert exported["weights"] == str(weights)
    assert [f["format"] for f in exported["files"]] == ["python", "safetensors"]
    assert exported["files"][0]["largest_difference"] == 0
    again = network_of(compile_file(arch), Path(exported["files"][1]["path"])).state_dict()
    for name, value in network_of(compile_file(arch), weights).state_dict().items():
        assert torch.equal(value, again[name])


@pytest.mark.slow
@pytest.mark.skipif(not (find_spec("onnxruntime") and find_spec("onnxscript")), reason="needs `hrdsl[onnx]`")
def test_exported_onnx(retrained: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    status, exported, _ = command("export", retrained[0], "-o", tmp_path)
    assert status == 0
    assert Path(exported["files"][0]["path"]).is_file()
    assert exported["files"][0]["largest_difference"] < 1e-5


if __name__ == "__main__":
    print(json.dumps(kill_searches(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])))
