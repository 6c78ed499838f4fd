"""Facts -> scores and tags."""

import json

import polars as pl

from pipeline import ops
from pipeline.models.churn import run_churn
from pipeline.models.clv import run_clv
from pipeline.models.records import BACKTEST_SCHEMA, MODEL_RUN_SCHEMA
from pipeline.models.rfm import run_rfm
from pipeline.models.segments import run_segments
from pipeline.steps.drifting import drift
from pipeline.steps.training_sets import churn_windows, clv_backtest
from pipeline.tags.build import build_tags
from pipeline.transform.build import model_facts
from pipeline.warehouse import (
    frame,
    has_table,
    value,
    write_frame,
)

MODEL_STATUS_ZH = {"held": "暂不使用", "not enough data": "数据不足"}


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
    keep("clv", run_clv(tonight, as_of, *clv_backtest(night), seed=settings.seed))
    windows = churn_windows(night)
    keep("churn", run_churn(tonight, as_of, *windows, settings.churn_horizon_days, settings.seed))
    ops.append_history(con, "model_runs", pl.DataFrame(runs, MODEL_RUN_SCHEMA), as_of, night.previous)
    ops.append_history(con, "backtests", pl.concat(backtests), as_of, night.previous)
    drift(night, {"churn": (windows[0], tonight)}, report)
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
