"""make bench-models: seconds and memory of the models on any number of simulated customers, beside a peer where its Python is given.

--side nightly times RFM, k-means segments and churn (fitted on 50,000 customers) in place of lifetime value.

Lifetime value (BG/NBD r .243, alpha 4.414, a .793, b 2.426; whole days) against lifetimes or pymc-marketing, each side in a fresh
process on the same file: fit BG/NBD and Gamma-Gamma, then for everybody the chance of being a customer still, expected purchases
in 90 days and expected spend in 365. What ours does beyond that (80 % intervals, discounting, the frame of scores) is timed apart.

    python -m venv peer && peer/bin/pip install lifetimes==0.11.3 "pandas<2" "numpy<1.25" "scipy<1.12"
    python bench_models.py --customers 1000000 --peer-python peer/bin/python
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np

LAW = {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426}
SPEND = {"p": 6.25, "q": 3.74, "gamma": 15.44}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--peer", default="lifetimes", choices=["lifetimes", "pymc_marketing"])
    parser.add_argument("--peer-python", help="a Python that has the peer")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", choices=SIDES, default="ours")
    parser.add_argument("--file", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.file:
        print(json.dumps(SIDES[arguments.side](np.load(arguments.file)) | {"peak MB": round(_peak())}))
        return
    with tempfile.TemporaryDirectory(prefix="bench-models-") as folder:
        path = Path(folder) / "customers.npz"
        np.savez(path, **_simulate(arguments.customers, 1))
        best = {}
        # in turns, so that a busy minute of the machine falls on both
        for _ in range(arguments.repeats):
            for side, python in ((arguments.side, sys.executable), (arguments.peer, arguments.peer_python)):
                if python:
                    found = _measure(python, side, path)
                    best[side] = min(best.get(side, found), found, key=lambda one: one["seconds"])
        data = dict(np.load(path))
    for side, found in best.items():
        if "params" in found:
            found["log-likelihood"] = _likelihoods(found.pop("params"), found.pop("spend"), data)
        print(f"{side}, {arguments.customers:,} customers, best of {arguments.repeats}: {json.dumps(found)}")
    if arguments.peer in best:
        times = [best[arguments.peer][name] / best["ours"][name] for name in ("seconds", "seconds CPU")]
        print("{:.1f} times as fast at the same work, {:.1f} by CPU time".format(*times))


def _measure(python, side, path):
    command = [python, __file__, "--side", side, "--file", str(path)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def _likelihoods(timing, spend, data):
    """Both sides' parameters by one formula: lifetimes tells the likelihood of times that it has scaled."""
    from pipeline.models import bgnbd, gamma_gamma

    bought = data["x"] > 0
    return [
        round(bgnbd.log_likelihood(timing, data["x"], data["t_days"] / 7, data["age_days"] / 7), 3),
        round(gamma_gamma.log_likelihood(spend, data["x"][bought], data["z"][bought]), 3),
    ]


def _simulate(customers, seed):
    """x, t_days, age_days, z of customers who began in the last two years."""
    from pipeline.models import bgnbd

    rng = np.random.default_rng(seed)
    age = rng.integers(1, 730, customers)
    x, t_x = bgnbd.simulate(LAW, age / 7, seed)
    t_days = np.where(x > 0, np.clip(np.round(t_x * 7), 1, age), 0).astype(np.int64)
    x = np.minimum(x, t_days).astype(np.int64)
    scale = rng.gamma(SPEND["q"], 1 / SPEND["gamma"], customers)
    z = np.where(x > 0, rng.gamma(SPEND["p"] * np.maximum(x, 1), 1 / scale) / np.maximum(x, 1), 0.0)
    return {"x": x, "t_days": t_days, "age_days": age.astype(np.int64), "z": z}


def _ours(data):
    import polars as pl

    from pipeline.models import expected_spend

    count = len(data["x"])
    ids = pl.int_range(count, eager=True).cast(pl.String).str.zfill(9)
    costs = {name: np.full(count, np.nan) for name in expected_spend.COSTS}
    purchases = pl.DataFrame(
        {"customer_id": ids, **data, "net_spend": data["x"] * data["z"] + 30, **costs}
    ).with_columns(as_of=pl.date(2026, 1, 1))
    clock = _Clock()
    params, _, _ = expected_spend.fit_purchases(purchases, "bgnbd")
    clock.lap("fit")
    quarter = expected_spend.expect_spend(purchases, params, 90)
    year = expected_spend.expect_spend(purchases, params, 365)
    clock.lap("expect")
    told = _told(clock, params["bgnbd"], params["gamma_gamma"], quarter["orders"], year["amount"])
    clock = _Clock()
    expected_spend.score_purchases(purchases, params, 1, 0.1)
    clock.lap("whole scoring with intervals")
    return told | clock.laps


def _lifetimes(data):
    import pandas as pd
    from lifetimes import BetaGeoFitter, GammaGammaFitter

    frame = pd.DataFrame({"x": data["x"], "t": data["t_days"] / 7, "age": data["age_days"] / 7, "z": data["z"]})
    clock = _Clock()
    timing = BetaGeoFitter().fit(frame["x"], frame["t"], frame["age"])
    repeaters = frame[frame["x"] > 0]
    spend = GammaGammaFitter().fit(repeaters["x"], repeaters["z"])
    clock.lap("fit")
    timing.conditional_probability_alive(frame["x"], frame["t"], frame["age"])
    ahead = [
        timing.conditional_expected_number_of_purchases_up_to_time(days / 7, frame["x"], frame["t"], frame["age"])
        for days in (90, 365)
    ]
    amount = ahead[1] * spend.conditional_expected_average_profit(frame["x"], frame["z"])
    clock.lap("expect")
    return _told(clock, timing.params_, dict(spend.params_) | {"gamma": spend.params_["v"]}, ahead[0], amount)


