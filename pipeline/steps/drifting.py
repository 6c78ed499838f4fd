"""Tonight against the training window, and earlier forecasts against what has come true: ops.drift and its warnings."""

import json
from datetime import date, timedelta

import polars as pl

from pipeline import ops
from pipeline.models.churn_reasons import add_derived
from pipeline.models.drift import (
    DRIFT_SCHEMA,
    NOT_YET,
    REFERENCE_SCHEMA,
    WARNING,
    compare,
    make_reference,
)
from pipeline.models.realised import judge_amount, judge_event
from pipeline.transform.build import start_of_day_utc
from pipeline.warehouse import attach, frame, has_table, identifier, value, write_frame

# the newest of the training cut-offs: older ones would call the growth of a shop drift, a single one the season
REFERENCE_CUT_OFFS = 2
# model -> what of its scores is compared from night to night; the table is named after the model
SCORES = {
    "rfm": ("rfm_segment",),
    "segments": ("segment_id",),
    "clv": ("p_alive", "expected_orders_90d", "clv_365d_amount"),
    "churn": ("churn_probability",),
    "next_purchase": ("purchase_probability_30d",),
    "contract_churn": ("churn_probability",),
}
# model, column of its scores, days ahead (None: the model's own horizon), what is counted
FORECASTS = (
    ("churn", "churn_probability", None, "no order"),
    ("next_purchase", "purchase_probability_30d", 30, "an order"),
    ("clv", "expected_orders_90d", 90, "orders"),
    ("clv", "clv_90d_amount", 90, "spend"),
    ("clv", "expected_orders_365d", 365, "orders"),
    ("clv", "clv_365d_amount", 365, "spend"),
)


def drift(night, looked_at, report):
    """Write ops.drift and ops.drift_references from tonight's scores, and warn of what moved.

    looked_at: model -> (the facts, column as_of, it was fitted on tonight, the facts it scored tonight). Without rows of the first,
    as on a night that only scores, a model is held against the reference kept since it was trained.
    """
    runs = {
        run["model"]: run
        for run in frame(night.con, "select * from ops.model_runs where as_of = ?", (night.as_of,)).to_dicts()
        if run["status"] == "used"
    }
    kept = _read_references(night)
    rows, references = [], []
    for model, run in sorted(runs.items()):
        for kind, compared in (
            ("feature", _compare_features(night, run, *looked_at.get(model, (None, None)), kept)),
            ("score", _compare_scores(night, run, kept)),
        ):
            found, reference = compared
            references += reference
            rows += [{"model": model, "version": run["version"], "kind": kind} | row for row in found]
    for model, *forecast in FORECASTS:
        rows += _realise(night, model, *forecast, runs.get(model))
    made = {(row["model"], row["kind"]) for row in references}
    references += [row for row in kept if (row["model"], row["kind"]) not in made]
    table = pl.DataFrame([{"as_of": night.as_of} | row for row in rows], DRIFT_SCHEMA)
    floats = [name for name, kind in DRIFT_SCHEMA.items() if kind == pl.Float64]
    table = table.with_columns(pl.col(floats).fill_nan(None).round(6)).sort("model", "kind", "name", "horizon_days")
    ops.append_history(night.con, "drift", table, night.as_of, night.previous)
    write_frame(
        night.con, "ops.drift_references", pl.DataFrame(references, REFERENCE_SCHEMA).sort("model", "kind", "name")
    )
    _warn(night, table)
    report("ops.drift", len(table))


def _read_references(night):
    if not (night.previous and has_table(night.con, "previous", "ops", "drift_references")):
        return []
    return frame(night.con, "select * from previous.ops.drift_references where as_of < ?", (night.as_of,)).to_dicts()


def _make_references(night, run, kind, rows, names, reference_as_of):
    known = {"as_of": night.as_of, "model": run["model"], "version": run["version"], "kind": kind}
    return [
        known
        | {
            "name": name,
            "reference_as_of": reference_as_of,
            "bins": json.dumps(made["bins"], ensure_ascii=False),
            "counts": json.dumps(made["counts"]),
            "row_count": len(rows),
        }
        for name, made in make_reference(rows, names).items()
    ]


def _compare(night, references, rows):
    """Rows of ops.drift of a frame against kept references of one model and kind."""
    reference = {
        row["name"]: {"bins": json.loads(row["bins"]), "counts": json.loads(row["counts"])} for row in references
    }
    dates = {row["name"]: row["reference_as_of"] for row in references}
    found = compare(reference, rows, night.settings.psi_warning)
    return [row | {"reference_as_of": dates[row["name"]]} for row in found]


