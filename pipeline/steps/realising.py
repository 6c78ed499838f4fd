"""Earlier forecasts against what has come true since: the newest snapshot whose horizon is over, and the orders known tonight."""

import json
from datetime import date, timedelta

import duckdb
import polars as pl

from pipeline.models.drift import NOT_YET
from pipeline.models.realised import judge_amount, judge_event
from pipeline.reports.wording import Wording
from pipeline.transform.build import build_outcomes, start_of_day_utc
from pipeline.warehouse import attach, frame, has_table, identifier, value

# model, column of its scores, days ahead (None: the model's own horizon), what is counted
FORECASTS = (
    ("churn", "churn_probability", None, "no order"),
    ("next_purchase", "purchase_probability_30d", 30, "an order"),
    ("contract_churn", "churn_probability", None, "no contract"),
    ("clv", "expected_orders_90d", 90, "orders"),
    ("clv", "clv_90d_amount", 90, "spend"),
    ("clv", "expected_orders_365d", 365, "orders"),
    ("clv", "clv_365d_amount", 365, "spend"),
)
# what came of a forecast, by customer. Parameters: the ends of the window, UTC
BOUGHT = """
        select
            customer_id,
            count(distinct ordered_on) as order_day_count,
            sum(net_amount - refund_amount)::double as net_spend_amount

        from work.orders_known
        where is_counted and ordered_at >= ? and ordered_at < ?
        group by customer_id
"""
# contract_outcomes is made for one window
KEPT = "select customer_id, true as is_kept from contract_outcomes"
# the monthly snapshots that are kept do not reach a year back: outcomes of so many days are not promised
MOST_PROMISED_DAYS = 180


def realise(night, runs):
    """Rows (dicts) of ops.drift of every forecast. runs: model -> its row of tonight's ops.model_runs, of those in use."""
    snapshots, rows = _read_snapshots(night), []
    for forecast in FORECASTS:
        rows += _realise(night, snapshots, runs, *forecast)
    return rows


def has_score(night, database, model, column):
    """Whether a database has this column in the scores of a model."""
    found = night.con.execute(
        "select 1 from duckdb_columns() where database_name = ? and schema_name = 'scores' and table_name = ?"
        " and column_name = ?",
        (database, model, column),
    )
    return bool(found.fetchall())


def _realise(night, snapshots, runs, model, column, days, what):
    """Rows of ops.drift: the newest forecast whose horizon is over, against what happened; or from when on there will be one."""
    oldest, database = None, value(night.con, "select current_database()")
    if model in runs and has_score(night, database, model, column):
        oldest = _forecast(runs[model], days, night.as_of)
    for day, path, runs_then, columns in snapshots:
        if model not in runs_then or (model, column) not in columns:
            continue
        known = _forecast(runs_then[model], days, day)
        if day + timedelta(days=known["horizon_days"]) <= night.orders_until:
            attach(night.con, path, "snapshot")
            found = _judge(night, model, column, day, known["horizon_days"], what)
            night.con.execute("detach snapshot")
            return [known | row for row in found]
        oldest = known
    if oldest is None or oldest["horizon_days"] > MOST_PROMISED_DAYS:
        return []
    return [oldest | {"name": _name(what, oldest["horizon_days"]), "status": NOT_YET, "row_count": 0}]


def _forecast(run, days, day):
    days = days or json.loads(run["params"])["horizon_days"]
    known = {"model": run["model"], "version": run["version"], "kind": "realised"}
    return known | {"horizon_days": days, "reference_as_of": day}


