"""The ops tables, role files, exports and pages; and the one commit that publishes them."""

from pipeline import ops
from pipeline.ingest.connection import pseudonym_key
from pipeline.meanings import comment_all
from pipeline.privacy.role_files import RoleError, write_role
from pipeline.privacy.roles import role_files, role_path
from pipeline.reports.audience_files import write_audiences
from pipeline.reports.exports import write_exports
from pipeline.reports.page import write_checks_page, write_page
from pipeline.steps.building import is_newest_night
from pipeline.steps.model_files import prune_models
from pipeline.tags.rules import chinese_evidence
from pipeline.warehouse import (
    copy_schemas,
    prune_snapshots,
    publication_lock,
    publish,
    value,
)

PUBLISHED_STATE = ("marts", "scores", "tags", "ops")


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
    if not is_newest_night(night):
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


def write_out(night, report):
    """Exports and the page."""
    settings, con = night.settings, night.con
    rows = write_exports(con, night.scratch / "exports", settings.language, settings.workbook_max_customers)
    evidence = chinese_evidence(night.catalogue) if settings.language == "zh" else None
    audiences = write_audiences(
        con, night.audiences, night.scratch / "exports" / "audiences", language=settings.language, evidence=evidence
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
    is_newest = is_newest_night(night)
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
    # named by their content, and by nothing yet: what is moved before a commit that fails is in nobody's way
    models = [(path, settings.models / path.name) for path in sorted((night.scratch / "models").glob("*"))]
    journal = settings.warehouse.parent / "publication.json"
    named, stale = {"as_of": day, "run_id": night.run_id}, []

    def record(_):
        later = night.ledger.publish_night(day, night.run_id)
        # one that its owner deleted is not missed
        stale.extend(one for one in later if (settings.snapshots / f"{one}.duckdb").exists())

    if is_newest:
        commit = (night.scratch / "warehouse.duckdb", settings.warehouse)
        publish(journal, [*models, vault], commit, [kept, *folders, *night.role_moves], named, record)
    else:
        publish(journal, [*models, vault], kept, folders, named, record)
    if stale:
        night.warn(
            f"later nights were built on what this one replaces: {', '.join(stale)}; run backfill --from {stale[0]} --to {stale[-1]}",
            f"以下较晚日期基于被替换的结果：{'、'.join(stale)}；请运行 backfill --from {stale[0]} --to {stale[-1]}",
        )
    prune_snapshots(settings, night.as_of)
    prune_models(settings)
    return 1
