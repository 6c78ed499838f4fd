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
import json
import re
import shutil
import sys
import time
import traceback
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import polars as pl
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from pipeline import ops
from pipeline.ingest.contracts import ContractError
from pipeline.ingest.demo import write_demo
from pipeline.ingest.intake import (
    OrderDataStopped,
    current_landings,
    inbox_files,
    land_again,
    observation_times,
    pseudonym_key,
    secure_folders,
    take_in,
)
from pipeline.ingest.sources import load_layouts
from pipeline.ingest.suites import check_entities
from pipeline.ledger import Ledger
from pipeline.meanings import comment_all
from pipeline.models.churn import run_churn
from pipeline.models.clv import run_clv
from pipeline.models.records import BACKTEST_SCHEMA, MODEL_RUN_SCHEMA
from pipeline.models.rfm import run_rfm
from pipeline.models.segments import run_segments
from pipeline.reports.audience_files import write_audiences
from pipeline.reports.exports import write_exports
from pipeline.reports.page import write_checks_page, write_page
from pipeline.settings import SettingsError, read_settings
from pipeline.tags.audiences import AUDIENCE_FOLDER, load_audiences
from pipeline.tags.build import build_tags
from pipeline.tags.catalogue import CATALOGUE_FOLDER, load_catalogue
from pipeline.transform.build import (
    build_contacts,
    build_core,
    build_facts,
    build_outcomes,
    model_facts,
    set_night,
)
from pipeline.transform.identity import resolve_customers
from pipeline.transform.staging import stage_entities
from pipeline.warehouse import (
    Busy,
    attach,
    connect,
    copy_schemas,
    finish_publication,
    frame,
    lock,
    newest_as_of,
    prune_snapshots,
    publish,
    state_before,
    value,
    write_frame,
)

PUBLISHED_STATE = ("marts", "scores", "tags", "ops")


class NightFailed(Exception):
    """The night stopped; yesterday still stands. The message says at which step, why, and the mend."""


class Night:
    """One run: its settings, paths and connection, and the steps it has taken so far."""

    def __init__(self, settings, as_of, run_id, started_at, full):
        self.settings, self.as_of, self.run_id, self.started_at, self.full = settings, as_of, run_id, started_at, full
        self.ledger = Ledger(settings.ledger)
        self.layouts = load_layouts(settings.data_dir / "sources")
        self.catalogue = load_catalogue(CATALOGUE_FOLDER, settings.data_dir / "tags")
        self.scratch = settings.vault / "scratch" / run_id
        self.scratch.mkdir(parents=True)
        self.con = connect(settings, self.scratch)
        self.landings, self.warnings, self.steps = [], [], []
        self.previous, self.is_previous_earlier = None, False

    def step(self, title, work):
        """Run one step as a Prefect task: its rows and seconds on screen, in the summary and on Prefect's page."""
        begun = time.monotonic()
        print(f"{title} ...", flush=True)

        def report(name, rows):
            print(f"    {name:<34} {rows:>12,}   {time.monotonic() - begun:6.1f} s", flush=True)

        @task(name=title, persist_result=False, cache_policy=NO_CACHE)
        def run():
            return _without_values(title, work, self, report)

        rows = run()
        seconds = time.monotonic() - begun
        self.steps.append({"name": title, "rows": rows, "seconds": round(seconds, 2)})
        print(f"  {title:<36} {rows:>12,}   {seconds:6.1f} s", flush=True)


def _without_values(title, work, night, report):
    """A step's error as one line that carries no cell of a file, since Prefect keeps what a task raises."""
    try:
        return work(night, report)
    except (OrderDataStopped, ops.LinesLost) as error:
        why = str(error)
    except duckdb.Error as error:
        why = f"{type(error).__name__}: " + re.sub(r"\"[^\"]*\"|'[^']*'", "…", str(error).splitlines()[0])
    except OSError as error:
        why = f"{error.strerror or type(error).__name__}; free the disk or mend its rights"
    except Exception as error:
        # a fault of ours: say where, but not the message, which may hold a cell of a file
        print("".join(traceback.format_tb(error.__traceback__)), file=sys.stderr)
        place = traceback.extract_tb(error.__traceback__)[-1]
        why = f"{type(error).__name__} in {Path(place.filename).name} line {place.lineno}"
    # raised outside the except blocks: the new error must not carry the old one, nor its frames
    raise NightFailed(f"{title}: {why}")


