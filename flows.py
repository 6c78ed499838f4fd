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
    # a busy machine may take longer than the 20 seconds that Prefect grants its temporary server
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
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
from pipeline.ingest.databases import all_layouts
from pipeline.ingest.demo import write_demo
from pipeline.ingest.inspect import inspect_file
from pipeline.ingest.intake import secure_folders
from pipeline.ingest.read import UnreadableFile
from pipeline.ingest.sources import load_layouts
from pipeline.ledger import Ledger
from pipeline.night import STEPS, Night, NightFailed, take_step
from pipeline.privacy.audit import audit
from pipeline.privacy.backup import BackupError, back_up, remove_stale_freeze
from pipeline.privacy.certificate import certificate_lines
from pipeline.privacy.forget import ErasureUnfinished, finish_erasures, forget
from pipeline.privacy.persons import UnknownPerson
from pipeline.privacy.restore import restore
from pipeline.privacy.retention import delete_old_raw
from pipeline.privacy.roles import load_roles
from pipeline.reports.audience_files import write_audiences
from pipeline.settings import Settings, SettingsError, read_settings
from pipeline.steps.training_nights import describe_training
from pipeline.tags.audiences import AUDIENCE_FOLDER, AudienceError, load_audiences
from pipeline.tags.catalogue import CATALOGUE_FOLDER, CatalogueError, load_catalogue
from pipeline.tags.rules import chinese_evidence
from pipeline.transform.company_rules import load_company_rules
from pipeline.transform.identity_rules import IdentityError, load_decisions, load_rules
from pipeline.transform.survivorship import SurvivorshipError, load_survivorship
from pipeline.warehouse import Busy, finish_publication, lock, newest_as_of, publication_lock


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
    day = date.fromisoformat(as_of) if as_of else _today(settings)
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
    remove_stale_freeze(settings)
    _forget_again(settings)
    ledger.insert(
        "runs", run_id=run_id, as_of=str(day), status="running", started_at=str(started_at), ended_at=None, message=""
    )
    night = None
    try:
        night = Night(settings, day, run_id, started_at, full)
        if recovered == "completed":
            night.warn("completed an interrupted publication", "已补完上次中断的发布")
        _warn_of_future(night)
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
    delete_old_raw(settings, ledger, started_at)
    ledger.finish_run(run_id, "done", _now(), "; ".join(night.warnings))
    summary = {
        "as_of": str(day),
        "run_id": run_id,
        "seconds": round(time.monotonic() - begun, 1),
        "lines": night.lines,
        "models": describe_training(night.training),
        "steps": night.steps,
        "warnings": night.warnings,
        "warehouse": str(settings.warehouse if newest_as_of(settings) == day else settings.snapshots / f"{day}.duckdb"),
        "exports": str(settings.data_dir / "exports" / str(day)),
        "report": str(settings.data_dir / "reports" / str(day) / "index.html"),
    }
    create_markdown_artifact(key=f"night-{day}", markdown=_markdown(summary), description=f"The night of {day}")
    return summary


def _today(settings):
    return datetime.now(ZoneInfo(settings.business_timezone)).date()


def _refuse_future(settings, day, option, is_allowed):
    """A mistyped year would be the newest night for years, and every real one only a snapshot beside it."""
    latest = _today(settings) + timedelta(days=1)
    if day > latest and not is_allowed:
        raise SettingsError(
            f"{option} {day}: later than tomorrow ({latest} in {settings.business_timezone}), and every night until then would"
            " only go to the snapshots; write an earlier date, or add --allow-future"
        )


def _warn_of_future(night):
    newest = newest_as_of(night.settings)
    if newest and night.as_of < newest and newest > _today(night.settings) + timedelta(days=1):
        files = f"warehouse/warehouse.duckdb, warehouse/snapshots/{newest}.duckdb"
        night.warn(
            f"the night of {newest}, a date to come, is published: this one goes to the snapshots only; if that date was a"
            f" mistake, delete {files} and run this night again",
            f"已发布未来日期 {newest} 的结果，因此本次结果只存入 snapshots；如该日期有误，请删除 {files.replace(', ', '、')} 后重新运行",
        )


