"""Customer lifetime value of a night: the models chosen by what they foretold at past cut-offs, the scores, and how right they were."""

import numpy as np
import polars as pl

from pipeline.models.clv_backtest import (
    HORIZONS,
    QUANTITIES,
    fit_challenger,
    foretell,
    select_customers,
)
from pipeline.models.clv_checks import check_belief
from pipeline.models.clv_measures import measure_forecast
from pipeline.models.expected_spend import SCHEMA, fit_purchases, order_horizons, score_purchases, summarise_purchases
from pipeline.models.purchase_models import (
    BASELINES,
    MODELS,
    TITLES,
    pool_rows,
    race_forecasts,
    say_gain,
    say_race,
    stretch,
)
from pipeline.models.records import NotEnoughData, make_backtests, make_model_run, no_backtests
from pipeline.models.spend_boosting import (
    BASE_DAYS,
    describe,
    predict_horizon,
    predict_mean,
    spend_model_from_dict,
    spend_model_to_dict,
)

# one past cut-off may be a lucky season
MIN_ORIGINS = 2
# the columns of SCHEMA that a quantity over a horizon fills
COLUMNS = {
    "orders": ("expected_orders_{}d", "expected_orders_{}d_low", "expected_orders_{}d_high"),
    "spend": ("clv_{}d_amount", "clv_{}d_low", "clv_{}d_high"),
}


def run_clv(facts, as_of, past=None, in_use=None, seed=20260101, discount_rate_yearly=0.0, kept=None):
    """Fit and score tonight's customers by the models that did best at past cut-offs.

    past: facts at past cut-offs (column as_of) with orders_next_90d, spend_next_90d, orders_next_365d, spend_next_365d, each null
    where its window had not passed by tonight; None without history. in_use: `used` of the params of the last run that was used.
    kept: what the model file of an earlier night holds; then nothing is fitted, and it scores. Returns (scores of SCHEMA sorted by
    customer_id, no rows unless the status is 'used'; model_run dict; backtests frame). Where the challenger is in use the
    run holds under "kept" what its params lack: the trees.
    """
    purchases = summarise_purchases(facts)
    if kept:
        scores = score_clv(facts, purchases, kept, seed, discount_rate_yearly)
        return scores, make_model_run(as_of, "clv", "used", "", len(scores)), no_backtests()
    used, judged, backtests = backtest_clv(past, as_of, in_use, seed)
    try:
        params, metrics, notes = fit_purchases(purchases, used["purchases"])
    except NotEnoughData as error:
        run = make_model_run(as_of, "clv", "not enough data", str(error), 0)
        return pl.DataFrame(schema=SCHEMA), run, no_backtests()
    params["used"], challenger = used, None
    if "boosting" in used.values():
        challenger, _ = fit_challenger(select_customers(past), params, seed)
        params["boosting"] = describe(challenger)
    trained = params | ({"challenger": spend_model_to_dict(challenger)} if challenger else {})
    scores = score_clv(facts, purchases, trained, seed, discount_rate_yearly)
    status, doubts = check_belief(used["purchases"], metrics, purchases, scores)
    if status == "held" or None in used.values():
        status, scores = "held", scores.clear()
    fitted = f"{TITLES[used['purchases']]}, fitted on {len(purchases):,} customers"
    message = "; ".join([fitted, *doubts, *judged, *notes])
    run = make_model_run(as_of, "clv", status, message, len(scores), params, metrics)
    return scores, run | ({"kept": trained} if challenger else {}), backtests


def score_clv(facts, purchases, trained, seed, discount_rate_yearly):
    """Scores of SCHEMA by what a training left: params of the run, with the trees under 'challenger' where it is in use."""
    scores = score_purchases(purchases, trained, seed, discount_rate_yearly)
    if "challenger" not in trained:
        return scores
    challenger = spend_model_from_dict(trained["challenger"])
    return put_in_challenger(scores, facts, purchases, trained, challenger)


