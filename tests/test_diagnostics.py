"""The catalogue of diagnostics, and the forms in which they are shown.

Every code has a function, a page with a wrong and a mended example, a row in SPEC.md and a golden message; the examples
are compiled. One run reports faults of several places, and none of them twice.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hrdsl.cli.annotations import github, sarif
from hrdsl.cli.check import check
from hrdsl.cli.codes import CODES, Code
from hrdsl.cli.main import main
from hrdsl.dsl import errors
from hrdsl.dsl.diagnostic import MOST, ArchError, Diagnostic, Label, Source, Span, render
from hrdsl.dsl.pieces import LENGTH

ROOT = Path(__file__).resolve().parent.parent
HERE = Path(__file__).parent / "golden" / "codes"
Golden = Callable[[Path, str], None]

SPACE = """hrdsl 1

use std.blocks
use std.fusion

%(items)s

space s(classes = 10) {
  input = [3, 32, 32]
  stem = blocks.conv_bn_relu(3, stride = 2, width = 8)
  branch fine at 1/2 { width = 16 }
  %(branch)s
  stage s1 on fine { cell = blocks.residual }
  stage s2 on fine, coarse {
    %(stage)s
    fuse = fusion.exchange
  }
  %(head)s
  %(space)s
}

search find for s {
  %(search)s
}
"""
PARTS = {
    "items": "",
    "branch": "branch coarse at 1/4 { width = 32 }",
    "stage": "cell = blocks.residual",
    "head": "head = fusion.concat_up -> conv(1, width = classes)",
    "space": "",
    "search": "maximize miou",
}
PACKAGE = {"E219"}
"""Codes of installed packages: tests/test_package.py has their cases."""


# the catalogue -----------------------------------------------------------------------------------------------------


def test_every_code_is_everywhere() -> None:
    used = re.findall(r'Diagnostic\(\s*"([EW]\d{3})"', Path(errors.__file__).read_text())
    rows = re.findall(r"^\| ([EW]\d{3}) \| (.*) \|$", (ROOT / "SPEC.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(set(used)) == sorted(CODES)
    assert rows == [(name, CODES[name].title) for name in sorted(CODES)]
    assert len(CODES) >= 60
    assert sorted(path.stem for path in HERE.glob("*.txt")) == sorted(set(CODES) - PACKAGE)


def framed(code: Code, text: str) -> str:
    """An example as a whole file."""
    if code.place == "file":
        return text
    if code.place == "items" and "space" in text:
        return f"hrdsl 1\n\n{text}"
    if code.place == "cell":
        body = f"cell c() {{\n{text}\n}}"
        return SPACE % {**PARTS, "items": body, "head": "head = fusion.concat_up -> c() -> conv(1, width = classes)"}
    return SPACE % {**PARTS, code.place: text}


def long(folder: Path, wrong: bool) -> None:
    (folder / "my_cells.arch").write_text("hrdsl 1\n")
    (folder / "example.arch").write_text("hrdsl 1\n" + ("#" * LENGTH if wrong else "\nuse my_cells\n"))


def circle(folder: Path, wrong: bool) -> None:
    for name in ("other", "common"):
        (folder / f"{name}.arch").write_text("hrdsl 1\n\nuse example\n" if wrong else "hrdsl 1\n")


def link(folder: Path, wrong: bool) -> None:
    (folder.parent / "shared.arch").write_text("hrdsl 1\n")
    (folder / "shared.arch").unlink(missing_ok=True)
    (folder / "shared.arch").symlink_to("../shared.arch") if wrong else (folder / "shared.arch").write_text("hrdsl 1\n")


AROUND: dict[str, Callable[[Path, bool], None]] = {"E113": long, "E207": circle, "E214": link}
"""What stands beside the example of a code."""


LATE: dict[str, Callable[[Span], Diagnostic]] = {
    "E503": lambda span: errors.nothing_to_search("s", span),
    "E508": lambda span: errors.nothing_to_prune("s", span, [("head.kernel", span, "its values are no counts", span)]),
    "E509": lambda span: errors.unreachable_cost("macs", 1e6, 2e6, span),
}
"""What only a run can say."""


def found(name: str, wrong: bool, folder: Path) -> list[Diagnostic]:
    """What `check` says of an example."""
    code, path = CODES[name], folder / "example.arch"
    path.write_text(framed(code, code.wrong if wrong else code.mended) + "\n", encoding="utf-8")
    if name in AROUND:
        AROUND[name](folder, wrong)
    if name in LATE:
        return [LATE[name](Span(Source(str(path), "space s"), 0, 7))] if wrong else []
    return check(path, None, {})[1]


@pytest.mark.parametrize("name", sorted(set(CODES) - PACKAGE))
def test_examples(name: str, tmp_path: Path, golden: Golden) -> None:
    folder = tmp_path / "examples"
    folder.mkdir()
    mended = found(name, False, folder)
    assert [d for d in mended if d.severity == "error" or d.code == name] == [], "\n".join(map(render, mended))
    wrong = found(name, True, folder)
    text = "\n\n".join(map(render, wrong)).replace(f"{folder}/", "") + "\n"
    assert name in [d.code for d in wrong], text
    assert all(d.code == name or d.severity == "warning" for d in wrong), text
    assert all(d.help for d in wrong), text
    golden(HERE / f"{name}.txt", text)


# several faults in one run -----------------------------------------------------------------------------------------


def faults(text: str, folder: Path) -> list[tuple[str, int]]:
    path = folder / "several.arch"
    path.write_text(text)
    return [(d.code, d.here.span.source.place(d.here.span.start)[0]) for d in check(path, None, {})[1]]


def test_syntax_faults_of_several_blocks(tmp_path: Path) -> None:
    text = "hrdsl 1\ncell a() {\n  out = x -> (relu\n}\ncell b() {\n  out = x\n}\ncell c() {\n  out == x\n}\nspace s {\n  return 3\n}\n"
    assert faults(text, tmp_path) == [("E104", 3), ("E103", 9), ("E114", 12)]


SEVERAL = """hrdsl 1