def _finish_publication(settings, ledger):
    """Complete or undo what was interrupted, and put it on record. Says which, None if neither."""

    def record(night):
        ledger.publish_night(night["as_of"], night["run_id"])
        ledger.finish_run(night["run_id"], "done", _now(), "its publication was completed after an interruption")

    finished = finish_publication(settings.warehouse.parent / "publication.json", record)
    return finished[0] if finished else None


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
    print(f"  models {summary['models']}")
    for warning in summary["warnings"]:
        print(f"  ! {warning}")
    print(f"  warehouse  {summary['warehouse']}\n  exports    {summary['exports']}\n  report     {summary['report']}")


def run_demo(arguments):
    """Write a demo shop's exports into the inbox and run a night."""
    settings = read_settings(arguments.data_dir)
    as_of = arguments.as_of or _today(settings)
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
    settings = _check_folder(arguments.data_dir)
    if arguments.as_of:
        _refuse_future(settings, arguments.as_of, "--as-of", arguments.allow_future)
    as_of = str(arguments.as_of) if arguments.as_of else None
    print_summary(nightly_flow(str(arguments.data_dir), as_of, arguments.full))


def run_backfill(arguments):
    """Run the nights of a range of dates, oldest first."""
    settings = _check_folder(arguments.data_dir)
    if arguments.from_date > arguments.to_date:
        raise SettingsError(f"--from {arguments.from_date} is after --to {arguments.to_date}; exchange them")
    _refuse_future(settings, arguments.to_date, "--to", arguments.allow_future)
    day = arguments.from_date
    while day <= arguments.to_date:
        print_summary(nightly_flow(str(arguments.data_dir), str(day)))
        day += timedelta(days=arguments.every)


def _check_folder(data_dir):
    """Everything the user wrote, read before Prefect takes its seconds to start."""
    if not data_dir.is_dir():
        raise SettingsError(f"--data-dir {data_dir}: there is no such folder; make it, with your exports in its inbox/")
    settings = read_settings(data_dir)
    layouts = all_layouts(settings)
    load_survivorship(settings.identity, {layout.source for layout in layouts.values()})
    load_catalogue(CATALOGUE_FOLDER, settings.data_dir / "tags")
    load_audiences(AUDIENCE_FOLDER, settings.data_dir / "audiences")
    load_roles(settings)
    load_rules(settings.identity)
    load_decisions(settings.identity)
    load_company_rules(settings.identity)
    return settings


def run_inspect(arguments):
    """Say what an unknown export is, and propose a source YAML for it; lands nothing."""
    if not arguments.file.is_file():
        raise SettingsError(f"inspect: {arguments.file}: there is no such file; name an export")
    settings = read_settings(arguments.data_dir)
    layouts = load_layouts(settings.data_dir / "sources")
    now = datetime.now(UTC).replace(tzinfo=None)
    try:
        print("\n".join(inspect_file(arguments.file, settings, layouts, now)))
    except UnreadableFile as error:
        raise SettingsError(f"inspect: {arguments.file}: {error}") from None


def run_audience(arguments):
    """Count and write audiences from the published warehouse."""
    settings = read_settings(arguments.data_dir)
    as_of = newest_as_of(settings)
    if as_of is None:
        raise SettingsError(f"{settings.warehouse.name}: nothing is published yet; run python flows.py nightly first")
    audiences = load_audiences(AUDIENCE_FOLDER, settings.data_dir / "audiences")
    with (
        publication_lock(settings.warehouse.parent),
        duckdb.connect(str(settings.warehouse), read_only=True) as con,
    ):
        folder = settings.data_dir / "exports" / str(as_of) / "audiences"
        try:
            counts = write_audiences(
                con, audiences, folder, arguments.names or None, settings.language, _chinese_evidence(settings)
            )
        except ValueError as error:
            raise SettingsError(str(error)) from None
    ledger = Ledger(settings.ledger)
    for row in counts.iter_rows(named=True):
        audit(ledger, "audience written", f"exports/{as_of}/audiences/{row['file']}", row["written"], row["purpose"])
        print(
            f"{row['audience']:<28} {row['name_zh'] if settings.language == 'zh' else row['name']}:"
            f" {row['matched']:,} match, {row['excluded_by_consent']:,} without consent,"
            f" {row['excluded_unreachable']:,} out of reach, {row['excluded_by_limit']:,} over the contact limit,"
            f" {row['written']:,} written"
        )
    print(f"  {folder}")


