"""Every benchmark, one table: the target, what was measured, and whether it was met. The status is 1 if any was missed."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from timing import Target, table

SCRIPTS = (
    "switch",
    "step",
    "memory",
    "peers",
    "costs",
    "check",
    "parse",
    "compile",
    "routes",
    "systems",
    "evolve",
    "pruning",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    results = {}
    for name in SCRIPTS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        script = Path(__file__).with_name(f"{name}.py")
        done = subprocess.run([sys.executable, str(script), "--json"], stdout=subprocess.PIPE, text=True, check=True)
        results[name] = json.loads(done.stdout)
    targets = [t for r in results.values() for t in r["targets"]]
    if args.json:
        print(json.dumps(results, indent=2))
    else:
        rows = [Target(**{k: v for k, v in t.items() if k != "ok"}).row() for t in targets]
        print(table([["what", "target", "measured", ""], *rows]))
    return 0 if all(t["ok"] for t in targets) else 1


if __name__ == "__main__":
    sys.exit(main())