def ingest(night, report):
    """Land what the inbox brings, and again what a corrected mapping changed."""
    settings, ledger = night.settings, night.ledger
    ingest_con = connect(settings, night.scratch)
    ingest_con.execute("attach ? as scratch_file", (str(night.scratch / "ingest.duckdb"),))
    ingest_con.execute("use scratch_file")
    ingest_con.execute("set variable pseudonym_key = ?", (pseudonym_key(settings),))
    ingest_con.execute(
        "create temp macro keyed(v) as"
        " sha256(getvariable('pseudonym_key') || sha256(getvariable('pseudonym_key') || v))[:32]"
    )
    landed = 0
    with closing(ingest_con):
        earlier = ledger.rows("select * from contents order by observed_at, content_hash")
        outcomes = [
            land_again(ingest_con, content, settings, night.layouts, ledger, night.scratch, night.full)
            for content in earlier
        ]
        files = inbox_files(settings)
        for path, observed_at in zip(files, observation_times(night.started_at, len(files)), strict=True):
            outcome = take_in(
                ingest_con, path, settings, night.layouts, ledger, night.scratch, observed_at, night.run_id
            )
            outcomes.append(outcome)
            landed += sum(landing.landed for landing in outcome.landings)
            report(f"{outcome.file_name}: {outcome.status}", sum(landing.landed for landing in outcome.landings))
    for outcome in outcomes:
        if outcome.status in ("unknown", "unreadable", "changing", "failed"):
            night.warnings.append(f"{outcome.file_name}: {outcome.status}: {outcome.message}")
        ledger.insert(
            "files",
            run_id=night.run_id,
            file_id=outcome.file_id,
            file_name=outcome.file_name,
            layout=outcome.layout,
            source=outcome.source,
            status=outcome.status,
            message=outcome.message,
            size_bytes=outcome.size_bytes,
            line_count=outcome.line_count,
            observed_at=outcome.observed_at,
        )
    night.landings = current_landings(settings, night.layouts, ledger)
    if not any(landing["entity"] == "orders" for landing in night.landings):
        raise OrderDataStopped(
            f"no order data: the inbox {settings.inbox.name}/ has no file that a layout with orders recognises"
        )
    absent = ops.absent_entities(night.landings)
    if absent:
        night.warnings.append(f"no source delivers {', '.join(absent)}: what needs them is left out")
    return landed


def open_warehouse(night):
    """The scratch warehouse as the default database, the scratch vault beside it, and the night before to read."""
    settings, con = night.settings, night.con
    attach(con, night.scratch / "warehouse.duckdb", "warehouse", settings.storage_version)
    attach(con, night.scratch / "vault.duckdb", "vault", settings.storage_version)
    con.execute("use warehouse")
    con.execute("create schema ops")
    vault = settings.vault / "vault.duckdb"
    if vault.exists():
        attach(con, vault, "previous_vault")
        con.execute("create table vault.customer_map as select * from previous_vault.customer_map")
        con.execute("detach previous_vault")
    state = state_before(settings, night.as_of)
    if state:
        attach(con, state, "previous")
        night.previous = "previous"
        night.is_previous_earlier = value(con, "select max(as_of) from previous.ops.night") < night.as_of


def identity(night, report):
    """Which source records are one customer."""
    paths = {}
    for landing in night.landings:
        paths.setdefault(landing["entity"], []).append(night.settings.vault / landing["path"])
    open_warehouse(night)
    set_night(night.con, night.as_of, night.settings.business_timezone)
    stage_entities(night.con, paths)
    counts = resolve_customers(night.con, night.settings.max_customers_per_identifier)
    for name, count in counts.items():
        report(name.replace("_", " "), count)
    build_contacts(night.con)
    return counts["customers"]


def core(night, report):
    """Everything landed, as tables."""
    build_core(night.con, report)
    return value(night.con, "select count(*) from core.orders")


