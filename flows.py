"""The order of work: Prefect flows and tasks, and the command line. The only importer of prefect."""

import atexit
import os

# With Great Expectations loaded, the interpreter's very end makes DuckDB's binding print a page about types of its own
# that outlive it, which only alarms. Registered first, this runs after all other exit work.
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
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.schedules import Cron
from prefect.settings import PREFECT_API_URL, temporary_settings

from pipeline.ingest.contracts import ContractError
from pipeline.ingest.demo import write_demo
from pipeline.ingest.intake import secure_folders
from pipeline.ingest.sources import load_layouts
from pipeline.ledger import Ledger
from pipeline.night import STEPS, Night, NightFailed, take_step
from pipeline.reports.audience_files import write_audiences
from pipeline.settings import SettingsError, read_settings
from pipeline.tags.audiences import AUDIENCE_FOLDER, AudienceError, load_audiences
from pipeline.tags.catalogue import CATALOGUE_FOLDER, CatalogueError, load_catalogue
from pipeline.transform.company_rules import load_company_rules
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
    recovered = _finish_publication(settings, ledger)
    ledger.close_interrupted(str(started_at))
    shutil.rmtree(settings.vault / "scratch", ignore_errors=True)
    ledger.insert(
        "runs", run_id=run_id, as_of=str(day), status="running", started_at=str(started_at), ended_at=None, message=""
    )
    night = None
    try:
        night = Night(settings, day, run_id, started_at, full)
        if recovered == "completed":
            night.warn("completed an interrupted publication", "已补完上次中断的发布")
        for title, work in STEPS:
            run_step(night, title, work)
    except BaseException as error:
        ledger.finish_run(run_id, "failed", _now(), str(error))
        raise
    finally:
        if night:
            night.con.close()
        # before the scratch folder goes: what a committed night could not move yet lies in it
        _finish_publication(settings, ledger)
        shutil.rmtree(settings.vault / "scratch" / run_id, ignore_errors=True)
    ledger.finish_run(run_id, "done", _now(), "; ".join(night.warnings))
    summary = {
        "as_of": str(day),
        "run_id": run_id,
        "seconds": round(time.monotonic() - begun, 1),
        "lines": night.lines,
        "steps": night.steps,
        "warnings": night.warnings,
        "warehouse": str(settings.warehouse if newest_as_of(settings) == day else settings.snapshots / f"{day}.duckdb"),
        "exports": str(settings.data_dir / "exports" / str(day)),
        "report": str(settings.data_dir / "reports" / str(day) / "index.html"),
    }
    create_markdown_artifact(key=f"night-{day}", markdown=_markdown(summary), description=f"The night of {day}")
    return summary


def _finish_publication(settings, ledger):
    """Complete or undo what was interrupted, and put it on record. Says which, None if neither."""
    finished = finish_publication(settings.warehouse.parent / "publication.json")
    if finished is None:
        return None
    outcome, night = finished
    if outcome == "completed":
        ledger.publish_night(night["as_of"], night["run_id"])
        ledger.finish_run(night["run_id"], "done", _now(), "its publication was completed after an interruption")
    return outcome


def _now():
    return str(datetime.now(UTC).replace(tzinfo=None))


def _markdown(summary):
    steps = "\n".join(f"| {step['name']} | {step['rows']:,} | {step['seconds']} |" for step in summary["steps"])
    warnings = "\n".join(f"- {warning}" for warning in summary["warnings"]) or "- none"
    return f"| step | rows | seconds |\n|---|---:|---:|\n{steps}\n\nWarnings:\n{warnings}\n"


def print_summary(summary):
    """The last lines of a night: what to know and where to look."""
    read, landed, rejected, duplicates = summary["lines"]
    print(f"\nDone: as of {summary['as_of']} in {summary['seconds']} s")
    print(f"  {read:,} lines ever read: {landed:,} landed, {rejected:,} rejected, {duplicates:,} duplicates")
    for warning in summary["warnings"]:
        print(f"  ! {warning}")
    print(f"  warehouse  {summary['warehouse']}\n  exports    {summary['exports']}\n  report     {summary['report']}")


def run_demo(arguments):
    """Write a demo shop's exports into the inbox and run a night."""
    settings = read_settings(arguments.data_dir)
    as_of = arguments.as_of or datetime.now(ZoneInfo(settings.business_timezone)).date()
    secure_folders(settings)
    print(f"Demo shop: {arguments.customers:,} customers, seed {arguments.seed}, as of {as_of}", flush=True)
    truth = settings.data_dir / "demo_truth"
    truth.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = write_demo(
        settings.inbox,
        truth,
        arguments.customers,
        arguments.seed,
        as_of,
        progress=lambda done, total: print(f"    {done:,} of {total:,} customers written", flush=True),
    )
    print(f"  {sum(written['files'].values()):,} lines in {len(written['files'])} files")
    print_summary(nightly_flow(str(arguments.data_dir), str(as_of)))