def _chinese_evidence(settings):
    if settings.language != "zh":
        return None
    return chinese_evidence(load_catalogue(CATALOGUE_FOLDER, settings.data_dir / "tags"))


def run_backup(arguments):
    """Write everything but the inbox and the key into one archive, also while a night runs."""
    settings = read_settings(arguments.data_dir)
    folder = arguments.to.resolve().parent
    if not folder.is_dir():
        raise SettingsError(f"--to {arguments.to}: there is no folder {folder}; make it, or name another")
    if (settings.warehouse.parent / "publication.json").exists():
        # left by a crash, unless a night is publishing at this moment: that one holds the lock
        with suppress(Busy), lock(settings.warehouse.parent / "lock", {"backup": os.getpid()}):
            _finish_publication(settings, Ledger(settings.ledger))
    begun = time.monotonic()
    made = back_up(settings, arguments.to, _now(), _progress())
    audit(Ledger(settings.ledger), "backup", made["path"].name, made["files"])
    for name in made["missing"][:5]:
        print(f"  ! {name}: the ledger names it, but it is not there")
    if len(made["missing"]) > 5:
        print(f"  ! and {len(made['missing']) - 5:,} more")
    print(
        f"Backup as of {made['as_of']}: {made['files']:,} files, {made['bytes']:,} bytes in"
        f" {time.monotonic() - begun:.1f} s\n  {made['path']}\n"
        f"  It holds personal data, but not the key: keep {settings.pseudonym_key_file.name} elsewhere"
    )


def run_restore(arguments):
    """Make a data folder from a backup; with --replace in place of the present one, which is moved aside."""
    # not read_settings: the present settings may be what is broken
    settings = Settings(data_dir=arguments.data_dir.resolve())
    if not arguments.source.is_file():
        raise SettingsError(f"--from {arguments.source}: there is no such file; name an archive that backup wrote")
    begun = time.monotonic()
    done = restore(settings, arguments.source, arguments.replace, _now(), _progress())
    print(f"Restored as of {done['as_of']}: {done['files']:,} files in {time.monotonic() - begun:.1f} s")
    if done["aside"]:
        print(f"  what was there before stands in {done['aside']}; delete it when all is well")
    if not done["is_numbering_kept"]:
        print("  ! which ids were given since could not be carried over: the next nights may give them to others")
    if done["pending"]:
        _forget_again(read_settings(arguments.data_dir))
        print(f"  {done['pending']} erasures came after this backup: their people are forgotten again")


def _forget_again(settings):
    """Finish the erasures that are pending: begun and interrupted, or later than the backup that was restored."""
    now = datetime.now(UTC).replace(tzinfo=None)
    ledger = Ledger(settings.ledger)
    with publication_lock(settings.warehouse.parent):
        for certificate in finish_erasures(settings, ledger, now):
            audit(ledger, "forget", f"vault/certificates/{certificate['request_id']}.json", certificate["persons"])


def _progress():
    """A function that says every five seconds how far a backup or restore is."""
    last = time.monotonic()

    def report(done, total):
        nonlocal last
        if time.monotonic() - last >= 5:
            last = time.monotonic()
            print(f"    {done:,} of {total:,} bytes", flush=True)

    return report


