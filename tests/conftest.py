"""What all tests share: one thread each, reproducible examples, golden files."""

import os

# Before anything imports numpy or torch: tests run side by side, and sums must not depend on the number of threads.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import difflib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("hrdsl", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("hrdsl")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bless", action="store_true", help="rewrite the golden files with what is printed now")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """golden(path, text) fails unless the file holds the text, byte for byte; with --bless it writes the file."""
    bless: bool = request.config.getoption("--bless")

    def compare(path: Path, text: str) -> None:
        data = text.encode()
        if bless:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            return
        if not path.exists():
            pytest.fail(f"{path} does not exist: `pytest --bless` writes it", pytrace=False)
        wanted = path.read_bytes()
        if data == wanted:
            return
        lines = difflib.unified_diff(
            wanted.decode().splitlines(), text.splitlines(), path.name, "printed now", lineterm=""
        )
        diff = "\n".join(lines) or "the texts differ only in line ends"
        pytest.fail(f"{diff}\nif the new text is right: `pytest --bless`, then read the diff", pytrace=False)

    return compare
