"""The steps of one night as plain functions, in order: each takes the night and a report(name, rows), and returns its rows."""

import json
import re
import sys
import traceback
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import duckdb
import polars as pl

from pipeline import ops
from pipeline.ingest.contracts import load_contracts
from pipeline.ingest.intake import (
    OrderDataStopped,
    current_landings,
    define_keyed,
    inbox_files,
    land_again,
    observation_times,
    pseudonym_key,
    take_in,
)
from pipeline.ingest.sources import load_layouts
from pipeline.ingest.suites import check_entities
from pipeline.ingest.suppressions import is_suppressing, load_suppressions
from pipeline.ledger import Ledger
from pipeline.meanings import comment_all
from pipeline.models.churn import run_churn
from pipeline.models.clv import run_clv
from pipeline.models.records import BACKTEST_SCHEMA, MODEL_RUN_SCHEMA
from pipeline.models.rfm import run_rfm
from pipeline.models.segments import run_segments
from pipeline.privacy.audit import audit
from pipeline.privacy.forget import clean_vault, keep_derived
from pipeline.privacy.role_files import RoleError, write_role
from pipeline.privacy.roles import load_roles, role_files, role_path
from pipeline.reports.audience_files import write_audiences
from pipeline.reports.exports import write_exports
from pipeline.reports.page import write_checks_page, write_page
from pipeline.settings import contact_limits
from pipeline.tags.audiences import AUDIENCE_FOLDER, AudienceError, load_audiences
from pipeline.tags.build import build_tags
from pipeline.tags.catalogue import CATALOGUE_FOLDER, CatalogueError, load_catalogue
from pipeline.transform.build import (
    build_company_facts,
    build_contacts,
    build_core,
    build_facts,
    build_golden,
    build_outcomes,
    model_facts,
    set_night,
    start_of_day_utc,
)
from pipeline.transform.companies import resolve_companies
from pipeline.transform.company_ids import carry_companies
from pipeline.transform.company_rules import load_company_rules
from pipeline.transform.contactability import build_contactability
from pipeline.transform.identity import resolve_customers
from pipeline.transform.identity_rules import IdentityError, load_decisions, load_rules
from pipeline.transform.lasting_ids import STATE
from pipeline.transform.matching import MatchingError
from pipeline.transform.references import collect_references
from pipeline.transform.staging import read_landed, stage_entities
from pipeline.transform.survivorship import load_survivorship
from pipeline.warehouse import (
    attach,
    connect,
    copy_schemas,
    frame,
    has_table,
    newest_as_of,
    prune_snapshots,
    publication_lock,
    publish,
    state_before,
    value,
    write_frame,
)

STATUS_ZH = {
    "outdated": "沿用此前的入库结果",
    "unknown": "无法识别",
    "unreadable": "无法读取",
    "changing": "读取时发生变化",
    "failed": "未入库",
}
MODEL_STATUS_ZH = {"held": "暂不使用", "not enough data": "数据不足"}
PUBLISHED_STATE = ("marts", "scores", "tags", "ops")


class NightFailed(Exception):
    """The night stopped; yesterday still stands. The message says at which step, why, and the mend."""


class Night:
    """One run: its settings, paths and connection, and the steps it has taken so far."""

    def __init__(self, settings, as_of, run_id, started_at, full):
        self.settings, self.as_of, self.run_id, self.started_at, self.full = settings, as_of, run_id, started_at, full
        self.ledger = Ledger(settings.ledger)
        self.layouts = load_layouts(settings.data_dir / "sources")
        sources = {layout.source for layout in self.layouts.values()}
        self.survivorship = load_survivorship(settings.data_dir / "identity", sources)
        self.catalogue = load_catalogue(CATALOGUE_FOLDER, settings.data_dir / "tags")
        self.audiences = load_audiences(AUDIENCE_FOLDER, settings.data_dir / "audiences")
        self.identity_rules = load_rules(settings.identity)
        self.identity_decisions = load_decisions(settings.identity)
        self.roles, self.role_moves = load_roles(settings), []
        self.company_rules = load_company_rules(settings.data_dir / "identity")
        self.scratch = settings.vault / "scratch" / run_id
        self.scratch.mkdir(parents=True)
        self.con = connect(settings, self.scratch)
        self.landings, self.warnings, self.steps = [], [], []
        self.previous, self.is_previous_earlier, self.lines = None, False, None

    def warn(self, en, zh):
        """Something that whoever reads the summary or the page should know."""
        self.warnings.append(zh if self.settings.language == "zh" else en)

    def audit(self, what, object_name, row_count, purpose):
        """What this run does with personal data, on record."""
        audit(self.ledger, what, object_name, row_count, purpose, self.run_id)


