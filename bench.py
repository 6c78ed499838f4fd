"""make bench: a demo shop of any size; the floor (DuckDB reading the same files) and the night, measured in one run."""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import duckdb

from pipeline.ingest.demo import write_demo

AS_OF = date(2026, 11, 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=20260101)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=arguments.folder))
    try:
        result = measure(folder, arguments.customers, arguments.seed)
    finally:
        shutil.rmtree(folder)
    target = Path("bench") / f"bench-{arguments.customers}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for step in result["steps"]:
        print(f"  {step['name']:<24} {step['rows']:>14,} {step['seconds']:>9.1f} s")
    print(
        f"{result['customers']:,} customers, {result['megabytes']:,} MB: floor {result['floor_seconds']} s,"
        f" night {result['night_seconds']} s, ratio {result['ratio']}, peak {result['peak_gib']} GiB -> {target}"
    )


def measure(folder, customers, seed):
    """Floor and night over the same files. The night runs in a process of its own, so that its peak memory is its own."""
    inbox = folder / "data" / "inbox"
    begun = time.monotonic()
    write_demo(inbox, folder / "truth", customers, seed, AS_OF)
    generated = time.monotonic() - begun
    files = sorted(inbox.iterdir())
    megabytes = sum(path.stat().st_size for path in files) // 1_000_000
    begun = time.monotonic()
    with duckdb.connect(str(folder / "floor.duckdb")) as con:
        for number, path in enumerate(files):
            con.execute(f"create table floor_{number} as select * from read_csv(?, ignore_errors = true)", (str(path),))
    floor = time.monotonic() - begun
    (folder / "floor.duckdb").unlink()
    begun = time.monotonic()
    night = subprocess.run(
        [sys.executable, "-c", _NIGHT, str(folder / "data"), str(AS_OF)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    seconds = time.monotonic() - begun
    summary = json.loads(night.stdout.splitlines()[-1])
    return {
        "customers": customers,
        "megabytes": megabytes,
        "generate_seconds": round(generated, 1),
        "floor_seconds": round(floor, 1),
        "night_seconds": round(seconds, 1),
        "ratio": round(seconds / floor, 2),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1 << 20), 2),
        "steps": summary["steps"],
    }


_NIGHT = """
import json, sys
import flows
print(json.dumps(flows.nightly_flow(sys.argv[1], sys.argv[2])))
"""


if __name__ == "__main__":
    main()