def facts(night, report):
    """What was known of each customer before as_of, and before each training cut-off."""
    horizon = timedelta(days=night.settings.churn_horizon_days)
    oldest = value(night.con, "select min(ordered_on) from core.orders where customer_id is not null")
    cut_offs = [night.as_of - horizon * back for back in (1, 2, 3, 4)]
    night.cut_offs = [day for day in cut_offs if oldest and day - horizon >= oldest]
    build_facts(
        night.con,
        night.as_of,
        night.settings.business_timezone,
        night.cut_offs,
        night.settings.training_customers,
        report,
    )
    horizons = [(day, night.settings.churn_horizon_days) for day in night.cut_offs]
    horizons += [(day, 2 * night.settings.churn_horizon_days) for day in night.cut_offs[1:2]]
    build_outcomes(night.con, horizons, night.settings.business_timezone)
    return value(night.con, "select count(*) from marts.customer_facts")


def checks(night, report):
    """The contracts as Great Expectations suites, over what landed."""
    delivered = sorted({landing["entity"] for landing in night.landings})
    before = None
    if night.is_previous_earlier:
        rows = night.con.execute(
            "select entity, sum(record_count) from previous.ops.reconciliation group by entity"
        ).fetchall()
        before = {entity: int(count) for entity, count in rows}
    results = check_entities(night.con, delivered, night.run_id, night.as_of, before)
    ops.append_history(night.con, "checks", results.select(*ops.CHECKS), night.as_of, None)
    failed = results.filter(~pl.col("success"))
    for row in failed.iter_rows(named=True):
        night.warnings.append(
            f"check failed: {row['entity']} {row['column_name'] or ''} {row['rule']}: {row['message']}"
        )
    return len(results)


def score(night, report):
    """RFM, segments, lifetime value and churn."""
    con, as_of, settings = night.con, night.as_of, night.settings
    con.execute("create schema if not exists scores")
    tonight = frame(con, model_facts("marts.customer_facts") + " order by customer_id")
    runs, backtests = [], [pl.DataFrame(schema=BACKTEST_SCHEMA)]

    def keep(table, result):
        scores, run, tested = result
        write_frame(con, f"scores.{table}", scores)
        runs.append(run)
        backtests.append(tested)
        report(f"scores.{table}: {run['status']}", len(scores))
        if run["status"] != "used":
            night.warnings.append(f"{run['model']}: {run['status']}: {run['message']}")

    keep("rfm", run_rfm(tonight, as_of))
    keep("segments", run_segments(tonight, as_of, _last_params(night, "segments"), settings.seed))
    keep("clv", run_clv(tonight, as_of, *_clv_backtest(night), seed=settings.seed))
    windows = _churn_windows(night)
    keep("churn", run_churn(tonight, as_of, *windows, settings.churn_horizon_days, settings.seed))
    ops.append_history(con, "model_runs", pl.DataFrame(runs, MODEL_RUN_SCHEMA), as_of, night.previous)
    ops.append_history(con, "backtests", pl.concat(backtests), as_of, night.previous)
    return value(con, "select count(*) from scores.rfm")


def _last_params(night, model):
    """The parameters of the model in use before tonight."""
    if not night.previous:
        return None
    rows = night.con.execute(
        "select params from previous.ops.model_runs where model = ? and status = 'used' and as_of < ?"
        " order by as_of desc limit 1",
        (model, night.as_of),
    ).fetchall()
    return json.loads(rows[0][0]) if rows else None


def _clv_backtest(night):
    """Facts at a cut-off two horizons ago, what came true since, and the days between."""
    if len(night.cut_offs) < 2:
        return None, None, None
    cut_off, days = night.cut_offs[1], 2 * night.settings.churn_horizon_days
    facts_then = frame(night.con, model_facts("training_facts", f"as_of = date '{cut_off}'") + " order by customer_id")
    outcomes = frame(
        night.con,
        "select customer_id, order_day_count, net_spend_amount from outcomes semi join training_facts"
        " using (customer_id, as_of)"
        f" where as_of = date '{cut_off}' and horizon_days = {days} order by customer_id",
    )
    return facts_then, outcomes, days


