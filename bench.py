"""make bench: a demo shop of any size; the floor (DuckDB reading the same files) and the night, measured in one run.

--landing: the night's first step alone, which reads, types, checks and lands the same files.
"""

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

from pipeline.ingest.demo import write_demo

AS_OF = date(2026, 11, 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=20260101)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    parser.add_argument("--landing", action="store_true", help="stop after landing")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=arguments.folder))
    try:
        result = measure(folder, arguments.customers, arguments.seed, "landing" if arguments.landing else "night")
    finally:
        shutil.rmtree(folder)
    target = Path("bench") / f"{'landing' if arguments.landing else 'bench'}-{arguments.customers}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for step in result["steps"]:
        print(f"  {step['name']:<24} {step['rows']:>14,} {step['seconds']:>9.1f} s")
    print(
        f"{result['customers']:,} customers, {result['megabytes']:,} MB: floor {result['floor_seconds']} s,"
        f" {result['measured']} {result['measured_seconds']} s, ratio {result['ratio']}"
        f" (of processor time {result['cpu_ratio']}), peak {result['peak_gib']} GiB -> {target}"
    )


def measure(folder, customers, seed, measured):
    """Floor and night (or landing) over the same files, in a process each: their processor times and peaks are their own."""
    inbox = folder / "data" / "inbox"
    begun = time.monotonic()
    write_demo(inbox, folder / "truth", customers, seed, AS_OF)
    generated = time.monotonic() - begun
    files = sorted(inbox.iterdir())
    megabytes = sum(path.stat().st_size for path in files) // 1_000_000
    floor, floor_cpu, _ = _timed(_FLOOR, folder / "floor.duckdb", *files)
    (folder / "floor.duckdb").unlink()
    seconds, cpu, output = _timed(_LANDING if measured == "landing" else _NIGHT, folder / "data", AS_OF)
    summary = json.loads(output.splitlines()[-1])
    return {
        "customers": customers,
        "megabytes": megabytes,
        "generate_seconds": round(generated, 1),
        "floor_seconds": round(floor, 1),
        "measured_seconds": round(seconds, 1),
        "measured": measured,
        "ratio": round(seconds / floor, 2),
        "cpu_ratio": round(cpu / floor_cpu, 2),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1 << 20), 2),
        "steps": summary["steps"],
    }


def _timed(program, *arguments):
    """(seconds, processor seconds, output) of a Python program in a process of its own."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-c", program, *map(str, arguments)]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (
        time.monotonic() - begun,
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        ended.stdout,
    )


_FLOOR = """
import sys, duckdb
with duckdb.connect(sys.argv[1]) as con:
    for number, path in enumerate(sys.argv[2:]):
        con.execute(f"create table floor_{number} as select * from read_csv(?, ignore_errors = true)", (path,))
"""

_NIGHT = """
import json, sys
import flows
print(json.dumps(flows.nightly_flow(sys.argv[1], sys.argv[2])))
"""

_LANDING = """
import json, sys, time
from datetime import date, datetime
from pipeline.ingest.intake import secure_folders
from pipeline.night import Night
from pipeline.settings import read_settings
from pipeline.steps.landing import ingest
settings = read_settings(sys.argv[1])
secure_folders(settings)
steps = []
def report(name, rows):
    steps.append({"name": name, "rows": rows, "seconds": round(time.monotonic() - begun - sum(step["seconds"] for step in steps), 1)})
begun = time.monotonic()
ingest(Night(settings, date.fromisoformat(sys.argv[2]), "bench", datetime(2026, 11, 1, 18), False), report)
print(json.dumps({"steps": steps}))
"""


if __name__ == "__main__":
    main()