def take_step(night, title, work, report):
    """One step's row count; its error as one line that carries no cell of a file, since Prefect keeps what is raised."""
    try:
        return work(night, report)
    except (OrderDataStopped, ops.LinesLost, CatalogueError, AudienceError, IdentityError, MatchingError) as error:
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
    define_keyed(ingest_con, settings)
    load_suppressions(ingest_con, ledger)
    landed = 0
    with closing(ingest_con):
        earlier = ledger.rows("select * from contents order by observed_at, content_hash")
        outcomes = [
            land_again(ingest_con, content, settings, night.layouts, ledger, night.scratch, night.full)
            for content in earlier
        ]
        for outcome in outcomes:
            if outcome.status in ("unknown", "unreadable", "failed") and ledger.has_orders(outcome.file_id):
                raise OrderDataStopped(
                    f"{outcome.file_name} (kept in the vault): {outcome.status}: {outcome.message};"
                    " mend its layout in data/sources"
                )
        files = inbox_files(settings)
        for path, observed_at in zip(files, observation_times(night.started_at, len(files)), strict=True):
            outcome = take_in(
                ingest_con, path, settings, night.layouts, ledger, night.scratch, observed_at, night.run_id
            )
            outcomes.append(outcome)
            landed += sum(landing.landed for landing in outcome.landings)
            report(f"{outcome.file_name}: {outcome.status}", sum(landing.landed for landing in outcome.landings))
            _warn_of_unknown_words(night, outcome)
        if is_suppressing(ingest_con) and keep_derived(ingest_con, ledger, night.run_id, night.as_of):
            # files that landed before the one that showed whose they are
            clean_vault(ingest_con, settings, ledger, night.layouts, night.scratch, night.run_id, night.as_of)
    _warn_of_outdated(night, outcomes)
    for outcome in outcomes:
        if outcome.status in STATUS_ZH:
            night.warn(
                f"{outcome.file_name}: {outcome.status}: {outcome.message}",
                f"{outcome.file_name}：{STATUS_ZH[outcome.status]}：{outcome.message}",
            )
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
        night.warn(
            f"no source delivers {', '.join(absent)}: what needs them is left out",
            f"没有来源提供{'、'.join(load_contracts()[entity].meaning['zh'] for entity in absent)}：依赖它们的内容已省略",
        )
    return landed


def _warn_of_outdated(night, outcomes):
    """One warning a reason: where raw files are kept for some days only, many files stand as they landed."""
    for message in sorted({outcome.message for outcome in outcomes if outcome.status == "outdated"}):
        names = [
            outcome.file_name for outcome in outcomes if (outcome.status, outcome.message) == ("outdated", message)
        ]
        listed = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        night.warn(f"{listed}: {message}", f"{listed}：沿用此前的入库结果：{message}")


def _warn_of_unknown_words(night, outcome):
    """A word that no value map knows was emptied: said aloud, since nobody would miss it."""
    for landing in outcome.landings:
        words = landing.rejects.filter(pl.col("rule") == "unknown_value") if landing.rejects is not None else []
        if len(words):
            columns = ", ".join(words["column_name"].unique().sort())
            night.warn(
                f"{outcome.file_name}: {len(words)} unknown words in {columns}; add them to the layout's value map",
                f"{outcome.file_name}：{columns} 中有 {len(words)} 个无法识别的取值，请补充到来源映射中",
            )


def open_warehouse(night):
    """The scratch warehouse as the default database, the scratch vault beside it, and the night before to read."""
    settings, con = night.settings, night.con
    # tables here have no order of their own, and keeping one takes memory
    con.execute("set preserve_insertion_order = false")
    # our joins name the large side first. DuckDB thinks that a filter on a union leaves a handful of rows, and would
    # build the hash table on 10M orders: out of memory at 4 GiB, where the order as written takes seconds
    con.execute("set disabled_optimizers = 'build_side_probe_side'")
    attach(con, night.scratch / "warehouse.duckdb", "warehouse", settings.storage_version)
    attach(con, night.scratch / "vault.duckdb", "vault", settings.storage_version)
    # what only this night needs goes to a file too: temporary tables would fill the memory
    attach(con, night.scratch / "work.duckdb", "work", settings.storage_version)
    con.execute("set search_path = 'warehouse.main,work.main'")
    con.execute("create schema ops")
    vault = settings.vault / "vault.duckdb"
    if vault.exists():
        attach(con, vault, "previous_vault")
        for table in STATE:
            if has_table(con, "previous_vault", "main", table):
                con.execute(f"create table vault.{table} as select * from previous_vault.{table}")
        carry_companies(con, "previous_vault")
        con.execute("detach previous_vault")
    kept = value(con, "select count(*) from vault.customer_map") if vault.exists() else 0
    night.audit("vault opened", "vault/vault.duckdb", kept, "identity")
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
    settings, con, rules = night.settings, night.con, night.identity_rules
    set_night(con, night.as_of, settings.business_timezone, settings.consent_when_silent, contact_limits(settings))
    define_keyed(con, settings)
    read_landed(con, paths)
    as_of_utc = start_of_day_utc(night.as_of, settings.business_timezone)
    limit, newest = settings.max_customers_per_identifier, newest_as_of(settings)
    report("blocked identifiers", collect_references(con, load_contracts(), rules, limit, as_of_utc))
    stage_entities(con)
    is_newest = newest is None or night.as_of >= newest
    counts = resolve_customers(
        con,
        rules,
        night.identity_decisions,
        limit,
        as_of_utc,
        is_newest,
        (night.as_of, night.run_id),
        settings.seed,
    )
    counts |= resolve_companies(con, night.company_rules, is_newest)
    for name, count in counts.items():
        report(name.replace("_", " "), count)
    build_golden(con, night.survivorship)
    build_contacts(con)
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
    build_contactability(night.con, report)
    build_company_facts(night.con, report)
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
        where = f"{row['entity']} {row['column_name'] or ''} {row['rule']}: {row['message']}"
        night.warn(f"check failed: {where}", f"检查未通过：{where}")
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
            night.warn(
                f"{run['model']}: {run['status']}: {run['message']}",
                f"模型 {run['model']}：{MODEL_STATUS_ZH.get(run['status'], run['status'])}：{run['message']}",
            )

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
    of_companies = "previous.tags.company_tag_history"
    # a night of an earlier version of this pipeline knew no companies
    if not (night.previous and has_table(night.con, "previous", "tags", "company_tag_history")):
        of_companies = None
    counts = build_tags(night.con, night.catalogue, night.as_of, history, report, of_companies)
    for name, count in counts.items():
        report(name, count)
    return counts["customer_tags"]