def _churn_windows(night):
    """Training, calibration and test facts with is_churned, at cut-offs whose label windows do not overlap."""
    days = night.settings.churn_horizon_days

    def labelled(cut_offs):
        listed = ", ".join(f"date '{day}'" for day in cut_offs) or "null"
        facts_then = model_facts("training_facts", f"as_of in ({listed}) and recency_days <= {days}")
        if not night.cut_offs:
            facts_then = model_facts("marts.customer_facts", "false")
        return frame(
            night.con,
            f"select facts.*, outcomes.customer_id is null as is_churned from ({facts_then}) as facts"
            f" left join outcomes on facts.customer_id = outcomes.customer_id and facts.as_of = outcomes.as_of"
            f" and outcomes.horizon_days = {days} order by facts.customer_id, facts.as_of",
        )

    return labelled(night.cut_offs[2:]), labelled(night.cut_offs[1:2]), labelled(night.cut_offs[0:1])


def tag(night, report):
    """Dated tags from facts and scores."""
    history = "previous.tags.tag_history" if night.previous else None
    counts = build_tags(night.con, night.catalogue, night.as_of, history)
    for name, count in counts.items():
        report(name, count)
    return counts["customer_tags"]


def record(night, report):
    """The ops tables: runs, files, reconciliation, rejects; and a meaning for every column."""
    ops.write_ops(night.con, night.ledger, night.settings, night.run_id, night.as_of, night.landings)
    comment_all(night.con)
    return value(night.con, "select count(*) from ops.rejects")


def write_out(night, report):
    """Exports and the page."""
    settings, con = night.settings, night.con
    rows = write_exports(con, night.scratch / "exports", settings.language, settings.workbook_max_customers)
    for name, count in rows.items():
        report(name, count)
    summary = {
        "run_id": night.run_id,
        "as_of": night.as_of,
        "currency": settings.reporting_currency,
        "seconds": round(time.monotonic() - night.begun, 1),
        "steps": night.steps,
        "warnings": night.warnings,
    }
    pages = night.scratch / "reports"
    pages.mkdir()
    write_page(
        con, pages / "index.html", settings.language, night.previous if night.is_previous_earlier else None, summary
    )
    write_checks_page(con, pages / "checks.html", settings.language, night.run_id)
    return sum(rows.values())


def publish_night(night, report):
    """One commit: the warehouse file; for a date before the newest, its snapshot."""
    settings, con, day = night.settings, night.con, str(night.as_of)
    newest = newest_as_of(settings)
    is_newest = newest is None or night.as_of >= newest
    snapshot = night.scratch / "snapshot.duckdb"
    copy_schemas(con, PUBLISHED_STATE, snapshot, settings.storage_version)
    con.execute("use memory")
    for database in ("previous",) * bool(night.previous):
        con.execute(f"detach {database}")
    for database in ("warehouse", "vault"):
        con.execute(f"checkpoint {database}")
        con.execute(f"detach {database}")
    con.close()
    vault = (night.scratch / "vault.duckdb", settings.vault / "vault.duckdb")
    kept = (snapshot, settings.snapshots / f"{day}.duckdb")
    folders = [
        (night.scratch / "exports", settings.data_dir / "exports" / day),
        (night.scratch / "reports", settings.data_dir / "reports" / day),
    ]
    journal = settings.warehouse.parent / "publication.json"
    if is_newest:
        publish(journal, [vault], (night.scratch / "warehouse.duckdb", settings.warehouse), [kept, *folders])
    else:
        publish(journal, [vault], kept, folders)
    night.ledger.publish_night(day, night.run_id)
    prune_snapshots(settings)
    return 1


STEPS = (
    ("Ingest", ingest),
    ("Identity", identity),
    ("Core", core),
    ("Facts", facts),
    ("Checks", checks),
    ("Scores", score),
    ("Tags", tag),
    ("Record", record),
    ("Exports and report", write_out),
    ("Publish", publish_night),
)


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
        night.begun = begun
        if recovered:
            night.warnings.append(recovered)
        for title, work in STEPS:
            night.step(title, work)
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
