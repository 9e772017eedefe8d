"""The searches of HyCTAS and TrioNet from their files, by one command each, with the smallest networks and numbers."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from hrdsl.cli.main import main
from hrdsl.compiler.api import compile_file
from hrdsl.dsl.model import build_model
from hrdsl.dsl.modules import load
from hrdsl.runtime.search.study import read

torch.set_num_threads(1)
FOLDER = Path(__file__).parents[1] / "examples"
HYCTAS = ["classes=11", "height=64", "columns=64", "layers=4", "filters=4"]
TRIONET = ["dense=true", "classes=11", "size=64", "base=32", "splits=[1,2]"]


def searched(system: str, study: Path, settings: list[str], *words: object) -> tuple[int, dict[str, Any], str]:
    """One search with --json: its status, its object, and what it said to people."""
    given = [w for pair in settings for w in ("--set", pair)]
    command = ["search", FOLDER / system / "space.arch", "--study", study, "--device", "cpu", "--json", *given, *words]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([*map(str, command)])
    return status, json.loads(out.getvalue() or "{}"), err.getvalue()


@pytest.fixture(scope="module")
def hyctas(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    study = tmp_path_factory.mktemp("hyctas")
    status, data, said = searched("hyctas", study, HYCTAS, "--train", "quick", "--search", "quick")
    assert status == 0, said
    return study, data, said


def test_hyctas_searches_each_number_of_routes(hyctas: tuple[Path, dict[str, Any], str]) -> None:
    study, data, said = hyctas
    assert list(data["parts"]) == ["1", "2", "3"]
    assert {value: part["evaluated"] for value, part in data["parts"].items()} == {"1": 8, "2": 8, "3": 8}
    assert data["evaluated"] == 24 == len(read(study / "study.sqlite")[1])
    assert "generation 6/6  part 3  24/24 evaluated" in said
    values = [(f["miou"], f["macs"]) for f in data["front"]]
    parts = [(f["miou"], f["macs"]) for part in data["parts"].values() for f in part["front"]]
    best = [v for v in parts if not any(o[0] >= v[0] and o[1] <= v[1] and o != v for o in parts)]
    assert sorted(values) == sorted(set(best))
    page = (study / "front" / "report.html").read_text()
    assert "By <code>count([route.open for route in paths.branches])</code>" in page


def test_hyctas_goes_on(hyctas: tuple[Path, dict[str, Any], str]) -> None:
    """The same command again measures nothing and finds the same."""
    study, data, _ = hyctas
    status, again, said = searched("hyctas", study, HYCTAS, "--train", "quick", "--search", "quick")
    assert status == 0 and "in this run" not in said
    assert {k: v for k, v in again.items() if k != "seconds"} == {k: v for k, v in data.items() if k != "seconds"}


def test_trionet_evolves_under_a_budget(tmp_path: Path) -> None:
    """And from what it found, and from one of the networks, the next search starts."""
    first, second = tmp_path / "first", tmp_path / "second"
    budget = [*TRIONET, "budget=70M"]
    status, data, said = searched("trionet", first, budget, "--train", "quick", "--search", "quick_aging")
    assert status == 0, said
    assert data["evaluated"] == 8 and "parts" not in data
    assert all(network["macs"] <= 70_000_000 for network in data["front"])
    second.mkdir()
    (second / "supernet.ckpt").write_bytes((first / "supernet.ckpt").read_bytes())
    begin = ["--from", first, "--from", first / "front" / "net-01.arch"]
    status, _, said = searched("trionet", second, budget, "--train", "quick", "--search", "quick", *begin)
    assert status == 0, said
    asked = [row.genome for row in read(second / "study.sqlite")[1]]
    found = [row.genome for row in read(first / "study.sqlite")[1]]
    networks = json.loads((first / "front.json").read_text())["networks"]
    space = compile_file(
        FOLDER / "trionet" / "space.arch", settings={"dense": True, "size": 64, "base": 32, "splits": (1, 2)}
    )
    given = [space.decisions.read(n["choices"]) for n in networks]
    assert set(given) <= set(found)
    assert set(given[:4]) <= set(asked[:6])
    status, _, said = searched("trionet", second, budget, "--train", "quick", "--search", "quick")
    assert status != 0 and "from was" in said


def test_the_published_numbers() -> None:
    """Population, generations and rates of HyCTAS, Section 4.2; one goal and a budget for TrioNet."""
    runs = {
        system: {(r.kind, r.name): r for r in build_model(load(FOLDER / system / "space.arch")).runs}
        for system in ("hyctas", "trionet")
    }
    hyctas = runs["hyctas"]["search", "published"]
    options = hyctas.settings["strategy"].options
    assert [float(options[n]) for n in ("population", "generations", "crossover", "mutation")] == [40, 20, 0.9, 0.02]
    assert options["ceiling"] and hyctas.settings["recalibrate"] == 1000 and hyctas.split is not None
    trionet = runs["trionet"]["search", "published"]
    assert [(o.name, o.maximize) for o in trionet.objectives] == [("miou", True)]
    assert trionet.requires and trionet.settings["strategy"].name == "aging"
    sample = runs["trionet"]["train", "published"].settings["sample"]
    assert (sample.options["operators"], sample.options["decay"], sample.options["random"]) == ("same", "largest", 2)