def run_forget(arguments):
    """Erase persons everywhere, keep them out of later exports, and write a certificate of it."""
    settings = _check_folder(arguments.data_dir)
    if not (arguments.customer_id or arguments.email or arguments.phone):
        raise SettingsError("forget: say whom, by --customer-id, --email or --phone")
    now = datetime.now(UTC).replace(tzinfo=None)
    request_id = f"{now:%Y%m%dT%H%M%S}-{os.getpid()}"
    secure_folders(settings)
    holder = {"forget": request_id, "process": os.getpid(), "since": f"{now:%Y-%m-%d %H:%M:%S} UTC"}
    with lock(settings.warehouse.parent / "lock", holder):
        ledger = Ledger(settings.ledger)
        _finish_publication(settings, ledger)
        ledger.close_interrupted(str(now))
        shutil.rmtree(settings.vault / "scratch", ignore_errors=True)
        remove_stale_freeze(settings)
        blocked = load_rules(settings.identity)["blocked"]
        # before it: who finds nobody, or stops midway, has opened the vault too
        audit(ledger, "vault opened", "vault/vault.duckdb", purpose="forget")
        with publication_lock(settings.warehouse.parent):
            certificate, known = forget(
                settings, ledger, request_id, now, arguments.customer_id, arguments.email, arguments.phone, blocked
            )
        if certificate:
            audit(ledger, "forget", f"vault/certificates/{request_id}.json", certificate["persons"])
    for option in known:
        print(f"{option}: forgotten already, and kept out since")
    if certificate:
        print("\n".join(certificate_lines(certificate)))
        print(f"  certificate  {settings.vault / 'certificates' / request_id}.json")


def run_serve(arguments):
    """Serve nightly as a Prefect deployment on a schedule, in the business time zone."""
    settings = _check_folder(arguments.data_dir)
    try:
        schedule = Cron(arguments.cron, timezone=settings.business_timezone)
    except ValueError:
        raise SettingsError(
            f'--cron "{arguments.cron}": no schedule; write minute, hour, day, month and weekday, such as "0 2 * * *"'
        ) from None
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

    future = "take a date later than tomorrow; nights before it then only go to the snapshots"
    demo = command("demo", run_demo)
    demo.add_argument("--customers", type=_at_least_one, default=5000, help="how many (default: 5000)")
    demo.add_argument("--seed", type=int, default=20260101, help="the same seed, the same shop (default: 20260101)")
    demo.add_argument("--as-of", type=_date)
    nightly = command("nightly", run_nightly)
    nightly.add_argument("--as-of", type=_date, help="a date in the business time zone (default: today)")
    nightly.add_argument("--full", action="store_true", help="land every kept raw file again")
    nightly.add_argument("--allow-future", action="store_true", help=future)
    backfill = command("backfill", run_backfill)
    backfill.add_argument("--from", dest="from_date", type=_date, required=True)
    backfill.add_argument("--to", dest="to_date", type=_date, required=True)
    backfill.add_argument("--every", type=_days, default=1, help="days between nights, such as 7d (default: 1d)")
    backfill.add_argument("--allow-future", action="store_true", help=future)
    command("inspect", run_inspect).add_argument("file", type=Path, metavar="FILE", help="an export of any kind")
    audience = command("audience", run_audience)
    audience.add_argument("names", nargs="*", metavar="NAME")
    backup = command("backup", run_backup)
    backup.add_argument("--to", type=Path, required=True, help="a file, or a folder for a file named by the time")
    restored = command("restore", run_restore)
    restored.add_argument("--from", dest="source", type=Path, required=True, help="an archive that backup wrote")
    restored.add_argument("--replace", action="store_true", help="move the present data folder aside first")
    forgotten = command("forget", run_forget)
    for option, of in (
        ("--customer-id", "a customer id, also an old one"),
        ("--email", "an e-mail"),
        ("--phone", "a phone"),
    ):
        forgotten.add_argument(
            option, action="append", default=[], metavar="X", help=f"{of}; may be given several times"
        )
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
    except (
        SettingsError,
        ContractError,
        IdentityError,
        SurvivorshipError,
        CatalogueError,
        AudienceError,
        UnknownPerson,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ErasureUnfinished as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    except (NightFailed, Busy, BackupError, OSError, duckdb.Error, sqlite3.Error) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        print(f"failed, and what was published before still stands: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
