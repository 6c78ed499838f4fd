"""Customer lifetime value of a night: the model chosen by what it foretold after a past cut-off, its scores, and how right it was."""

import numpy as np
import polars as pl

from pipeline.models import measures
from pipeline.models.expected_spend import (
    INTERVAL,
    SCHEMA,
    check_enough,
    fit_purchases,
    predict_clv,
    predict_spend,
    score_purchases,
    summarise_purchases,
)
from pipeline.models.purchase_models import MODELS, TITLES, compare
from pipeline.models.records import NotEnoughData, make_backtests, make_model_run, no_backtests


def run_clv(facts, as_of, facts_at_cut_off=None, outcomes=None, horizon_days=None, seed=20260101, kept=None):
    """Fit and score tonight's customers; backtest too when an earlier cut-off's facts and outcomes are given.

    outcomes: customer_id, order_day_count, net_spend_amount in [cut_off, cut_off + horizon_days); a customer
    who is not in it bought nothing. Returns (scores of SCHEMA sorted by customer_id, model_run dict,
    backtests frame). kept: params of an earlier night; then nothing is fitted, and they score.
    """
    if kept:
        scores = predict_clv(facts, kept, seed)
        return scores, make_model_run(as_of, "clv", "used", "", len(scores)), no_backtests()
    purchases, name, backtests = summarise_purchases(facts), next(iter(MODELS)), no_backtests()
    if not (facts_at_cut_off is None or outcomes is None or horizon_days is None):
        name, backtests = backtest_clv(facts_at_cut_off, outcomes, horizon_days, as_of, seed)
    try:
        params, metrics, notes = fit_purchases(purchases, name)
    except NotEnoughData as error:
        run = make_model_run(as_of, "clv", "not enough data", str(error), 0)
        return pl.DataFrame(schema=SCHEMA), run, no_backtests()
    scores = score_purchases(purchases, params, seed)
    message = "; ".join([f"{TITLES[name]}, fitted on {len(purchases):,} customers", *notes])
    return scores, make_model_run(as_of, "clv", "used", message, len(scores), params, metrics), backtests


def backtest_clv(facts_at_cut_off, outcomes, horizon_days, as_of, seed=20260101):
    """Fit at the cut-off, predict the horizon, compare with what happened: (model of purchases to use, ops.backtests rows).

    Baseline 'own rate': each customer goes on at x / age and the own average spend. The frame has no rows
    where the cut-off has not enough data.
    """
    purchases = summarise_purchases(facts_at_cut_off)
    try:
        check_enough(purchases)
    except NotEnoughData:
        return next(iter(MODELS)), no_backtests()
    found = purchases.select("customer_id").join(outcomes, on="customer_id", how="left", maintain_order="left")
    orders = found["order_day_count"].fill_null(0).cast(pl.Float64).to_numpy()
    spend = found["net_spend_amount"].cast(pl.Float64).fill_null(0.0).to_numpy()
    weeks = [purchases[column].to_numpy() / 7 for column in ("t_days", "age_days")]
    name, rows = compare(purchases["x"].to_numpy().astype(float), *weeks, orders, horizon_days / 7, seed)
    params, _, _ = fit_purchases(purchases, name)
    predicted = predict_spend(purchases, params, horizon_days, seed)
    x, z = purchases["x"].to_numpy(), purchases["z"].to_numpy()
    own_orders = x / np.maximum(purchases["age_days"].to_numpy(), 1) * horizon_days
    n = len(purchases)
    for what, actual, model, naive in (
        ("orders", orders, predicted["orders"], own_orders),
        ("spend", spend, predicted["amount"], own_orders * z),
    ):
        rows.append((f"{what}_total", float(model.sum()), "actual", float(actual.sum()), n))
        for measure in (
            measures.bias_share,
            measures.mae,
            measures.rmse,
            measures.correlation,
            measures.normalised_gini,
        ):
            value, own = measure(actual, model), measure(actual, naive)
            rows.append((f"{what}_{measure.__name__}", value, "own rate", own, n))
        rows.append((f"{what}_rmse", measures.rmse(actual, model), "zero", measures.rmse(actual, 0 * model), n))
        for position, (mean, happened, count) in enumerate(measures.deciles(actual, model), start=1):
            rows.append((f"{what}_decile_{position:02d}", mean, "actual", happened, count))
    for repeats in range(8):
        group = x == repeats if repeats < 7 else x >= 7
        if group.any():
            mean, happened = float(predicted["orders"][group].mean()), float(orders[group].mean())
            label = f"orders_mean_x{repeats}" + ("_or_more" if repeats == 7 else "")
            rows.append((label, mean, "actual", happened, int(group.sum())))
    covered = float(np.mean((spend >= predicted["low"]) & (spend <= predicted["high"])))
    rows.append(("spend_interval_coverage", covered, "nominal", INTERVAL[1] - INTERVAL[0], n))
    cut_off = purchases["as_of"][0]
    return name, make_backtests(as_of, "clv", cut_off, horizon_days, rows)
