"""What the report says of the data itself: rows accounted for, files, checks and what no source delivers."""

from pipeline.ops import absent_entities
from pipeline.reports.figures import fetch_dicts, has_rows
from pipeline.reports.wide import quote_text


def read_quality(con, as_of, run_id=None):
    """Rows accounted for, files with something to say, checks and absent entities. Parts may be empty lists."""
    of_night = f"run_id = {quote_text(run_id)}" if run_id else f"as_of = date '{as_of}'"
    quality = {"rows": [], "files": [], "absent": [], "checks": None}
    if has_rows(con, "ops.reconciliation", of_night):
        quality["rows"] = fetch_dicts(
            con,
            f"""
            select
                file_name,
                entity,
                sum(lines_read)::bigint as lines_read,
                sum(landed)::bigint as landed,
                sum(rejected)::bigint as rejected,
                sum(duplicates)::bigint as duplicates
            from ops.reconciliation
            where {of_night}
            group by file_name, entity
            order by file_name, entity
            """,
        )
    if has_rows(con, "ops.files"):
        of_run = of_night if run_id else "true"
        quality["files"] = fetch_dicts(
            con,
            f"""
            select distinct
                file_name,
                status,
                message,
                schema_change
            from ops.files
            where {of_run} and (message <> '' or schema_change <> '')
            order by all
            limit 30
            """,
        )
    quality["checks"] = read_check_counts(con, of_night)
    # the night's warning names the same
    quality["absent"] = absent_entities(quality["rows"])
    return quality


def read_check_counts(con, where):
    """{'passed', 'failed', 'worst': [...]} of ops.checks; None when none ran."""
    if not has_rows(con, "ops.checks", where):
        return None
    passed, failed = con.execute(
        f"select count(*) filter (success), count(*) filter (not coalesce(success, false)) from ops.checks where {where}"
    ).fetchone()
    return {
        "passed": passed,
        "failed": failed,
        "worst": read_checks(con, f"({where}) and success is not true", limit=12),
    }


def read_checks(con, where="true", limit=2000):
    """Check results, failures first."""
    if not has_rows(con, "ops.checks", where):
        return []
    return fetch_dicts(
        con,
        f"""
        select as_of, entity, column_name, rule, success, element_count, unexpected_count, unexpected_share, message
        from ops.checks
        where {where}
        order by coalesce(success, false), entity, column_name nulls first, rule
        limit {limit}
        """,
    )