def _compare_features(night, run, training, tonight, kept):
    """(rows, references) of what a model that learns from labelled facts looks at."""
    if tonight is None:
        return [], []
    params = json.loads(run["params"])
    references = []
    if training is not None and len(training):
        days = sorted(training["as_of"].unique(), reverse=True)[:REFERENCE_CUT_OFFS]
        rows = _population(training.filter(pl.col("as_of").is_in(days)), run["model"], params)
        references = _make_references(night, run, "feature", rows, params.get("features", ()), days[0])
    standing = references or [row for row in kept if (row["model"], row["kind"]) == (run["model"], "feature")]
    if not standing:
        return [], []
    return _compare(night, standing, _population(tonight, run["model"], params)), references


def _population(facts, model, params):
    """The customers that a model looks at, then or now: the same rule on both sides."""
    if model not in ("churn", "next_purchase"):
        return facts
    days = params.get("active_days") or params["horizon_days"]
    chosen = (pl.col("order_count") > 0) & (pl.col("recency_days") <= days)
    return add_derived(facts.filter(chosen & pl.col("is_profiling_allowed").fill_null(True)))


def _compare_scores(night, run, kept):
    """(rows, references): tonight's scores against those of the training before, or since which nothing was trained.

    On the night of a training that tells how far the new model moved the scores, on the others how far the customers did.
    """
    database = value(night.con, "select current_database()")
    names = [name for name in SCORES.get(run["model"], ()) if _has_score(night, database, run["model"], name)]
    if not names:
        return [], []
    rows = frame(night.con, f"select {', '.join(names)} from scores.{identifier(run['model'])}")
    # ids of segments are names, not numbers
    if "segment_id" in rows.columns:
        rows = rows.with_columns(pl.col("segment_id").cast(pl.String))
    standing = [row for row in kept if (row["model"], row["kind"]) == (run["model"], "score")]
    found = _compare(night, standing, rows) if standing else []
    if standing and standing[0]["version"] == run["version"]:
        return found, []
    return found, _make_references(night, run, "score", rows, names, night.as_of)


def _realise(night, model, column, days, what, run_tonight):
    """Rows of ops.drift: the newest forecast whose horizon is over, against what happened; or from when on there will be one."""
    oldest = None
    if run_tonight and _has_score(night, value(night.con, "select current_database()"), model, column):
        horizon = days or json.loads(run_tonight["params"])["horizon_days"]
        oldest = {"model": model, "version": run_tonight["version"], "kind": "realised", "horizon_days": horizon}
        oldest |= {"reference_as_of": night.as_of}
    for day, path in _earlier_nights(night):
        attach(night.con, path, "snapshot")
        try:
            run = _run_then(night, model, column, day)
            if run is None:
                continue
            horizon = days or json.loads(run["params"])["horizon_days"]
            known = {"model": model, "version": run["version"], "kind": "realised", "horizon_days": horizon}
            known |= {"reference_as_of": day}
            if day + timedelta(days=horizon) <= night.as_of:
                return [known | row for row in _judge(night, model, column, day, horizon, what)]
            oldest = known
        finally:
            night.con.execute("detach snapshot")
    # a forecast over a year is over before the last of the snapshots that are kept: none is promised
    if oldest is None or oldest["horizon_days"] > 90:
        return []
    return [oldest | {"name": _name(what, oldest["horizon_days"]), "status": NOT_YET, "row_count": 0}]


def _earlier_nights(night):
    """(as_of, path) of the snapshots before tonight, newest first."""
    days = {date.fromisoformat(path.stem): path for path in night.settings.snapshots.glob("????-??-??.duckdb")}
    return sorted(((day, path) for day, path in days.items() if day < night.as_of), reverse=True)


def _run_then(night, model, column, day):
    """That night's row of ops.model_runs if the model gave this score; None where it did not."""
    if not _has_score(night, "snapshot", model, column):
        return None
    runs = frame(
        night.con,
        "select version, params from snapshot.ops.model_runs where as_of = ? and model = ? and status = 'used'",
        (day, model),
    )
    return runs.row(0, named=True) if len(runs) else None


def _has_score(night, database, model, column):
    found = night.con.execute(
        "select 1 from duckdb_columns() where database_name = ? and schema_name = 'scores' and table_name = ?"
        " and column_name = ?",
        (database, model, column),
    )
    return bool(found.fetchall())


def _judge(night, model, column, day, horizon, what):
    rows = frame(night.con, _foretold_and_happened(model, column), _window(night, day, horizon))
    settings, name = night.settings, _name(what, horizon)
    if what in ("orders", "spend"):
        # two ids that were found to be one person since: together they were expected to buy what that person bought
        rows = rows.group_by("current_customer_id").agg(
            pl.col("foretold").sum(), pl.col("order_day_count", "net_spend_amount").first()
        )
        rows = rows.sort("current_customer_id")
        actual = rows["order_day_count" if what == "orders" else "net_spend_amount"].cast(pl.Float64).to_numpy()
        prefix = name.removesuffix("_total")
        return judge_amount(prefix, rows["foretold"].to_numpy(), actual, settings.realised_gap_warning, settings.seed)
    bought = (rows["order_day_count"] > 0).cast(pl.Float64).to_numpy()
    happened = bought if what == "an order" else 1 - bought
    return judge_event(rows["foretold"].to_numpy(), happened, settings.realised_gap_warning, settings.seed)