cell one(width) {
  out = x -> conv(kernle, width)
}

cell two(width) {
  out = x -> convolution(3, width) -> bn(epsilon = 1)
}

space s {
  input = [3, 32, 32]
  branch b at 1/1 { width = 8 }
  stage s1 on b { cell = one }
  stage s2 on b { cell = two }
  stage s3 on b { cell = thre }
  stage s4 on b {
    cell = conv(3)
    times in 3..1
  }
  stage s5 on b {
    cell = conv(3)
    times in 1..2 per stage
  }
  head = concat -> conv(1, width = clases)
  require s9.times == 1
}
"""


def test_faults_of_several_cells_and_stages(tmp_path: Path) -> None:
    lines = [
        ("E201", 4),
        ("E201", 8),
        ("E208", 8),
        ("E201", 16),
        ("E401", 19),
        ("E408", 23),
        ("E201", 25),
        ("E201", 26),
    ]
    assert faults(SEVERAL, tmp_path) == lines


def test_no_fault_follows_from_another(tmp_path: Path) -> None:
    mended = (
        SEVERAL.replace("kernle", "3")
        .replace("convolution", "conv")
        .replace("epsilon = 1", "")
        .replace("thre ", "two ")
    )
    mended = mended.replace("3..1", "1..3").replace(" per stage", "").replace("clases", "4").replace("s9", "s5")
    assert faults(mended, tmp_path) == []
    narrow = mended.replace("cell = two }", "cell = conv(3, stride = 2) }", 1)
    assert faults(narrow, tmp_path) == [("E311", 15)]


def test_reports_are_bounded(tmp_path: Path) -> None:
    lines = "\n".join(f"  require name_{k} > 1" for k in range(200))
    assert len(faults(f"hrdsl 1\nspace s {{\n  input = [3, 32, 32]\n  head = relu\n{lines}\n}}\n", tmp_path)) == MOST


def test_unused_parts_are_named(tmp_path: Path) -> None:
    text = """hrdsl 1

use std.blocks

cell used(width, spare = 3) {
  idle = x -> relu
  kernel in {3, 5}
  out = x -> conv(width = width)
}

cell idle() { out = x }

space s {
  input = [3, 32, 32]
  branch b at 1/1 { widht = 8 }
  branch c at 1/2 { width = 8 }
  stage s1 on b { cell = used(width = 8) }
  stage s2 on b, c { cell = used(width = 8) }
  head = first
}

