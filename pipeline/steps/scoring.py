"""Facts -> scores and tags."""

import json

import polars as pl

from pipeline import ops
from pipeline.model_messages import word_return, word_status
from pipeline.model_names import MODELS
from pipeline.models import churn, contract_churn, expected_spend, next_purchase, rfm, segments
from pipeline.models.churn import run_churn
from pipeline.models.churn_reasons import NAMED
from pipeline.models.clv import run_clv
from pipeline.models.contract_churn import run_contract_churn
from pipeline.models.next_purchase import run_next_purchase
from pipeline.models.records import BACKTEST_SCHEMA, MODEL_RUN_SCHEMA
from pipeline.models.segment_watch import read_warnings
from pipeline.models.segments import run_segments
from pipeline.steps.drifting import drift, newest_cut_offs
from pipeline.steps.rfm_scores import run_rfm_of_night
from pipeline.steps.training_nights import run_model, write_trainings
from pipeline.steps.training_sets import churn_windows, clv_past, contract_windows, purchase_windows
from pipeline.tags.build import build_tags
from pipeline.tags.migrations import build_migrations
from pipeline.transform.build import model_facts
from pipeline.warehouse import (
    frame,
    has_table,
    value,
    write_frame,
)


def score(night, report):
    """RFM, segments, lifetime value, churn, the next purchase and, where there are subscriptions, churn of contracts."""
    con, as_of, settings = night.con, night.as_of, night.settings
    con.execute("create schema if not exists scores")
    tonight = name_values(frame(con, model_facts("marts.customer_facts") + " order by customer_id"), night.catalogue)
    runs, backtests = [night.horizon_run], [pl.DataFrame(schema=BACKTEST_SCHEMA)]
    if night.horizon_run["status"] != "used":
        night.warn(*word_status("horizon", night.horizon_run["status"], night.horizon_run["message"]))

    def keep(table, schema, model, is_every_night=False):
        scores, run, tested = run_model(night, table, schema, model, is_every_night)
        write_frame(con, f"scores.{table}", scores)
        runs.append(run)
        backtests.append(tested)
        report(f"scores.{table}: {run['status']}", len(scores))
        if run["status"] != "used":
            night.warn(*word_status(run["model"], run["status"], run["message"]))
        elif (before := night.runs_before.get(table, {}).get("status", "used")) != "used":
            night.warn(*word_return(run["model"], before))
        return run

    # each is given what its model file holds on nights that only score, None to train
    keep("rfm", rfm.SCHEMA, lambda kept: run_rfm_of_night(night, tonight), is_every_night=True)
    before, jumps = _last_params(night, "segments"), (settings.segment_jump_limit, settings.hold_segment_jumps)
    run = keep(
        "segments", segments.SCHEMA, lambda kept: run_segments(tonight, as_of, before, settings.seed, kept, *jumps)
    )
    for english, chinese in read_warnings(run):
        night.warn(f"{MODELS['segments'][0]}: {english}", f"模型 {MODELS['segments'][1]}：{chinese}")
    past, used, rate = clv_past(night), (_last_params(night, "clv") or {}).get("used"), settings.discount_rate_yearly
    keep("clv", expected_spend.SCHEMA, lambda kept: run_clv(tonight, as_of, past, used, settings.seed, rate, kept))

    looked_at = {"segments": (None, tonight), "clv": (None, tonight)}

    def foretell(name, schema, run, windows, bands, *horizon):
        # the final fit learns from all but the newest cut-off; three models' training sets would fill the memory until then
        looked_at[name] = (newest_cut_offs(pl.concat(windows[:2])), tonight)
        before, last = night.runs_before.get(name, {}), _last_bands(night, name, bands)
        in_use = json.loads(before["params"]).get("classifier") if before.get("status") == "used" else None
        keep(name, schema, lambda kept: run(tonight, as_of, *windows, *horizon, settings.seed, in_use, last, kept))

    days = night.horizon_days
    foretell("churn", churn.SCHEMA, run_churn, churn_windows(night), "churn_band", days)
    foretell("next_purchase", next_purchase.SCHEMA, run_next_purchase, purchase_windows(night), "purchase_band")
    if value(con, "select subscriptions from delivered"):
        windows = contract_windows(night)
        foretell("contract_churn", contract_churn.SCHEMA, run_contract_churn, windows, "churn_band", days)
    else:
        # the report says that no source delivers subscriptions; tags read the table all the same
        write_frame(con, "scores.contract_churn", pl.DataFrame(schema=contract_churn.SCHEMA))
    write_trainings(night)
    ops.append_history(con, "model_runs", pl.DataFrame(runs, MODEL_RUN_SCHEMA), as_of, night.previous)
    ops.append_history(con, "backtests", pl.concat(backtests), as_of, night.previous)
    drift(night, looked_at, report)
    return value(con, "select count(*) from scores.rfm")


def name_values(facts, catalogue):
    """Facts plus what reasons call the codes of NAMED: as the tags do, else the code itself."""
    names = {column: catalogue.value_names(column) for column in NAMED if column in facts.columns}
    return facts.with_columns(
        pl.col(column)
        .cast(pl.String)
        .replace({code: pair[place] for code, pair in known.items()})
        .alias(column + ending)
        for column, known in names.items()
        for place, ending in enumerate(("_name", "_name_zh"))
    )


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


def _last_bands(night, table, band):
    """customer_id and band of the night before, or None."""
    # the state of a later night must not tell of it
    if not (night.is_previous_earlier and has_table(night.con, "previous", "scores", table)):
        return None
    return frame(night.con, f"select customer_id, {band} from previous.scores.{table} order by customer_id")


def tag(night, report):
    """Dated tags from facts and scores."""
    history = "previous.tags.tag_history" if night.previous else None
    of_companies = "previous.tags.company_tag_history"
    # a night of an earlier version of this pipeline knew no companies
    if not (night.previous and has_table(night.con, "previous", "tags", "company_tag_history")):
        of_companies = None
    con = night.con
    counts = build_tags(con, night.catalogue, night.as_of, history, report, of_companies)
    for name, count in counts.items():
        report(name, count)
    nights = con.execute("select distinct as_of from ops.model_runs where as_of < ?", (night.as_of,)).fetchall()
    report("tags.tag_migrations", build_migrations(con, night.as_of, [day for (day,) in nights]))
    return counts["customer_tags"]
