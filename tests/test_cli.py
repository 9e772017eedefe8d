"""The command line: exit statuses, --json, texts under golden test, and what it does in poor surroundings."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hrdsl.cli import main as cli
from hrdsl.cli.architecture import _parts
from hrdsl.cli.common import paint, table, write_text
from hrdsl.cli.figures import short
from hrdsl.cli.main import INTERNAL, PREEMPTED, USAGE, VERBS, main
from hrdsl.cli.search import lines
from hrdsl.compiler.api import compile_file
from hrdsl.runtime.results import Network

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = Path(__file__).with_name("golden") / "cli"
TINY = GOLDEN / "tiny.arch"
Golden = Callable[[Path, str], None]
HEAVY = ("torch", "networkx", "pymoo", "numpy", "pydantic")

BROKEN = TINY.read_text(encoding="utf-8").replace("blocks.residual }", "blocks.residul }")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """run(words...) -> status, stdout, stderr; inside the repository, so that paths in texts are short."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("HRDSL_DEBUG", raising=False)

    def call(*words: object) -> tuple[int, str, str]:
        status = main([str(w) for w in words])
        out, err = capsys.readouterr()
        return status, out, err

    return call


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def as_json(run: Run) -> Callable[..., dict[str, Any]]:
    """The object that a command prints with --json, and that the command succeeds."""

    def call(*words: object) -> dict[str, Any]:
        status, out, _ = run(*words, "--json")
        assert status == 0
        data: dict[str, Any] = json.loads(out)
        return data

    return call