def run_nightly(arguments):
    """Run one night."""
    _check_folder(arguments.data_dir)
    as_of = str(arguments.as_of) if arguments.as_of else None
    print_summary(nightly_flow(str(arguments.data_dir), as_of, arguments.full))


def run_backfill(arguments):
    """Run the nights of a range of dates, oldest first."""
    _check_folder(arguments.data_dir)
    if arguments.from_date > arguments.to_date:
        raise SettingsError(f"--from {arguments.from_date} is after --to {arguments.to_date}; exchange them")
    day = arguments.from_date
    while day <= arguments.to_date:
        print_summary(nightly_flow(str(arguments.data_dir), str(day)))
        day += timedelta(days=arguments.every)


def _check_folder(data_dir):
    """Everything the user wrote, read before Prefect takes its seconds to start."""
    if not data_dir.is_dir():
        raise SettingsError(f"--data-dir {data_dir}: there is no such folder; make it, with your exports in its inbox/")
    settings = read_settings(data_dir)
    load_layouts(settings.data_dir / "sources")
    load_catalogue(CATALOGUE_FOLDER, settings.data_dir / "tags")
    load_audiences(AUDIENCE_FOLDER, settings.data_dir / "audiences")
    load_company_rules(settings.data_dir / "identity")
    return settings


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
    """Serve nightly as a Prefect deployment on a schedule, in the business time zone."""
    settings = _check_folder(arguments.data_dir)
    schedule = Cron(arguments.cron, timezone=settings.business_timezone)
    with ExitStack() as stack:
        if not PREFECT_API_URL.value():
            # only a server of its own runs a schedule; the temporary one of a single flow run does not
            url = stack.enter_context(_prefect_server(arguments.port))
            stack.enter_context(temporary_settings({PREFECT_API_URL: f"{url}/api"}))
            print(f"Prefect's page: {url}", flush=True)
        nightly_flow.serve(
            name="customer-pipeline",
            schedule=schedule,
            parameters={"data_dir": str(Path(arguments.data_dir).resolve())},
            limit=1,
        )


@contextmanager
def _prefect_server(port):
    """A Prefect server on this machine alone, for as long as the schedule is served. Gives its address."""
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(120):
            with suppress(OSError), urllib.request.urlopen(f"{url}/api/health", timeout=5):
                break
            if server.poll() is not None:
                raise SettingsError(f"no Prefect server could be started on port {port}; choose another with --port")
            time.sleep(1)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=30)


def parse(arguments=None):
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="flows.py", description="Customer pipeline: exports in; warehouse, tags, exports and report out."
    )
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name, run):
        added = commands.add_parser(name, help=run.__doc__.strip().rstrip("."), description=run.__doc__)
        added.add_argument("--data-dir", type=Path, default=Path("data"), help="the data folder (default: data)")
        added.set_defaults(run=run)
        return added

    demo = command("demo", run_demo)
    demo.add_argument("--customers", type=_at_least_one, default=5000, help="how many (default: 5000)")
    demo.add_argument("--seed", type=int, default=20260101, help="the same seed, the same shop (default: 20260101)")
    demo.add_argument("--as-of", type=_date)
    nightly = command("nightly", run_nightly)
    nightly.add_argument("--as-of", type=_date, help="a date in the business time zone (default: today)")
    nightly.add_argument("--full", action="store_true", help="land every kept raw file again")
    backfill = command("backfill", run_backfill)
    backfill.add_argument("--from", dest="from_date", type=_date, required=True)
    backfill.add_argument("--to", dest="to_date", type=_date, required=True)
    backfill.add_argument("--every", type=_days, default=1, help="days between nights, such as 7d (default: 1d)")
    audience = command("audience", run_audience)
    audience.add_argument("names", nargs="*", metavar="NAME")
    serve = command("serve", run_serve)
    serve.add_argument("--cron", default="0 2 * * *", help="when, in the business time zone (default: 0 2 * * *)")
    serve.add_argument(
        "--port", type=int, default=4200, help="of Prefect's page, where no server is set (default: 4200)"
    )
    return parser.parse_args(arguments)


def _at_least_one(text):
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'"{text}" is no whole number of 1 or more')
    return int(text)


def _date(text):
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'"{text}" is no date; write for example 2026-11-01') from None


def _days(text):
    if not re.fullmatch(r"[1-9]\d*d?", text):
        raise argparse.ArgumentTypeError(f'"{text}" is no number of days; write for example 7d')
    return int(text.rstrip("d"))


def main(arguments=None) -> int:
    """Run a command. 0: done. 1: the night failed and yesterday still stands. 2: wrong usage or settings."""
    parsed = parse(arguments)
    try:
        parsed.run(parsed)
    except (SettingsError, ContractError, CatalogueError, AudienceError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (NightFailed, Busy, OSError, duckdb.Error, sqlite3.Error) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        print(f"failed, and what was published before still stands: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