def _pymc_marketing(data):
    import pandas as pd
    from pymc_marketing.clv import BetaGeoModel, GammaGammaModel

    frame = pd.DataFrame(
        {
            "customer_id": np.arange(len(data["x"])),
            "frequency": data["x"],
            "recency": data["t_days"] / 7,
            "T": data["age_days"] / 7,
            "monetary_value": data["z"],
        }
    )
    clock = _Clock()
    timing = BetaGeoModel(frame.drop(columns="monetary_value"))
    timing.fit(method="map", progressbar=False)
    spend = GammaGammaModel(frame[frame["frequency"] > 0])
    spend.fit(method="map", progressbar=False)
    clock.lap("fit")
    timing.expected_probability_alive(frame)
    ahead = [timing.expected_purchases(frame, future_t=days / 7).mean(("chain", "draw")).values for days in (90, 365)]
    amount = ahead[1] * spend.expected_customer_spend(frame).mean(("chain", "draw")).values
    clock.lap("expect")
    found = [
        {name: float(model.idata.posterior[name].mean()) for name in names}
        for model, names in ((timing, LAW), (spend, {"p": 0, "q": 0, "v": 0}))
    ]
    return _told(clock, found[0], found[1] | {"gamma": found[1]["v"]}, ahead[0], amount)


def _nightly(data):
    """RFM, segments and churn of as many customers, on facts of the columns that they read."""
    import polars as pl

    from pipeline.models.churn import run_churn
    from pipeline.models.rfm import run_rfm
    from pipeline.models.segments import run_segments

    as_of, horizon = date(2026, 1, 1), 90
    facts = _simulate_facts(data, as_of, 1)
    past = [
        _simulate_facts(
            {name: column[:50_000] for name, column in data.items()}, as_of - timedelta(horizon * back), back
        )
        for back in (3, 2, 1)
    ]
    labelled = []
    for frame in past:
        chance = 1 / (1 + np.exp(1.5 - 3 * (frame["recency_days"] / horizon).to_numpy()))
        is_churned = np.random.default_rng(9).random(len(frame)) < chance
        labelled.append(frame.with_columns(is_churned=pl.Series(is_churned)).filter(pl.col("recency_days") <= horizon))
    clock, sizes = _Clock(), {}
    for name, run in (
        ("rfm", lambda: run_rfm(facts, as_of)),
        ("segments", lambda: run_segments(facts, as_of, seed=1)),
        ("churn", lambda: run_churn(facts, as_of, *labelled, horizon_days=horizon, seed=1)),
    ):
        scores, told, _ = run()
        clock.lap(name)
        sizes[f"{name} rows"] = f"{len(scores):,} {told['status']}"
    return clock.told() | sizes


def _simulate_facts(data, as_of, seed):
    import polars as pl

    from pipeline.models.churn_reasons import CATEGORICAL, NUMERIC

    rng = np.random.default_rng(seed)
    count, busy = len(data["x"]), rng.gamma(1.0, 1.0, len(data["x"]))
    recency = np.minimum(data["age_days"] - data["t_days"] + 1, rng.integers(1, 300, count))
    columns = {"customer_id": pl.int_range(count, eager=True).cast(pl.String).str.zfill(9)}
    for name in NUMERIC:
        if name.endswith("_share") or "share_" in name:
            columns[name] = rng.random(count)
        elif name.endswith("_amount") or name.startswith("avg_"):
            columns[name] = (rng.lognormal(4, 1, count) * (1 + busy)).round(2)
        else:
            columns[name] = rng.poisson(3 * busy)
    for name in CATEGORICAL:
        columns[name] = pl.Series(rng.integers(0, 8, count)).cast(pl.String)
    columns |= {"order_count": data["x"] + 1, "order_day_count": data["x"] + 1, "recency_days": recency}
    frame = pl.DataFrame(columns).with_columns(
        as_of=pl.lit(as_of),
        is_profiling_allowed=True,
        last_order_on=pl.lit(as_of) - pl.duration(days=pl.col("recency_days")),
    )
    return frame.with_columns(
        first_order_on=pl.col("last_order_on") - pl.duration(days=pl.Series(data["t_days"])),
        repeat_day_spend_amount=pl.col("net_spend_amount") / 2,
    )


SIDES = {"nightly": _nightly, "ours": _ours, "lifetimes": _lifetimes, "pymc_marketing": _pymc_marketing}


class _Clock:
    def __init__(self):
        self.laps, self.begun, self.busy = {}, time.perf_counter(), time.process_time()

    def lap(self, name):
        now, busy = time.perf_counter(), time.process_time()
        self.laps |= {name: round(now - self.begun, 3), f"{name} CPU": round(busy - self.busy, 3)}
        self.begun, self.busy = now, busy

    def told(self):
        """Seconds of each lap and of all, and the CPU seconds of them: what a busy machine does not change."""
        total = {
            ending: sum(lap for name, lap in self.laps.items() if name.endswith(" CPU") == bool(ending))
            for ending in ("", " CPU")
        }
        return self.laps | {"seconds": round(total[""], 3), "seconds CPU": round(total[" CPU"], 3)}


def _told(clock, timing, spend, orders, amount):
    return {
        **clock.told(),
        "params": {name: float(timing[name]) for name in LAW},
        "spend": {name: float(spend[name]) for name in SPEND},
        "orders 90d": round(float(np.sum(orders)), 1),
        "spend 365d": round(float(np.sum(amount)), 1),
    }


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