def program(*words: object, env: dict[str, str] | None = None, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    """`python -m hrdsl` in its own process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / ".path"), **(env or {})}
    command = [sys.executable, "-m", "hrdsl", *map(str, words)]
    kwargs = {"stdin": subprocess.DEVNULL, "capture_output": True, "encoding": "utf-8", **kwargs}
    return subprocess.run(command, env=environment, check=False, timeout=120, **kwargs)


def broken(folder: Path, name: str = "broken.arch") -> Path:
    path = folder / name
    path.write_text(BROKEN, encoding="utf-8")
    return path


# the frame ---------------------------------------------------------------------------------------------------------


def test_help(run: Run, golden: Golden) -> None:
    status, out, err = run("--help")
    assert (status, err) == (0, "")
    golden(GOLDEN / "help.txt", out)


def test_no_command_is_usage(run: Run) -> None:
    assert run()[0] == USAGE


def test_version(run: Run) -> None:
    import hrdsl

    assert run("--version") == (0, f"hrdsl {hrdsl.__version__}\n", "")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_json(verb: str, run: Run) -> None:
    status, out, _ = run(verb, "--help")
    assert status == 0
    assert out.startswith(f"usage: hrdsl {verb} ")
    assert "--json" in out
    assert VERBS[verb][1:] in " ".join(out.split())


@pytest.mark.parametrize("verb", VERBS)
def test_the_page_names_every_option(verb: str, run: Run) -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    options = set(re.findall(r"(?<![\w-])--[a-z]+", run(verb, "--help")[1])) - {"--help"}
    assert f"| `{verb}" in page
    assert sorted(o for o in options if o not in page) == []


@pytest.mark.parametrize(
    ("typed", "meant"), [("chekc", "check"), ("format", "fmt"), ("serach", "search"), ("cost_", "cost")]
)
def test_did_you_mean_a_verb(typed: str, meant: str, run: Run) -> None:
    status, out, err = run(typed, "a.arch")
    assert (status, out) == (USAGE, "")
    assert f"unknown command `{typed}`" in err
    assert f"did you mean `{meant}`?" in err or meant in err
    assert err.count("\n") == 1


def test_did_you_mean_an_option(run: Run) -> None:
    status, _, err = run("check", TINY, "--jsno")
    assert status == USAGE
    assert err == "hrdsl: check: unknown option `--jsno`: did you mean `--json`?; see `hrdsl check --help`\n"


def test_options_are_not_abbreviated(run: Run) -> None:
    assert run("check", TINY, "--js")[0] == USAGE


def test_options_may_stand_between_files(run: Run) -> None:
    status, out, _ = run("check", TINY, "--json", ROOT / "dsl/std/blocks.arch")
    assert status == 0
    assert len(json.loads(out)["files"]) == 2


@pytest.mark.parametrize(
    "words",
    [
        ["-x", "check", "a.arch"],
        ["check"],
        ["check", TINY, "--set", "classes"],
        ["check", TINY, "--set", "in x=3"],
        ["check", TINY, "--set", "classes=1+1"],
        ["check", "no such file.arch"],
        ["check", ROOT],
        ["fmt", TINY, TINY, "--stdout"],
        ["sample", TINY, "-n", "0"],
        ["sample", TINY, "--out", "x"],
        ["sample", TINY, "--index", "-1"],
        ["sample", TINY, "--index", "1000000000000"],
        ["sample", TINY, "--index", "1", "-n", "2"],
        ["cost", TINY, "--population", "many"],
        ["compile", TINY, "--emit", "c"],
        ["compile", TINY, "--largest", "--smallest"],
        ["explain", "nonsense"],
        ["check", TINY, "--space", "nowhere"],
        ["train", TINY, "--study", "study", "--train", "nowhere"],
        ["search", TINY, "--study", "study", "--search", "nowhere"],
        ["prune", TINY, "--study", "study", "--train", "nowhere"],
    ],
)
def test_usage(words: list[object], run: Run) -> None:
    status, out, err = run(*words)
    assert status == USAGE
    assert out == ""
    assert err.startswith("hrdsl: ")
    assert err.count("\n") == 1


def test_did_you_mean_a_block(run: Run) -> None:
    assert run("search", ROOT / "examples/demo.arch", "--study", "study", "--search", "fron")[2] == (
        "hrdsl: space `demo` has no `search` block `fron`; did you mean `front`?\n"
    )
    assert not Path("study").exists()


def test_missing_file_as_json(run: Run) -> None:
    status, out, _ = run("check", "nope.arch", "--json")
    assert status == USAGE
    assert json.loads(out) == {"diagnostics": [], "error": "nope.arch: No such file or directory"}


def test_internal_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> int:
        raise ZeroDivisionError("one\ntwo")

    monkeypatch.setattr("hrdsl.cli.check.run", fail)
    status, _, err = run("check", TINY)
    assert status == INTERNAL
    assert err.startswith("hrdsl: internal error: ZeroDivisionError: one two; please report it")
    assert err.count("\n") == 1
    monkeypatch.setenv("HRDSL_DEBUG", "1")
    assert "Traceback" in run("check", TINY)[2]


def test_interrupted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("hrdsl.cli.check.run", stop)
    assert run("check", TINY) == (130, "", "hrdsl: interrupted\n")


def test_sigterm_preempts(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from hrdsl.cli import check, main\n"
        "check.run = lambda args: (print('ready', flush=True), time.sleep(60))[0]\n"
        f"sys.argv = ['hrdsl', 'check', {str(TINY)!r}]\n"
        "main.entry()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / ".path")}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGTERM)
        _, err = child.communicate(timeout=60)
    assert child.returncode == PREEMPTED
    assert err == "hrdsl: preempted: the same command goes on from here\n"


# check -------------------------------------------------------------------------------------------------------------


def test_check(run: Run, golden: Golden) -> None:
    status, out, err = run("check", "tests/golden/cli/tiny.arch", "tests/golden/cli/cells.arch")
    assert (status, err) == (0, "")
    golden(GOLDEN / "check.txt", out)


def test_check_faults(run: Run, golden: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status, out, err = run("check", TINY, broken(tmp_path))
    assert status == 1
    assert out.count("\n") == 1
    golden(GOLDEN / "check.err", err.replace(str(tmp_path), "FOLDER"))


def test_one_file_does_not_hide_another(run: Run, tmp_path: Path) -> None:
    files = [broken(tmp_path, "a.arch"), TINY, broken(tmp_path, "b.arch")]
    status, out, _ = run("check", *files, "--json")
    data = json.loads(out)
    assert status == 1
    assert [f["ok"] for f in data["files"]] == [False, True, False]
    assert [Path(d["file"]).name for d in data["diagnostics"]] == ["a.arch", "b.arch"]


def test_check_json(as_json: Callable[..., dict[str, Any]]) -> None:
    data = as_json("check", "tests/golden/cli/tiny.arch")
    assert data["diagnostics"] == []
    assert data["files"] == [
        {
            "path": "tests/golden/cli/tiny.arch",
            "ok": True,
            "cells": 0,
            "spaces": [{"space": "tiny", "decisions": 6, "nodes": len(compile_file(TINY).graph.nodes)}],
            "diagnostics": [],
        }
    ]


def test_check_warns(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "w.arch"
    path.write_text(TINY.read_text(encoding="utf-8").replace("{24, 32, 48}", "{32}"), encoding="utf-8")
    status, out, err = run("check", path)
    assert status == 0
    assert out.startswith("ok: ")
    assert err.startswith("warning[W601]")


def test_check_every_space(run: Run, tmp_path: Path) -> None:
    text = TINY.read_text(encoding="utf-8")
    second = text[text.index("space tiny") : text.index("train warm")].replace("space tiny", "space other")
    path = tmp_path / "two.arch"
    path.write_text(f"{text}\n{second.replace('width = 16)', 'width = 0)')}", encoding="utf-8")
    assert run("check", path)[0] == 1
    assert run("check", path, "--space", "tiny")[0] == 0
    assert run("check", path, "--space", "tyni")[0] == USAGE


def test_check_with_set(as_json: Callable[..., dict[str, Any]], run: Run) -> None:
    assert as_json("check", TINY, "--set", "classes=3")["diagnostics"] == []
    assert "E208" in run("check", TINY, "--set", "clases=3")[2]


def test_diagnostics_as_json(run: Run, tmp_path: Path) -> None:
    status, out, _ = run("check", broken(tmp_path), "--json")
    (found,) = json.loads(out)["diagnostics"]
    assert status == 1
    assert (found["code"], found["severity"], found["help"]) == ("E201", "error", "did you mean `residual`?")
    assert (found["line"], found["column"]) == (14, 36)


def test_other_verbs_report_faults_too(run: Run, tmp_path: Path) -> None:
    status, out, err = run("compile", broken(tmp_path), "--emit", "graph", "--json")
    assert status == 1
    assert [d["code"] for d in json.loads(out)["diagnostics"]] == ["E201"]
    assert err.startswith("error[E201]")


# surroundings ------------------------------------------------------------------------------------------------------


def test_check_imports_nothing_heavy() -> None:
    code = f"import sys; from hrdsl.cli.main import main; main(['check', {str(TINY)!r}]); print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / ".path")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert sorted({*HEAVY, "graphviz", "matplotlib"} & set(done.stdout.split())) == []


@pytest.mark.parametrize(
    "env",
    [
        {"LANG": "C", "LC_ALL": "C"},
        {"LANG": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "POSIX"},
        {"PYTHONIOENCODING": "ascii"},
        {"HOME": "/nonexistent"},
        {"TERM": "dumb"},
        {"COLUMNS": ""},
    ],
)
def test_poor_surroundings(env: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "ä folder with spaces"
    folder.mkdir()
    path = broken(folder, "größe 1.arch")
    good = folder / "tiny ∑.arch"
    good.write_bytes(TINY.read_bytes())
    environment = {k: v for k, v in os.environ.items() if k != "HOME"}
    done = program("check", path, good, env=env if "HOME" in env else {**environment, **env})
    assert done.returncode == 1
    assert "error[E201]" in done.stderr
    assert "\x1b" not in done.stderr
    assert done.stdout.startswith("ok: ")
    shown = json.loads(program("check", good, "--json", env=env).stdout)["files"][0]["path"]
    assert shown.encode("utf-8", "surrogateescape") == str(good).encode()


def test_no_home(tmp_path: Path) -> None:
    kept = {k: v for k, v in os.environ.items() if k not in ("HOME", "USER", "LOGNAME", "LANG", "TERM")}
    command = [sys.executable, "-m", "hrdsl", "check", str(TINY)]
    done = subprocess.run(command, env={**kept, "PYTHONPATH": str(ROOT / ".path")}, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a shell")
@pytest.mark.parametrize("redirect", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(redirect: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / ".path")}
    command = f'"{sys.executable}" -m hrdsl check "{TINY}" {redirect}'
    assert subprocess.run(["sh", "-c", command], env=environment, capture_output=True, check=False).returncode == 0


def test_full_disk() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with open("/dev/full", "w") as full:
        done = program("check", TINY, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (USAGE, "hrdsl: No space left on device\n")


def test_nobody_reads() -> None:
    read, write = os.pipe()
    os.close(read)
    done = program("explain", capture_output=False, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (cli.UNREAD, "")


def test_colour_on_a_terminal_only(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    path = broken(tmp_path)

    def seen(**env: str) -> str:
        parent, child = pty.openpty()
        program(
            "check", path, env={"TERM": "xterm", **env}, capture_output=False, stderr=child, stdout=subprocess.DEVNULL
        )
        os.close(child)
        text = b""
        while b"residual`?" not in text:
            text += os.read(parent, 65536)
        os.close(parent)
        return text.decode()

    assert "\x1b[1;31merror[E201]\x1b[0m" in seen(NO_COLOR="")
    assert "\x1b" not in seen(NO_COLOR="1")


def test_check_answers_at_once(tmp_path: Path) -> None:
    """A generous bound on the time of the processor, from the second run on; benchmarks/ measures the real one."""
    env = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    times = []
    for _ in range(4):
        start = os.times()
        assert program("check", TINY, env=env).returncode == 0
        end = os.times()
        times.append(end.children_user + end.children_system - start.children_user - start.children_system)
    assert min(times) < 1


# fmt ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def untidy(tmp_path: Path) -> Path:
    path = tmp_path / "untidy file.arch"
    path.write_text(
        TINY.read_text(encoding="utf-8").replace("  input = [3, 64, 64]", "     input=[3,64,  64]"), "utf-8"
    )
    path.chmod(0o640)
    return path


def test_fmt(run: Run, untidy: Path) -> None:
    status, out, _ = run("fmt", "--check", untidy)
    assert (status, out) == (1, f"would change: {untidy}\n")
    assert "input=[3" in untidy.read_text(encoding="utf-8")
    assert run("fmt", untidy)[:2] == (0, f"formatted: {untidy}\n")
    assert "  input = [3, 64, 64]\n" in untidy.read_text(encoding="utf-8")
    assert untidy.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in untidy.parent.iterdir()] == [untidy.name]
    assert run("fmt", untidy)[:2] == (0, f"unchanged: {untidy}\n")
    assert run("fmt", "--check", untidy)[0] == 0


def test_fmt_to_stdout(run: Run, untidy: Path) -> None:
    before = untidy.read_bytes()
    status, out, _ = run("fmt", "--stdout", untidy)
    assert status == 0
    assert out.startswith("hrdsl 1\n")
    assert untidy.read_bytes() == before


def test_fmt_goes_on_after_a_fault(run: Run, untidy: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.arch"
    bad.write_text("hrdsl 1\ncell a( {\n", encoding="utf-8")
    status, out, err = run("fmt", bad, untidy, "--json")
    data = json.loads(out)
    assert status == 1
    assert data["files"] == [{"path": str(untidy), "changed": True}]
    assert data["diagnostics"][0]["severity"] == "error"
    assert err.startswith("error[E1")
    assert bad.read_text(encoding="utf-8") == "hrdsl 1\ncell a( {\n"


def test_the_examples_are_formatted(run: Run) -> None:
    assert run("fmt", "--check", *sorted(ROOT.glob("examples/*.arch")))[0] == 0


def test_write_follows_links(tmp_path: Path) -> None:
    real = tmp_path / "real.arch"
    real.write_text("old", encoding="utf-8")
    link = tmp_path / "link.arch"
    link.symlink_to(real)
    write_text(link, "new")
    assert link.is_symlink()
    assert real.read_text(encoding="utf-8") == "new"


# explain -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topic", "kind", "words"),
    [
        ("E306", "error", "widths"),
        ("w601", "warning", "one possible value"),
        ("std.blocks.residual", "cell", "He et al. 2016"),
        ("separable", "cell", "Depthwise"),
        ("std.fusion", "module", "exchange"),
        ("conv", "operator", "dilation"),
        ("learned", "operator", "fields"),
        ("train", "block", "optimizer"),
        ("train.steps", "setting", "1500"),
        ("nsga2", "setting", "population"),
    ],
)
def test_explain(topic: str, kind: str, words: str, run: Run, as_json: Callable[..., dict[str, Any]]) -> None:
    status, out, _ = run("explain", topic)
    assert status == 0
    assert words in out
    assert all(line == line.rstrip() for line in out.splitlines())
    data = as_json("explain", topic)
    assert data["kind"] == kind
    assert data["text"] == out.removesuffix("\n")


def test_explain_a_name_of_several_cells(run: Run, as_json: Callable[..., dict[str, Any]]) -> None:
    found = as_json("explain", "residual")["answers"]
    assert [answer["name"] for answer in found] == ["std.blocks.residual", "std.hrvit.residual"]
    assert all(answer["kind"] == "cell" and answer["text"] in run("explain", "residual")[1] for answer in found)


def test_explain_error_text(run: Run, golden: Golden) -> None:
    golden(GOLDEN / "explain-E306.txt", run("explain", "E306")[1])


def test_explain_lists_all(run: Run) -> None:
    _, out, _ = run("explain")
    assert all(name in out for name in ("E101", "std.blocks", "depthwise", "strategy"))


def test_explain_did_you_mean(run: Run) -> None:
    assert "did you mean `residual`?" in run("explain", "residul")[2]
    assert "`seed`" not in run("explain", "seed")[2]


# count, sample, cost, compile, render ------------------------------------------------------------------------------


def test_count(run: Run, as_json: Callable[..., dict[str, Any]]) -> None:
    data = as_json("count", TINY)
    assert data["count"].isdigit()
    assert int(data["count"]) > 1
    assert data["exact"] in (True, False)
    assert f"{int(data['count']):,} architectures" in run("count", TINY)[1]


def test_sample(run: Run, as_json: Callable[..., dict[str, Any]]) -> None:
    data = as_json("sample", TINY, "-n", 5, "--seed", 3)
    assert len(data["architectures"]) == 5
    assert data == as_json("sample", TINY, "-n", 5, "--seed", 3)
    lines = run("sample", TINY, "-n", 5, "--seed", 3)[1].splitlines()
    assert len(lines) == 5
    for line, one in zip(lines, data["architectures"], strict=True):
        number, _, choices = line.partition(": ")
        assert number == one["index"]
        assert choices == ", ".join(f"{path} = {label}" for path, label in one["decisions"].items())
        same = run("compile", TINY, "--emit", "cost", "--arch", choices)
        assert same[0] == 0
        assert same == run("compile", TINY, "--emit", "cost", "--index", number)
        [again] = as_json("sample", TINY, "--index", number)["architectures"]
        assert again == one


def test_sample_files(as_json: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    data = as_json("sample", TINY, "-n", 12, "--emit", "arch", "--out", tmp_path / "new" / "found")
    paths = [Path(one["path"]) for one in data["architectures"]]
    assert [p.name for p in paths][:2] == ["tiny-01.arch", "tiny-02.arch"]
    for path in paths:
        assert as_json("count", path)["count"] == "1"


def test_cost(run: Run, as_json: Callable[..., dict[str, Any]]) -> None:
    data = as_json("cost", TINY, "--population", 200, "--seed", 1)
    for name in ("parameters", "macs", "peak_activation_bytes"):
        spread = list(data["population"][name].values())
        assert 0 < data["smallest"][name] <= data[name]
        assert spread == sorted(spread)
        assert all(isinstance(v, int) for v in spread)
    text = run("cost", TINY, "--population", 200)[1]
    assert f"{data['macs']:,}" in text
    assert "95 %" in text


def test_compile_summary(run: Run, as_json: Callable[..., dict[str, Any]]) -> None:
    data = as_json("compile", TINY)
    assert {"path", "count", "parameters", "macs", "peak_activation_bytes", "diagnostics"} <= set(data)
    assert data["nodes"] == len(compile_file(TINY).graph.nodes)
    text = run("compile", TINY)[1]
    assert f"space tiny: {data['nodes']} nodes" in text
    assert "coarse.width" in text


@pytest.mark.parametrize(
    ("emit", "part"),
    [("syntax", 'Block kind="space" name="tiny"'), ("model", "branch coarse at 1/4"), ("graph", "space tiny")],
)
def test_emit(emit: str, part: str, run: Run, as_json: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    status, out, _ = run("compile", TINY, "--emit", emit)
    assert status == 0
    assert part in out
    assert str(ROOT) not in out
    assert as_json("compile", TINY, "--emit", emit)["text"] == out
    assert as_json("compile", TINY, "--emit", emit, "--out", tmp_path / "x")["path"] == str(tmp_path / "x")
    assert (tmp_path / "x").read_text(encoding="utf-8") == out


def test_emit_model_text(run: Run, golden: Golden) -> None:
    golden(GOLDEN / "tiny.model", run("compile", TINY, "--emit", "model")[1])


@pytest.mark.parametrize(
    ("emit", "module", "part"),
    [
        ("cost", "compiler.cost", "macs"),
        ("dot", "compiler.draw", "digraph"),
        ("fx", "compiler.module", "def forward"),
        ("python", "compiler.source", "import torch"),
    ],
)
def test_emit_of_an_architecture(emit: str, module: str, part: str, run: Run) -> None:
    for choice in ((), ("--smallest",), ("--largest",), ("--arch", "coarse.width = 32")):
        status, out, _ = run("compile", TINY, "--emit", emit, *choice)
        assert status == 0
        assert part in out


@pytest.mark.parametrize("arch", ["coarse.width", "coarse.widht=24", "coarse.width=25"])
def test_arch_faults(arch: str, run: Run) -> None:
    status, _, err = run("compile", TINY, "--emit", "cost", "--arch", arch)
    assert status == USAGE
    assert err.startswith("hrdsl: --arch: ")


def test_render(run: Run, tmp_path: Path) -> None:
    from hrdsl.compiler import draw

    if not hasattr(draw, "draw"):
        pytest.skip("no draw yet")
    for choice in ((), ("--smallest",)):
        for name in ("a b.svg", "x.dot"):
            status, shown, _ = run("render", TINY, "-o", tmp_path / name, *choice)
            out = Path(shown.rstrip("\n"))
            assert (status, out.parent, out.stem) == (0, tmp_path, Path(name).stem)
            assert ("<svg" if out.suffix == ".svg" else "digraph") in out.read_text(encoding="utf-8")


# small parts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("macs", 0, "0"),
        ("macs", 999, "999"),
        ("macs", 12_345_678, "12.3 M"),
        ("macs", 999_999_999, "1000 M"),
        ("parameters", 1_234, "1.23 k"),
        ("peak_activation_bytes", 0, "0 B"),
        ("peak_activation_bytes", 786_432, "768 KiB"),
    ],
)
def test_short(name: str, value: int, text: str) -> None:
    assert short(name, value) == text


def test_table() -> None:
    assert table([["a", "1"], ["bcd", "22"]], {1}) == ["  a     1", "  bcd  22"]


def test_parts_of_an_architecture() -> None:
    assert _parts("a=1, b[0].c=f(x, y) ,") == ["a=1", "b[0].c=f(x, y)"]


def test_paint_keeps_the_text() -> None:
    text = "error[E1]: x\n --> a:1:1\n1 | abc -- d\n  | ^^ here\n  |     -- there"
    painted = paint(text)
    assert painted.count("\x1b[") == 6
    assert re.sub(r"\x1b\[[0-9;]*m", "", painted) == text


def test_a_front_tells_what_networks_cost() -> None:
    figures = {"miou": 0.5}, {"macs": 1_234_567, "parameters": 890, "peak_memory": 1}
    one = Network("net-01", (0,), *figures, {}, Path("net-01.arch"), Path("w"), Path("p"))
    head, row, *_ = lines((one,), Path("report.html"))
    assert head.split() == ["network", "miou", "macs", "parameters", "file"]
    assert row.split() == ["net-01", "0.5000", "1,234,567", "890", "net-01.arch"]
