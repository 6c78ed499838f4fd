"""The pages: one self-contained HTML file each, no script, nothing fetched."""

from pathlib import Path

import duckdb
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.reports import backtest_figures, figures, models_page, quality
from pipeline.reports.rfm_figures import read_rfm_details
from pipeline.reports.segment_figures import read_segments
from pipeline.reports.wide import quote_text
from pipeline.reports.wording import Wording

TEMPLATES = Path(__file__).parent / "templates"


def write_page(con, out_path, language, previous=None, run_summary=None):
    """Write the report of a night.

    con: DuckDB connection to a warehouse with marts, scores, tags and ops; tables may be empty, and those of ops missing.
    language: 'zh' or 'en'. previous: name of an attached earlier warehouse or snapshot, for the changes of the key figures.
    run_summary, all keys optional: as_of (date), run_id, currency (ISO code), shop_name, seconds, warnings (texts),
    steps ({name, rows, seconds}). Returns the path.
    """
    summary = run_summary or {}
    words = Wording(language, summary.get("currency", "CNY"))
    headline = figures.read_headline(con)
    as_of = summary.get("as_of") or (headline and headline["as_of"])
    page = {
        "words": words,
        "as_of": as_of,
        "shop_name": summary.get("shop_name"),
        "headline": headline,
        "tiles": _make_tiles(words, headline, _read_previous(con, previous)) if headline else [],
        "summary": summary,
        "changes": None,
        "rfm": figures.read_rfm(con),
        "rfm_details": read_rfm_details(con, as_of),
        "segments": read_segments(con),
        "value": figures.read_value(con),
        "churn": figures.read_churn(con),
        "models": [],
        "split_measure": backtest_figures.split_measure,
        "quality": None,
        "why": {},
    }
    if as_of:
        page["changes"] = figures.read_changes(con, as_of)
        page["quality"] = quality.read_quality(con, as_of, summary.get("run_id"))
        page["models"] = models_page.read_models(con, as_of)
        page["why"] = _explain_absence(words, page["models"])
    return _write(out_path, "report.html.j2", page)


def write_checks_page(con, out_path, language, run_id=None):
    """Write the results of the data checks, failures first: those of run_id, else all. Returns the path."""
    where = f"run_id = {quote_text(run_id)}" if run_id else "true"
    checks = quality.read_checks(con, where)
    page = {
        "words": Wording(language),
        "checks": checks,
        "counts": quality.read_check_counts(con, where),
        "as_of": max((check["as_of"] for check in checks if check["as_of"]), default=None),
    }
    return _write(out_path, "checks.html.j2", page)


def _write(out_path, template, page):
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    path = Path(out_path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(environment.get_template(template).render(**page), encoding="utf-8")
    return path


def _read_previous(con, previous):
    """Key figures of the earlier warehouse, or None where it has not the tables: a page must not stop a night."""
    if not previous:
        return None
    try:
        return figures.read_headline(con, previous)
    except duckdb.CatalogException:
        return None


def _explain_absence(words, models):
    """{model: its message} of the models that did not score."""
    silent = [model for model in models if model["status"] != "used" and model["message"]]
    return {model["model"]: words.model_message(model["message"]) for model in silent}


def _make_tiles(words, now, before):
    """Key figures as {label, figure, note, change}; change speaks only where there is an earlier figure."""
    buyers = now["buyer_count"] or None
    tiles = [
        ("customer_count", "customers", words.count, words("buyers", words.count(now["buyer_count"]))),
        (
            "active_count",
            "active",
            words.count,
            words("of_buyers", words.share(now["active_count"] / buyers)) if buyers else "",
        ),
        ("new_count", "new", words.count, words("first_seen")),
        ("spend_365d", "spend_365d", words.money, words("per_order", words.money(now["spend_per_order"]))),
        ("repeat_share", "repeat", words.share, words("of_buyers_days")),
        ("expected_365d", "expected_365d", words.money, words("from_model")),
        (
            "high_risk_count",
            "high_risk",
            words.count,
            words("of_active", words.share(now["high_risk_share"])),
        ),
        (
            "reachable_count",
            "reachable",
            words.count,
            words("of_customers", words.share(now["reachable_count"] / now["customer_count"])),
        ),
    ]
    made = []
    for key, label, style, note in tiles:
        change = words.change(now[key], before[key]) if before else None
        made.append(
            {
                "label": words(label),
                "figure": style(now[key]),
                "note": note if now[key] is not None else "",
                "change": words("since", change, before["as_of"]) if change else None,
            }
        )
    return made
