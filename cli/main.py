"""The entry point: arguments in, exit status out; every exception ends here. Only the verb asked for is imported."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from ..dsl.diagnostic import ArchError, NoSuchName
from .common import Parser, UsageError, faults, print_json, print_line

VERBS = {
    "check": "find the faults of .arch files",
    "fmt": "bring .arch files to their one canonical form",
    "explain": "what a message, a word of the language, a cell or a setting means",
    "count": "how many architectures a space holds",
    "units": "what can be pruned, and what each unit costs",
    "sample": "draw architectures uniformly",
    "cost": "parameters, MACs and activation memory of a space",
    "latency": "how long networks take on this machine",
    "diff": "what changed between two spaces or two networks",
    "compile": "print any form between text and Python",
    "schema": "the JSON Schema of a document, or whether files follow it",
    "render": "draw a space or an architecture",
    "train": "train the supernet of a space",
    "search": "find the Pareto front of a space",
    "study": "what a study holds, and how far it can be trusted",
    "prune": "remove channels and tokens down to a share of the cost",
    "retrain": "train one architecture, from scratch or from weights",
    "export": "write a network as ONNX, safetensors or Python",
    "weights": "bring the weights of a released model into a network",
    "demo": "the whole way on a small space",
}
"""Every verb with its summary; verb `x` is declared and run by the module `x` of this folder."""
DONE, FAULTS, USAGE, INTERNAL, PREEMPTED, INTERRUPTED, UNREAD = 0, 1, 2, 70, 75, 130, 141
"""Exit statuses; docs/cli.md says what each means."""


class Preempted(BaseException):
    """SIGTERM: what is done is kept, the same command goes on."""


def entry() -> NoReturn:
    """The program: `main` with signals and streams set up."""
    import gc
    import signal

    signal.signal(signal.SIGTERM, _preempt)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    status = main()
    gc.freeze()  # the end looks for garbage in all that is left; there is nothing to gain
    sys.exit(status)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    args = Namespace(json="--json" in words)
    try:
        args = read(words)
        status: int = args.run(args)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else DONE
    except ArchError as error:
        faults(error.found)
        return _fail(args, FAULTS, "", error)
    except (UsageError, NoSuchName) as error:
        return _fail(args, USAGE, str(error))
    except BrokenPipeError:
        _hush()
        return UNREAD
    except OSError as error:
        if error.filename is None:
            _hush()
        where = f"{error.filename}: " if error.filename is not None else ""
        return _fail(args, USAGE, f"{where}{error.strerror or error}")
    except Preempted:
        return _fail(args, PREEMPTED, "preempted: the same command goes on from here")
    except KeyboardInterrupt:
        return _fail(args, INTERRUPTED, "interrupted")
    except Exception as error:
        return _internal(args, error)


def read(words: list[str]) -> Namespace:
    """The arguments of the verb asked for, with `run`, the function that serves it. Usage faults exit."""
    top = Parser(prog="hrdsl", text=overview())
    top.add_argument("--version", action="version", version=f"hrdsl {_version()}")
    verbs = top.add_subparsers(dest="verb")
    if not words:
        print_line(overview().rstrip())
        raise SystemExit(USAGE)
    verb = words[0]
    if verb not in VERBS:
        if verb in ("-h", "--help", "--version"):
            top.parse_args(words[:1])
        if verb.startswith("-"):
            raise UsageError("the command comes first: `hrdsl COMMAND [options]`; see `hrdsl --help`")
        raise UsageError(f"unknown command `{verb}`: {_near(verb)}; see `hrdsl --help`")
    module: Any = import_module(f".{verb}", __package__)
    module.declare(verbs)
    parser: Parser = verbs.choices[verb]
    parser.description = parser.description or f"{VERBS[verb][0].upper()}{VERBS[verb][1:]}."
    args = parser.parse_intermixed_args(words[1:], Namespace(verb=verb, run=module.run, json=False))
    return args


def overview() -> str:
    """What `hrdsl --help` prints."""
    width = max(map(len, VERBS)) + 2
    return "\n".join(
        [
            "usage: hrdsl COMMAND [options]",
            "",
            "Multi-branch architecture search: .arch files in, trained networks out.",
            "",
            "commands:",
            *(f"  {verb:<{width}}{summary}" for verb, summary in VERBS.items()),
            "",
            "`hrdsl COMMAND --help` lists the options of a command; every command has --json.",
            "exit: 0 done, 1 faults found, 2 usage, 75 preempted, 130 interrupted.",
            "",
        ]
    )


def _near(verb: str) -> str:
    from ..dsl.errors import near

    return near(verb, VERBS)


def _version() -> str:
    from .. import __version__

    return __version__


def _preempt(*_: object) -> NoReturn:
    raise Preempted


def _fail(args: Namespace, status: int, message: str, error: ArchError | None = None) -> int:
    """Say why, for people on stderr and with --json also as data on stdout."""
    if message:
        print_line(f"hrdsl: {message}", sys.stderr)
    if args.json and status != UNREAD:
        found = [d.as_json() for d in error.found] if error else []
        print_json({"diagnostics": found, **({"error": message} if message else {})})
    return status


def _internal(args: Namespace, error: Exception) -> int:
    import os

    if os.environ.get("HRDSL_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    words = " ".join(str(error).split())[:200]
    hint = "please report it, with the output under HRDSL_DEBUG=1"
    return _fail(args, INTERNAL, f"internal error: {type(error).__name__}: {words}; {hint}")


def _hush() -> None:
    """Nobody reads stdout any more: let the interpreter's last flush go nowhere."""
    import os

    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


if __name__ == "__main__":
    entry()
