"""The order of work: Prefect flows and tasks, and the command line. The only importer of prefect."""

import atexit
import os

if __name__ == "__main__":
    # With Great Expectations loaded, the interpreter's very end makes DuckDB's binding print a page about types of its
    # own that outlive it, which only alarms. Registered first, this runs after all other exit work.
    atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))

for name, setting in {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}.items():
    os.environ.setdefault(name, setting)

import argparse
import re
import shutil
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from pipeline.ingest.contracts import ContractError
from pipeline.ingest.demo import write_demo
from pipeline.ingest.intake import secure_folders
from pipeline.ledger import Ledger
from pipeline.night import STEPS, Night, NightFailed, take_step
from pipeline.reports.audience_files import write_audiences
from pipeline.settings import SettingsError, read_settings
from pipeline.tags.audiences import AUDIENCE_FOLDER, load_audiences
from pipeline.warehouse import Busy, finish_publication, lock, newest_as_of


def run_step(night, title, work):
    """One step as a Prefect task: its rows and seconds on screen, in the summary and on Prefect's page."""
    begun = time.monotonic()
    print(f"{title} ...", flush=True)

    def report(name, rows):
        print(f"    {name:<34} {rows:>12,}   {time.monotonic() - begun:6.1f} s", flush=True)

    @task(name=title, persist_result=False, cache_policy=NO_CACHE)
    def run():
        return take_step(night, title, work, report)

    rows = run()
    seconds = time.monotonic() - begun
    night.steps.append({"name": title, "rows": rows, "seconds": round(seconds, 2)})
    print(f"  {title:<36} {rows:>12,}   {seconds:6.1f} s", flush=True)


@flow(name="nightly", persist_result=False)
def nightly_flow(data_dir: str, as_of: str | None = None, full: bool = False) -> dict:
    """One night: inbox -> published warehouse, exports and report. Raises NightFailed, and yesterday stands."""
    settings = read_settings(Path(data_dir))
    day = date.fromisoformat(as_of) if as_of else datetime.now(ZoneInfo(settings.business_timezone)).date()
    started_at = datetime.now(UTC).replace(tzinfo=None)
    run_id = f"{day}-{started_at:%Y%m%dT%H%M%S}-{os.getpid()}"
    secure_folders(settings)
    lock_file = settings.warehouse.parent / "lock"
    with lock(lock_file, {"run": run_id, "process": os.getpid(), "since": f"{started_at:%Y-%m-%d %H:%M:%S} UTC"}):
        return _night(settings, day, run_id, started_at, full)


def _night(settings, day, run_id, started_at, full):
    begun = time.monotonic()
    ledger = Ledger(settings.ledger)
    recovered = finish_publication(settings.warehouse.parent / "publication.json")
    ledger.close_interrupted(str(started_at))
    shutil.rmtree(settings.vault / "scratch", ignore_errors=True)
    ledger.insert(
        "runs", run_id=run_id, as_of=str(day), status="running", started_at=str(started_at), ended_at=None, message=""
    )
    scratch, night = settings.vault / "scratch" / run_id, None
    try:
        night = Night(settings, day, run_id, started_at, full)
        if recovered:
            night.warn(recovered, "已处理上次中断的发布")
        for title, work in STEPS:
            run_step(night, title, work)
    except BaseException as error:
        ledger.finish_run(run_id, "failed", str(datetime.now(UTC).replace(tzinfo=None)), str(error))
        raise
    finally:
        if night:
            night.con.close()
        shutil.rmtree(scratch, ignore_errors=True)
    ledger.finish_run(run_id, "done", str(datetime.now(UTC).replace(tzinfo=None)), "; ".join(night.warnings))
    summary = {
        "as_of": str(day),
        "run_id": run_id,
        "seconds": round(time.monotonic() - begun, 1),
        "steps": night.steps,
        "warnings": night.warnings,
        "warehouse": str(settings.warehouse if newest_as_of(settings) == day else settings.snapshots / f"{day}.duckdb"),
        "exports": str(settings.data_dir / "exports" / str(day)),
        "report": str(settings.data_dir / "reports" / str(day) / "index.html"),
    }
    create_markdown_artifact(key=f"night-{day}", markdown=_markdown(summary), description=f"The night of {day}")
    return summary


def _markdown(summary):
    steps = "\n".join(f"| {step['name']} | {step['rows']:,} | {step['seconds']} |" for step in summary["steps"])
    warnings = "\n".join(f"- {warning}" for warning in summary["warnings"]) or "- none"
    return f"| step | rows | seconds |\n|---|---:|---:|\n{steps}\n\nWarnings:\n{warnings}\n"


