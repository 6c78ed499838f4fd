"""What the report says of each model: whether it is used and why, how right it was, whether its world has moved, what came true."""

import re
from datetime import timedelta

from pipeline.meanings import column_meaning
from pipeline.model_names import feature_meaning
from pipeline.reports.backtest_figures import describe_test, draw_deciles, find_champions
from pipeline.reports.figures import fetch_dicts, has_rows

ORDER = ("churn", "next_purchase", "contract_churn", "clv", "segments", "rfm")
NEEDS = re.compile(r"(?:not enough data: )?(?P<what>.*) \(needs (?P<needs>[\d,]+), has (?P<has>[\d,]+)\)")
MOST_DRIFTED = 12


def read_models(con, as_of):
    """One dict a model that ran at as_of, in ORDER; an empty list where none did."""
    if not has_rows(con, "ops.model_runs", f"as_of = date '{as_of}'"):
        return []
    runs = fetch_dicts(
        con,
        f"""
        select
            *,
            (
                select min(earlier.as_of) from ops.model_runs as earlier
                where earlier.model = runs.model and earlier.version = runs.version and earlier.status = runs.status
            ) as since
        from ops.model_runs as runs
        where as_of = date '{as_of}'
        order by model, version
        """,
    )
    backtests = _read_backtests(con, as_of)
    drift = _read_drift(con, as_of)
    models = []
    for run in runs:
        rows = [row for row in backtests if row["model"] == run["model"]]
        moved = [row for row in drift if row["model"] == run["model"]]
        models.append(_describe(run, rows, moved))
    places = {model: place for place, model in enumerate(ORDER)}
    return sorted(models, key=lambda model: (places.get(model["model"], len(places)), model["model"]))


def _read_backtests(con, as_of):
    """The rows of each model's last backtest: on nights that only score there is none of that night."""
    if not has_rows(con, "ops.backtests", f"as_of <= date '{as_of}'"):
        return []
    rows = fetch_dicts(
        con,
        f"""
        select * from ops.backtests
        where as_of <= date '{as_of}'
        qualify as_of = max(as_of) over (partition by model)
        order by cut_off desc, metric, baseline
        """,
    )
    # a table of an earlier version of this pipeline has no candidates and no intervals
    absent = dict.fromkeys(("candidate", "value_low", "value_high", "difference_low", "difference_high"))
    return [absent | row for row in rows]


def _read_drift(con, as_of):
    if not has_rows(con, "ops.drift", f"as_of = date '{as_of}'"):
        return []
    return fetch_dicts(con, f"select * from ops.drift where as_of = date '{as_of}' order by model, kind, name")


def _describe(run, backtests, drift):
    champions = find_champions(run)
    horizons = sorted({row["horizon_days"] for row in backtests})
    tests = [describe_test([row for row in backtests if row["horizon_days"] == days], champions) for days in horizons]
    needs = NEEDS.fullmatch(run["message"] or "")
    return {
        "model": run["model"],
        "version": run["version"],
        "status": run["status"],
        "message": run["message"] or "",
        "needs": needs.groupdict() if needs else None,
        "row_count": run["row_count"],
        "since": run["since"],
        # nights that only score say when the model was trained
        "trained_on": run.get("trained_on"),
        "tests": tests,
        "compared": [row for row in drift if row["kind"] != "realised" and row["status"] != "too few"],
        "unjudged_count": sum(row["kind"] != "realised" and row["status"] == "too few" for row in drift),
        "drifted": _drifted(drift),
        "realised": _realised(drift),
    }


def _drifted(rows):
    """What moved most, warnings first."""
    order = {"warning": 0, "watch": 1}
    moved = [row for row in rows if row["kind"] != "realised" and row["status"] in order]
    moved.sort(key=lambda row: (order[row["status"]], -row["value"], row["name"]))
    return [row | dict(zip(("name_en", "name_zh"), _name_of(row), strict=True)) for row in moved[:MOST_DRIFTED]]


def _name_of(row):
    """(English, Chinese) words for a feature or score; its own name where there are none."""
    if row["kind"] != "score":
        return feature_meaning(row["name"]) or (row["name"], row["name"])
    meaning = column_meaning("scores", row["model"], row["name"])
    return (meaning["en"], meaning["zh"]) if meaning else (row["name"], row["name"])


def _realised(rows):
    """Forecasts of one earlier night against what came: [{reference_as_of, horizon_days, gaps, figures, pictures, ...}]."""
    found = {}
    for row in rows:
        if row["kind"] == "realised":
            found.setdefault((row["reference_as_of"], row["horizon_days"]), []).append(row)
    return [
        {
            "reference_as_of": day,
            "horizon_days": days,
            "due_on": day + timedelta(days=days),
            "status": min((row["status"] for row in of), key=("warning", "not yet", "too few", "ok", "shown").index),
            "gaps": [row for row in of if row["expected_value"] is not None and "decile" not in row["name"]],
            "figures": {row["name"]: row for row in of if row["value"] is not None},
            "pictures": draw_deciles([(row["name"], row["expected_value"], row["actual_value"]) for row in of]),
            "row_count": max(row["row_count"] for row in of),
        }
        for (day, days), of in sorted(found.items())
    ]
