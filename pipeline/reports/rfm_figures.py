"""What the page says of RFM beside its map: by which cut-points, grades and ABC, and who went where. Aggregates only."""

import json

from pipeline.reports.figures import fetch_dicts, has_rows
from pipeline.reports.wide import quote_text
from pipeline.reports.wording import Wording

# tags and periods of tags.tag_migrations, in the order of the page
MIGRATED = ("rfm_segment", "value_class", "customer_grade", "abc_class")
PERIODS = ("last_night", "30_days", "90_days")
CLASSES = (("customer_grade", "grades"), ("abc_class", "abc"))
# where somebody went who carries no value any more, in the order of columns
GONE = ("left", "merged")
CHANGES = ("stayed", "moved", "new", *GONE)
LARGEST_MOVES = 3


def read_rfm_details(con, as_of):
    """{'basis': dict or None, 'classes': [...], 'migrations': [...]} for the RFM part of the page of as_of (None: no night)."""
    return {
        "basis": _read_basis(con, as_of) if as_of else None,
        "classes": [_read_classes(con, column, title) for column, title in CLASSES] if _has_scores(con) else [],
        "migrations": read_migrations(con),
    }


def read_migrations(con):
    """The matrices of tags.tag_migrations, tag by tag: dicts of tag_name, tag_name_zh and periods, the newest first."""
    if not has_rows(con, "tags.tag_migrations"):
        return []
    moves = {}
    for move in fetch_dicts(con, "from tags.tag_migrations"):
        moves.setdefault((move["tag"], move["period"]), []).append(move)
    found = []
    for tag in MIGRATED:
        values = _read_values(con, tag)
        periods = [_make_matrix(moves[tag, period], values) for period in PERIODS if (tag, period) in moves]
        if periods:
            names = fetch_dicts(con, f"select name, name_zh from tags.catalogue where tag = '{tag}'")[0]
            found.append({"tag": tag, "name": names["name"], "name_zh": names["name_zh"], "periods": periods})
    return found


def _make_matrix(moves, values):
    """One period of one tag. values: {code: {name, name_zh}} in the order of the catalogue.

    rows: those who carried a value then, of each a total and cells by value now; came: the new ones by value now. A cell is
    None where nobody went.
    """
    known = {move[side] for move in moves for side in ("from_value", "to_value")} - {None}
    codes = [code for code in values if code in known] + sorted(known - set(values))
    cells = {(move["from_value"], move["to_value"] or move["change"]): move for move in moves}
    gone = [change for change in GONE if any(move["change"] == change for move in moves)]
    rows = []
    for code in codes:
        row = [cells.get((code, target)) for target in (*codes, *gone)]
        total = sum(cell["customer_count"] for cell in row if cell)
        if total:
            rows.append(_named(values, code) | {"total": total, "cells": row})
    counts = {}
    for move in moves:
        counts[move["change"]] = counts.get(move["change"], 0) + move["customer_count"]
    largest = sorted(
        (move for move in moves if move["change"] == "moved"),
        key=lambda move: (-move["customer_count"], codes.index(move["from_value"]), codes.index(move["to_value"])),
    )
    return {
        "period": moves[0]["period"],
        "compared_on": moves[0]["compared_on"],
        "columns": [_named(values, code) for code in codes],
        "gone": gone,
        "rows": rows,
        "came": [cells.get((None, code)) for code in codes],
        "counts": {change: counts.get(change, 0) for change in CHANGES},
        "then_count": sum(row["total"] for row in rows),
        "largest": [
            {"was": _named(values, move["from_value"]), "became": _named(values, move["to_value"])}
            | {"customer_count": move["customer_count"]}
            for move in largest[:LARGEST_MOVES]
        ],
    }


def _named(values, code):
    return {"code": code} | values.get(code, {"name": code, "name_zh": code})


def _read_values(con, tag):
    rows = fetch_dicts(
        con, f"select value, name, name_zh from tags.catalogue_values where tag = '{tag}' order by position"
    )
    return {row["value"]: {"name": row["name"], "name_zh": row["name_zh"]} for row in rows}


def _read_basis(con, as_of):
    """By which cut-points tonight's scores are: fitted_on, window_days, customer_count, and the segments that nobody can reach."""
    where = f"model = 'rfm' and status = 'used' and as_of = date '{as_of}'"
    if not has_rows(con, "ops.model_runs", where):
        return None
    run = fetch_dicts(con, f"select params, metrics, row_count from ops.model_runs where {where}")[0]
    params, metrics = json.loads(run["params"] or "{}"), json.loads(run["metrics"] or "{}")
    names = _read_values(con, "rfm_segment") if has_rows(con, "tags.catalogue_values") else {}
    by_name = {value["name"]: value["name_zh"] for value in names.values()}
    return {
        "fitted_on": params.get("fitted_on"),
        "is_held": params.get("fitted_on") not in (None, str(as_of)),
        "customer_count": params.get("customer_count"),
        "window_days": params.get("window_days") or 0,
        "unreachable": [
            {"name": name, "name_zh": by_name.get(name, name)} for name in metrics.get("unreachable_segments", [])
        ],
        "outside_share": 1 - metrics["in_window_count"] / run["row_count"] if "in_window_count" in metrics else 0,
        "skipped": {name: scores for name, scores in metrics.get("skipped_scores", {}).items() if scores},
    }


def _has_scores(con):
    return has_rows(con, "scores.rfm", "abc_class is not null and customer_grade is not null")


def _read_classes(con, column, title):
    """Customers and spend of each class, those who spent most a head first."""
    rows = fetch_dicts(
        con,
        f"""
        select
            {column} as name,
            {column}_zh as name_zh,
            count(*) as customer_count,
            count(*) / sum(count(*)) over () as customer_share,
            sum(monetary)::double as spend,
            sum(monetary)::double / nullif(sum(sum(monetary)) over (), 0)::double as spend_share
        from scores.rfm
        where {column} is not null
        group by {column}, {column}_zh
        order by avg(monetary) desc, name
        """,
    )
    return {"title": title, "rows": rows}


def migrations_query(language):
    """SQL of the workbook's sheet of moves, one a row, named in a language: 'zh' or 'en'."""
    suffix, words = "_zh" if language == "zh" else "", Wording(language)

    def worded(column, texts):
        whens = " ".join(f"when {quote_text(code)} then {quote_text(words(text))}" for code, text in texts.items())
        return f"case migrations.{column} {whens} end"

    return f"""
        select
            catalogue.name{suffix},
            {worded("period", {period: f"since_{period}" for period in PERIODS})},
            migrations.compared_on::varchar,
            coalesce(value_then.name{suffix}, migrations.from_value),
            coalesce(value_now.name{suffix}, migrations.to_value),
            {worded("change", {change: f"change_{change}" for change in CHANGES})},
            migrations.customer_count,
            migrations.from_share

        from tags.tag_migrations as migrations

        inner join tags.catalogue as catalogue
            on migrations.tag = catalogue.tag

        left join tags.catalogue_values as value_then
            on migrations.tag = value_then.tag
            and migrations.from_value = value_then.value

        left join tags.catalogue_values as value_now
            on migrations.tag = value_now.tag
            and migrations.to_value = value_now.value

        order by
            catalogue.position,
            migrations.compared_on desc,
            migrations.period,
            value_then.position nulls last,
            migrations.from_value,
            value_now.position nulls last,
            migrations.to_value,
            migrations.change"""