def print_summary(summary):
    """The last lines of a night: what to know and where to look."""
    print(f"\nDone: as of {summary['as_of']} in {summary['seconds']} s")
    for warning in summary["warnings"]:
        print(f"  ! {warning}")
    print(f"  warehouse  {summary['warehouse']}\n  exports    {summary['exports']}\n  report     {summary['report']}")


def run_demo(arguments):
    """Write a demo shop's exports into the inbox and run a night."""
    settings = read_settings(arguments.data_dir)
    as_of = arguments.as_of or datetime.now(ZoneInfo(settings.business_timezone)).date()
    secure_folders(settings)
    print(f"Demo shop: {arguments.customers:,} customers, seed {arguments.seed}, as of {as_of}", flush=True)
    written = write_demo(
        settings.inbox,
        settings.data_dir / "demo_truth",
        arguments.customers,
        arguments.seed,
        as_of,
        progress=lambda done, total: print(f"    {done:,} of {total:,} customers written", flush=True),
    )
    print(f"  {sum(written['files'].values()):,} lines in {len(written['files'])} files")
    print_summary(nightly_flow(str(arguments.data_dir), str(as_of)))


def run_nightly(arguments):
    """Run one night."""
    as_of = str(arguments.as_of) if arguments.as_of else None
    print_summary(nightly_flow(str(arguments.data_dir), as_of, arguments.full))


def run_backfill(arguments):
    """Run the nights of a range of dates, oldest first."""
    day = arguments.from_date
    while day <= arguments.to_date:
        print_summary(nightly_flow(str(arguments.data_dir), str(day)))
        day += timedelta(days=arguments.every)


def run_audience(arguments):
    """Count and write audiences from the published warehouse."""
    settings = read_settings(arguments.data_dir)
    as_of = newest_as_of(settings)
    if as_of is None:
        raise SettingsError(f"{settings.warehouse.name}: nothing is published yet; run python flows.py nightly first")
    audiences = load_audiences(AUDIENCE_FOLDER, settings.data_dir / "audiences")
    with duckdb.connect(str(settings.warehouse), read_only=True) as con:
        folder = settings.data_dir / "exports" / str(as_of) / "audiences"
        counts = write_audiences(con, audiences, folder, arguments.names or None, settings.language)
    for row in counts.iter_rows(named=True):
        print(
            f"{row['audience']:<28} {row['name_zh'] if settings.language == 'zh' else row['name']}:"
            f" {row['matched']:,} match, {row['excluded_by_consent']:,} without consent, {row['written']:,} written"
        )
    print(f"  {folder}")


def run_serve(arguments):
    """Serve nightly as a Prefect deployment on a schedule."""
    read_settings(arguments.data_dir)
    nightly_flow.serve(
        name="customer-pipeline",
        cron=arguments.cron,
        parameters={"data_dir": str(Path(arguments.data_dir).resolve())},
        limit=1,
    )


def parse(arguments=None):
    """The command line."""
    parser = argparse.ArgumentParser(prog="flows.py", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name, run):
        added = commands.add_parser(name, help=run.__doc__.strip().rstrip("."), description=run.__doc__)
        added.add_argument("--data-dir", type=Path, default=Path("data"), help="the data folder (default: data)")
        added.set_defaults(run=run)
        return added

    demo = command("demo", run_demo)
    demo.add_argument("--customers", type=_at_least_one, default=5000)
    demo.add_argument("--seed", type=int, default=20260101)
    demo.add_argument("--as-of", type=date.fromisoformat)
    nightly = command("nightly", run_nightly)
    nightly.add_argument("--as-of", type=date.fromisoformat, help="a date in the business time zone (default: today)")
    nightly.add_argument("--full", action="store_true", help="land every kept raw file again")
    backfill = command("backfill", run_backfill)
    backfill.add_argument("--from", dest="from_date", type=date.fromisoformat, required=True)
    backfill.add_argument("--to", dest="to_date", type=date.fromisoformat, required=True)
    backfill.add_argument("--every", type=_days, default=1, help="days between nights, such as 7d (default: 1d)")
    audience = command("audience", run_audience)
    audience.add_argument("names", nargs="*", metavar="NAME")
    serve = command("serve", run_serve)
    serve.add_argument("--cron", default="0 2 * * *")
    return parser.parse_args(arguments)


def _at_least_one(text):
    if int(text) < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return int(text)


def _days(text):
    if not re.fullmatch(r"[1-9]\d*d?", text):
        raise argparse.ArgumentTypeError(f'"{text}" is no number of days; write for example 7d')
    return int(text.rstrip("d"))


def main(arguments=None) -> int:
    """Run a command. 0: done. 1: the night failed and yesterday still stands. 2: wrong usage or settings."""
    parsed = parse(arguments)
    try:
        parsed.run(parsed)
    except (SettingsError, ContractError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (NightFailed, Busy, OSError) as error:
        print(f"failed, and what was published before still stands: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