def record(night, report):
    """The ops tables: runs, files, reconciliation, rejects; and a meaning for every column."""
    warnings = "; ".join(night.warnings)
    ops.write_ops(night.con, night.ledger, night.settings, night.run_id, night.as_of, night.landings, warnings)
    night.lines = night.con.execute(
        "select sum(lines_read), sum(landed), sum(rejected), sum(duplicates) from ops.reconciliation"
    ).fetchall()[0]
    comment_all(night.con)
    return value(night.con, "select count(*) from ops.rejects")


def write_roles(night, report):
    """A file for each role of the settings. A role that cannot be written fails no night, but keeps no older file either."""
    settings, written = night.settings, 0
    if not _is_newest(night):
        return 0
    for role in night.roles:
        target = role_path(settings, role)
        source = night.scratch / "roles" / target.name
        try:
            rows, remarks = write_role(night.con, role, source, settings.storage_version, pseudonym_key(settings))
        except RoleError as error:
            night.warn(f"{error}; its file is taken away", f"{error}；该角色文件已移除")
            continue
        for remark in remarks:
            night.warn(*remark)
        night.audit("role file written", str(target.relative_to(settings.data_dir)), rows, role.purpose)
        night.role_moves.append((source, target))
        report(f"{role.name}: {role.purpose}, {role.identifiers}", rows)
        written += 1
    # at once, not with the publication: such a file shows more than the settings now allow
    with publication_lock(settings.warehouse.parent):
        for path in set(role_files(settings)) - {target for _, target in night.role_moves}:
            path.unlink()
    return written


def _is_newest(night):
    newest = newest_as_of(night.settings)
    return newest is None or night.as_of >= newest


def write_out(night, report):
    """Exports and the page."""
    settings, con = night.settings, night.con
    rows = write_exports(con, night.scratch / "exports", settings.language, settings.workbook_max_customers)
    audiences = write_audiences(
        con, night.audiences, night.scratch / "exports" / "audiences", language=settings.language
    )
    rows["audiences"] = int(audiences["written"].sum())
    for name, count in rows.items():
        report(name, count)
    folder = f"exports/{night.as_of}"
    for name, count in rows.items():
        if name != "audiences":
            night.audit("export written", f"{folder}/{name}", count, "profiling")
    for row in audiences.iter_rows(named=True):
        night.audit("audience written", f"{folder}/audiences/{row['file']}", row["written"], row["purpose"])
    summary = {
        "run_id": night.run_id,
        "as_of": night.as_of,
        "currency": settings.reporting_currency,
        "seconds": round(sum(step["seconds"] for step in night.steps), 1),
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
    is_newest = _is_newest(night)
    snapshot = night.scratch / "snapshot.duckdb"
    copy_schemas(con, PUBLISHED_STATE, snapshot, settings.storage_version)
    con.execute("use memory")
    if night.previous:
        con.execute("detach previous")
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
    named, stale = {"as_of": day, "run_id": night.run_id}, []

    def record(_):
        stale.extend(night.ledger.publish_night(day, night.run_id))

    if is_newest:
        commit = (night.scratch / "warehouse.duckdb", settings.warehouse)
        publish(journal, [vault], commit, [kept, *folders, *night.role_moves], named, record)
    else:
        publish(journal, [vault], kept, folders, named, record)
    if stale:
        night.warn(
            f"later nights were built on what this one replaces: {', '.join(stale)}; run backfill --from {stale[0]}",
            f"以下较晚日期基于被替换的结果：{'、'.join(stale)}；请运行 backfill --from {stale[0]}",
        )
    prune_snapshots(settings, night.as_of)
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
    ("Role files", write_roles),
    ("Exports and report", write_out),
    ("Publish", publish_night),
)