def _read_snapshots(night):
    """(as_of, path, {model: its row of ops.model_runs}, {(model, column of its scores)}) of each before tonight, newest first."""
    found = []
    for path in sorted(night.settings.snapshots.glob("????-??-??.duckdb"), reverse=True):
        day = date.fromisoformat(path.stem)
        if day >= night.as_of:
            continue
        try:
            attach(night.con, path, "snapshot")
        except duckdb.Error:
            night.warn(
                f"{path.name} cannot be read: its forecasts are held against nothing",
                f"无法读取 {path.name}：其中的预测未作对照",
            )
            continue
        runs = {}
        if has_table(night.con, "snapshot", "ops", "model_runs"):
            query = "select * from snapshot.ops.model_runs where as_of = ? and status = 'used'"
            runs = {run["model"]: run for run in frame(night.con, query, (day,)).to_dicts()}
        columns = night.con.execute(
            "select table_name, column_name from duckdb_columns()"
            " where database_name = 'snapshot' and schema_name = 'scores'"
        ).fetchall()
        night.con.execute("detach snapshot")
        found.append((day, path, runs, set(columns)))
    return found


def _judge(night, model, column, day, horizon, what):
    settings, name = night.settings, _name(what, horizon)
    if what == "no contract":
        # the models have read what they learn from by now: the table may be made anew
        build_outcomes(night.con, [(day, horizon)], settings.business_timezone, "contract_outcomes")
        rows = frame(night.con, _foretold_and_came(model, column, KEPT))
        ended = rows["is_kept"].is_null().cast(pl.Float64).to_numpy()
        return judge_event(rows["foretold"].to_numpy(), ended, settings.realised_gap_warning, settings.seed)
    rows = frame(night.con, _foretold_and_came(model, column, BOUGHT), _window(night, day, horizon))
    rows = rows.with_columns(pl.col("order_day_count", "net_spend_amount").fill_null(0))
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


def _foretold_and_came(model, column, came):
    """SQL: a row per id of the forecast whose person is still known, under whatever id, with the columns of came (SQL), null
    where it has no row of that person. came is keyed by customer_id."""
    return f"""
    with came as (

        {came}

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
        named.*,
        came.* exclude (customer_id)

    from named

    left join came
        on named.current_customer_id = came.customer_id

    where
        named.current_customer_id is not null
        and named.foretold is not null

    order by named.customer_id
    """


def word_realised(row, currency, trained_on=None):
    """What a warning says of a row that is off its limit: (English, Chinese). trained_on: when the model was last trained."""
    is_learnt = trained_on is not None and trained_on >= row["reference_as_of"] + timedelta(days=row["horizon_days"])
    return tuple(_word_realised(row, Wording(language, currency), trained_on, is_learnt) for language in ("en", "zh"))


def _word_realised(row, words, trained_on, is_learnt):
    model, day, days, is_zh = (
        words.model(row["model"]),
        row["reference_as_of"],
        row["horizon_days"],
        words.language == "zh",
    )
    if row["name"] == "log_loss_over_base_rate":
        if is_zh:
            mend = f"此后已于 {trained_on} 重新训练" if is_learnt else "重新训练前请勿据此行动"
            return f"模型 {model}：{day} 给出的概率在 {days} 天内的表现不如人人相同的概率（对数损失差 {row['value']:+.4f}），{mend}"
        mend = (
            f"it was trained anew since, on {trained_on}"
            if is_learnt
            else "do not act on them until it is trained anew"
        )
        return (
            f"{model}: the chances given on {day} did worse over {days} days than the same chance for everyone"
            f" (log loss {row['value']:+.4f}): {mend}"
        )
    name = words.gap_name(row["model"], row["name"])
    foretold, came = (words.gap_value(row["name"], row[column]) for column in ("expected_value", "actual_value"))
    gap, limit, count = words.signed_share(row["value"]), words.share(row["warning_limit"], 0), f"{row['row_count']:,}"
    if is_zh:
        return f"模型 {model}：{day} 对未来 {days} 天{name}的预测为 {foretold}，实际为 {came}（偏差 {gap}，{count} 位客户，限值 {limit}）"
    return (
        f"{model}: {name} foretold on {day} for {days} days: {foretold}, {came} came true ({gap}, over {count} customers;"
        f" limit {limit})"
    )