def put_in_challenger(scores, facts, purchases, params, challenger):
    """Scores with the challenger's figures where it is in use: expectation, interval and discounted amount.

    The other figures stay, but for those of a year that its first 90 days exceed (order_horizons).
    """
    used = params["used"]
    means, columns = predict_mean(select_customers(facts), challenger), {}
    for days in HORIZONS:
        ratio = 1.0 if days == BASE_DAYS else stretch(params, purchases, days, BASE_DAYS)
        figures = predict_horizon(challenger, means, ratio, days)
        for quantity, names in COLUMNS.items():
            if used.get(f"{quantity}_{days}d") == "boosting":
                for name, figure in zip(names, QUANTITIES[quantity], strict=True):
                    columns[name.format(days)] = figures[figure]
    whole = scores["clv_365d_amount"].to_numpy()
    worth = scores["clv_365d_discounted_amount"].to_numpy() / np.where(whole > 0, whole, 1.0)
    worth = pl.Series(np.where(whole > 0, worth, 1.0))
    scores = scores.with_columns(pl.Series(name, values).round(6) for name, values in columns.items())
    scores = order_horizons(scores)
    year = pl.col("clv_365d_amount")
    return scores.with_columns(
        clv_365d_discounted_amount=(year * worth).round(6),
        margin_365d_amount=(year * pl.col("margin_share")).round(6),
    )


def backtest_clv(past, as_of, in_use=None, seed=20260101):
    """Hold every candidate to what came after past cut-offs: (used, words on it, ops.backtests rows).

    used: which model gives what: 'purchases' (p_alive, and the orders and spend that the challenger does not give), and for each
    figure orders_90d, spend_90d, orders_365d, spend_365d that model's name or 'boosting'; None where nothing beats the baselines. The
    model in use stays unless beaten (purchase_models.race), or judged at one origin only. A figure whose window has not passed
    since any cut-off is that of the model of purchases.
    """
    in_use = in_use or {}
    first = in_use.get("purchases") or next(iter(MODELS))
    used = {"purchases": first} | {f"{quantity}_{days}d": first for days in HORIZONS for quantity in QUANTITIES}
    if past is None or past.is_empty():
        return used, ["not judged: no past cut-off whose 90 days have passed"], no_backtests()
    forecasts, words = foretell(select_customers(past), seed, first)
    quarter = [forecast for forecast in forecasts if forecast.days == BASE_DAYS]
    if not quarter:
        words.append("not judged: no past cut-off with enough customers whose 90 days have passed")
        return used, words, no_backtests()
    is_open = len(quarter) >= MIN_ORIGINS
    if not is_open:
        words.append(f"judged at one past cut-off (needs {MIN_ORIGINS} to replace a model): nothing is replaced")

    # the model in use comes first: it keeps its place unless it cannot run at all
    timing = [name for name in dict.fromkeys([first, *MODELS]) if all(name in said.candidates for said in quarter)]
    if not timing:
        words.append("not judged: no model of purchases has figures at every past cut-off")
        return used, words, no_backtests()
    result = race_forecasts(quarter, "orders", timing, first, seed, is_open=is_open)
    frames = [make_backtests(as_of, "clv", quarter[0].cut_off, BASE_DAYS, pool_rows("orders", result))]
    used["purchases"] = result.champion
    if first not in timing:
        words.append(
            f"{TITLES[result.champion]} stands in for {TITLES[first]}, which has no figures at some past cut-off"
        )
    elif result.champion != first:
        words.append(f"{TITLES[result.champion]} replaces {TITLES[first]} ({say_gain(result, result.champion)})")
    is_challenged = is_open and sum("boosting" in forecast.candidates for forecast in quarter) >= MIN_ORIGINS
    for days in HORIZONS:
        asked = [forecast for forecast in forecasts if forecast.days == days]
        judged = [forecast for forecast in asked if used["purchases"] in forecast.candidates]
        if not judged:
            lacking = f"at which {TITLES[used['purchases']]} has figures"
            lacking = lacking if asked else "with as many days of orders before and after it"
            words.append(f"{days} days not judged: no past cut-off {lacking}")
        for quantity in QUANTITIES:
            figure = f"{quantity}_{days}d"
            used[figure] = used["purchases"]
            if judged:
                shared = [forecast for forecast in judged if is_challenged and "boosting" in forecast.candidates]
                names = [used["purchases"], *(["boosting"] if shared else [])]
                result = race_forecasts(shared or judged, quantity, names, in_use.get(figure), seed, BASELINES)
                used[figure] = result.champion
                words.append(f"{quantity} of {days} days: {say_race(result, len(shared or judged))}")
                rows = pool_rows(quantity, result)
                frames.append(make_backtests(as_of, "clv", judged[0].cut_off, days, rows))
    for forecast in forecasts:
        rows = measure_forecast(forecast, used, seed)
        frames.append(make_backtests(as_of, "clv", forecast.cut_off, forecast.days, rows))
    return used, words, pl.concat(frames)
