"""Audiences as files: who may be written to, why, and how many were left out: without consent, out of reach, over the contact limit."""

from pathlib import Path

import duckdb
import polars as pl

from pipeline.reports.exports import quote_identifier, write_csv
from pipeline.reports.wide import quote_text, safe_cell

SCHEMA = {
    "audience": pl.String,
    "name": pl.String,
    "name_zh": pl.String,
    "purpose": pl.String,
    "channel": pl.String,
    "matched": pl.Int64,
    "excluded_by_consent": pl.Int64,
    "excluded_unreachable": pl.Int64,
    "excluded_by_limit": pl.Int64,
    "written": pl.Int64,
    "file": pl.String,
}


def write_audiences(con, audiences, out_dir, names=None, language="zh", evidence=None):
    """Write <out_dir>/<audience>.csv for each audience: customer_id and the tags that are its reasons, with their evidence.

    con: DuckDB connection to a warehouse, read-only will do. audiences: from load_audiences. names: codes to write, None
    for all. evidence: {tag: SQL giving customer_id, value, evidence}, in place of that of tags.customer_tags.
    Whom marts.contactability forbids marketing on the audience's channel is never written.
    Returns a frame with SCHEMA, one row per audience: matched = written + the three that are excluded.
    Raises ValueError for an unknown name, tag, value or column.
    """
    known = {audience.code: audience for audience in audiences}
    unknown = sorted(set(names or ()) - set(known))
    if unknown:
        raise ValueError(f"audience {unknown[0]!r} is not known; use one of {', '.join(sorted(known))}")
    chosen = [known[name] for name in dict.fromkeys(names)] if names else list(audiences)
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    return pl.DataFrame(
        [_write_one(con, audience, out_dir, language, evidence or {}) for audience in chosen],
        schema=SCHEMA,
        orient="row",
    )


def _write_one(con, audience, out_dir, language, evidence):
    _check_tags(con, audience)
    try:
        matched, without_consent, unreachable, over_limit, written = con.execute(
            f"""
            select
                count(*),
                count(*) filter (excluded_by = 'consent'),
                count(*) filter (excluded_by = 'unreachable'),
                count(*) filter (excluded_by = 'limit'),
                count(*) filter (is_marketing_allowed)
            from ({audience.query})
            """
        ).fetchone()
    except duckdb.Error as fault:
        reason = str(fault).splitlines()[0]
        raise ValueError(
            f"{audience.file_name}, audience {audience.code}, where: {reason}; correct the condition"
        ) from fault
    path = out_dir / f"{audience.code}.csv"
    write_csv(con, _listing(audience, language, evidence), path)
    return (
        audience.code,
        audience.name,
        audience.name_zh,
        audience.purpose,
        audience.channel,
        matched,
        without_consent,
        unreachable,
        over_limit,
        written,
        path.name,
    )


def _check_tags(con, audience):
    """A misspelt tag would match nobody without a word."""
    for tag, value in audience.tags_used:
        is_open = con.execute(
            "select is_open_valued from tags.catalogue where level = 'customer' and tag = ?", [tag]
        ).fetchone()
        if is_open is None:
            raise ValueError(
                f"{audience.file_name}, audience {audience.code}: no tag {tag!r} in the catalogue; correct its code"
            )
        if value and not is_open[0]:
            values = [
                row[0]
                for row in con.execute(
                    "select value from tags.catalogue_values where tag = ? order by position", [tag]
                ).fetchall()
            ]
            if value not in values:
                raise ValueError(
                    f"{audience.file_name}, audience {audience.code}: tag {tag} has no value {value!r};"
                    f" it has {', '.join(values)}"
                )


def _listing(audience, language, evidence):
    is_zh = language == "zh"
    customer, reasons = ("客户编号", "入选原因") if is_zh else ("Customer id", "Reasons")
    name = "value_name_zh" if is_zh else "value_name"
    joiner = "；" if is_zh else "; "
    listed = ", ".join(map(quote_text, audience.reasons)) or "null"
    order = " ".join(f"when {quote_text(tag)} then {place}" for place, tag in enumerate(audience.reasons))
    order = f"case tag {order} end" if order else "tag"
    others = [
        f"select customer_id, {quote_text(tag)} as tag, value, evidence from ({evidence[tag]})"
        " where customer_id in (select customer_id from chosen)"
        for tag in audience.reasons
        if tag in evidence
    ]
    none = "select null::varchar as customer_id, null::varchar as tag, null::varchar as value, null::varchar as evidence limit 0"
    opening, closing = ("（", "）") if is_zh else (" (", ")")
    return f"""
        with chosen as (

            select customer_id from ({audience.query}) where is_marketing_allowed

        ),

        evidence_of_language as (

            {" union all ".join(others) or none}

        ),

        tagged as (

            select
                held.customer_id,
                held.tag,
                held.value,
                held.value_name,
                held.value_name_zh,
                coalesce(evidence_of_language.evidence, held.evidence) as evidence

            from tags.customer_tags as held

            left join evidence_of_language
                on held.customer_id = evidence_of_language.customer_id
                and held.tag = evidence_of_language.tag
                and held.value = evidence_of_language.value

            where held.tag in ({listed}) and held.customer_id in (select customer_id from chosen)

        ),

        reasons as (

            select
                customer_id,
                string_agg(
                    {name} || case when evidence is null then '' else '{opening}' || evidence || '{closing}' end,
                    {quote_text(joiner)} order by {order}, value
                ) as reasons

            from tagged
            group by customer_id

        )

        select
            {safe_cell("chosen.customer_id")} as {quote_identifier(customer)},
            {safe_cell("reasons.reasons")} as {quote_identifier(reasons)}

        from chosen

        left join reasons
            on chosen.customer_id = reasons.customer_id

        order by chosen.customer_id"""