def _name(what, horizon):
    return f"{what}_{horizon}d_total" if what in ("orders", "spend") else "event_share"


def _window(night, day, horizon):
    zone = night.settings.business_timezone
    return start_of_day_utc(day, zone), start_of_day_utc(day + timedelta(days=horizon), zone)


def _foretold_and_happened(model, column):
    """SQL: a row per id of the forecast whose person is still known, under whatever id. Parameters: the window's ends, UTC."""
    return f"""
    with bought as (

        select
            customer_id,
            count(distinct ordered_on) as order_day_count,
            sum(net_amount - refund_amount)::double as net_spend_amount

        from work.orders_known
        where is_counted and ordered_at >= ? and ordered_at < ?
        group by customer_id

    ),

    -- whom an id that is no customer any more means tonight; who was erased is nobody
    moved as (

        select customer_id, max(current_customer_id) as current_customer_id
        from core.identity_changes
        group by customer_id

    ),

    named as (

        select
            scores.customer_id,
            scores.{identifier(column)} as foretold,
            coalesce(customers.customer_id, moved.current_customer_id) as current_customer_id

        from snapshot.scores.{identifier(model)} as scores

        left join core.customers as customers
            on scores.customer_id = customers.customer_id

        left join moved
            on scores.customer_id = moved.customer_id

    )

    select
        named.customer_id,
        named.current_customer_id,
        named.foretold,
        coalesce(bought.order_day_count, 0) as order_day_count,
        coalesce(bought.net_spend_amount, 0) as net_spend_amount

    from named

    left join bought
        on named.current_customer_id = bought.customer_id

    where
        named.current_customer_id is not null
        and named.foretold is not null

    order by named.customer_id
    """


def _warn(night, table):
    """One line a model and kind of what passed its limit."""
    warned = table.filter(pl.col("status") == WARNING)
    for (model, kind), rows in warned.group_by("model", "kind", maintain_order=True):
        if kind == "realised":
            for row in rows.iter_rows(named=True):
                night.warn(*_realised_words(row))
            continue
        of = len(table.filter((pl.col("model") == model) & (pl.col("kind") == kind)))
        rows = rows.sort("value", "name", descending=[True, False])
        worst = ", ".join(f"{row['name']} {row['value']:.2f}" for row in rows.head(5).iter_rows(named=True))
        more = " ..." if len(rows) > 5 else ""
        limit, since = night.settings.psi_warning, rows["reference_as_of"].min()
        nouns = {"feature": ("features", "个特征"), "score": ("scores", "项评分")}[kind]
        night.warn(
            f"{model}: {len(rows)} of {of} {nouns[0]} moved since {since} (population stability index at least {limit}):"
            f" {worst}{more}; see whether an export or the business changed, and train anew",
            f"模型 {model}：{of} {nouns[1]}中有 {len(rows)} 项自 {since} 以来分布明显漂移（群体稳定性指数 PSI 不低于 {limit}）："
            f"{worst}{more}；请核对导出数据或业务是否有变，并重新训练模型",
        )


def _realised_words(row):
    model, day, days = row["model"], row["reference_as_of"], row["horizon_days"]
    if row["name"] == "log_loss_over_base_rate":
        return (
            f"{model}: the chances given on {day} did worse over {days} days than the same chance for everyone"
            f" (log loss {row['value']:+.4f}): do not act on them until it is trained anew",
            f"模型 {model}：{day} 给出的概率在 {days} 天内的表现不如人人相同的概率（对数损失差 {row['value']:+.4f}），"
            "重新训练前请勿据此行动",
        )
    places = 3 if row["name"] == "event_share" else 0
    foretold, came = (f"{row[name]:,.{places}f}" for name in ("expected_value", "actual_value"))
    return (
        f"{model}: {row['name']} foretold on {day} for {days} days was {foretold}, {came} came true ({row['value']:+.0%},"
        f" over {row['row_count']:,} customers; limit {row['warning_limit']:.0%})",
        f"模型 {model}：{day} 对未来 {days} 天的预测（{row['name']}）为 {foretold}，实际为 {came}（偏差 {row['value']:+.0%}，"
        f"{row['row_count']:,} 位客户，限值 {row['warning_limit']:.0%}）",
    )