cell first() { out = x[0] }
"""
    assert faults(text, tmp_path) == [
        ("W605", 3), ("W605", 5), ("W605", 6), ("W605", 11), ("W606", 15), ("W604", 16),
    ]  # fmt: skip


# forms -------------------------------------------------------------------------------------------------------------


def broken(folder: Path) -> Path:
    path = folder / "several.arch"
    path.write_text(SEVERAL)
    return path


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(broken(tmp_path)), "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    first = data["diagnostics"][0]
    assert set(first) == {
        *("code", "severity", "title", "file", "line", "column", "end_line", "end_column", "text", "labels", "help"),
    }
    assert (first["line"], first["column"], first["end_column"]) == (4, 19, 25)
    assert data["files"][0]["ok"] is False


def test_json_shows_related_places(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "twice.arch"
    path.write_text("hrdsl 1\ncell a() { out = x }\ncell a() { out = x }\n")
    assert main(["check", str(path), "--format", "json"]) == 1
    [label] = json.loads(capsys.readouterr().out)["diagnostics"][0]["labels"]
    assert (label["line"], label["column"], label["text"]) == (2, 1, "first declared here")


def test_sarif(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The parts that SARIF 2.1.0 (OASIS, sections 3.13 to 3.52) demands, and their types."""
    path = broken(tmp_path)
    assert main(["check", str(path), "--format", "sarif"]) == 1
    log = json.loads(capsys.readouterr().out)
    assert log["version"] == "2.1.0" and log["$schema"].endswith("sarif-2.1.0.json")
    [run] = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "hrdsl" and isinstance(driver["version"], str)
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(ids) == len(set(ids)) and all(rule["shortDescription"]["text"] for rule in driver["rules"])
    assert run["columnKind"] == "unicodeCodePoints"
    assert len(run["results"]) == 8
    for result in run["results"]:
        assert result["ruleId"] == ids[result["ruleIndex"]]
        assert result["level"] in ("none", "note", "warning", "error")
        assert isinstance(result["message"]["text"], str)
        for location in (*result["locations"], *result.get("relatedLocations", ())):
            physical = location["physicalLocation"]
            assert physical["artifactLocation"]["uri"] == path.as_uri()
            region(physical["region"])


def region(found: dict[str, Any]) -> None:
    assert all(isinstance(found[key], int) and found[key] >= 1 for key in found)
    assert (found["startLine"], found["startColumn"]) <= (found["endLine"], found["endColumn"])


def test_sarif_of_nothing(tmp_path: Path) -> None:
    [run] = json.loads(sarif([]))["runs"]
    assert run["results"] == [] and run["tool"]["driver"]["rules"] == []
    odd = Source("a b/c%.arch", "x")
    log = json.loads(sarif([errors.unknown_name("x", "name", Span(odd, 0, 1), ())]))
    location = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"] == "a%20b/c%25.arch"


def test_github(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = broken(tmp_path)
    assert main(["check", str(path), "--format", "github"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8
    assert lines[0].startswith(f"::error file={path},line=4,col=19,endLine=4,endColumn=24,title=E201%3A unknown name ")
    shape = re.compile(r"::(error|warning) ([a-zA-Z]+=[^,:\n\r]*)(,[a-zA-Z]+=[^,:\n\r]*)*::[^\n\r]*")
    assert all(shape.fullmatch(line) for line in lines)


def test_github_escapes() -> None:
    source = Source("a,b:c%.arch", "one\ntwo\n")
    label = Label(Span(source, 1, 6), "50%\nmore")
    line = github([Diagnostic("E201", "a: b, c", label, help="say `::`")])
    want = "::error file=a%2Cb%3Ac%25.arch,line=1,col=2,endLine=2,title=E201%3A a%3A b%2C c::50%25%0Amore%0Asay `::`"
    assert line == want


def test_formats_exclude_each_other(tmp_path: Path) -> None:
    assert main(["check", str(broken(tmp_path)), "--json", "--format", "sarif"]) == 2


def test_hidden_characters_are_spelt_out() -> None:
    source = Source("a\x1b[31m.arch", "x = \u202e1\x00 + y\n")
    text = render(errors.unknown_name("y\x07", "name", Span(source, 10, 11), ["\u2066z"]))
    assert text.splitlines() == [
        "error[E201]: unknown name `y<U+0007>`",
        " --> a<U+001B>[31m.arch:1:11",
        "1 | x = <U+202E>1<U+0000> + y",
        f"  | {' ' * 24}^ not declared",
        "  = help: known here: `<U+2066>z`",
    ]
    marked = render(errors.not_text(Span(source, 4, 5), "hidden")).splitlines()
    assert marked[3] == "  |     ^^^^^^^^ hidden"


def test_long_lines_are_shown_in_part() -> None:
    source = Source("a.arch", "a" * 50_000 + "b" + "c" * 50_000)
    lines = render(errors.unknown_name("b", "name", Span(source, 50_000, 50_001), ())).splitlines()
    assert all(len(line) < 200 for line in lines)
    assert lines[2][lines[3].index("^")] == "b"


def test_an_error_holds_its_faults_in_order() -> None:
    source = Source("a.arch", "abc")
    faults = [errors.unknown_name(c, "name", Span(source, k, k + 1), ()) for k, c in enumerate("abc")]
    assert ArchError(*reversed(faults)).found == tuple(faults)
    assert str(ArchError(faults[0])) == render(faults[0])
