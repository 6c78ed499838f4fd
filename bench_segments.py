"""k-means segments at scale: loss of a sample fit, mini-batches and full k-means; time and memory of fit and scoring.

Usage: python bench_segments.py [--customers 1000000]. Every measurement runs in a process of its own, so peaks are its own.
"""

import argparse
import datetime as dt
import json
import resource
import subprocess
import sys
import time

import numpy as np
import polars as pl

AS_OF = dt.date(2025, 1, 1)
COUNT = 6
SAMPLE_ROWS = 100_000


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--measure", choices=MEASURES, help="this one alone, in this process")
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.customers, arguments.seed)))
        return
    full_loss = None
    for name in MEASURES:
        command = [sys.executable, __file__, "--customers", str(arguments.customers), "--seed", str(arguments.seed)]
        done = subprocess.run([*command, "--measure", name], capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        full_loss = full_loss or found.get("loss")
        ratio = f", loss {found['loss']:.5f} ({found['loss'] / full_loss:.5f} of full)" if "loss" in found else ""
        print(
            f"{name:<12} {found['seconds']:7.1f} s (of processor time {found['cpu']:.1f}), peak {found['peak_mb']:,} MB,"
            f" {found['facts_mb']:,} MB before{ratio}"
        )


def measure(name, count, seed):
    """Seconds, processor seconds and peak MB of one way over the same simulated customers, and the loss over all."""
    facts = simulate_facts(count, seed)
    before = _peak()
    begun, cpu = time.monotonic(), time.process_time()
    done = MEASURES[name](facts, seed)
    return {
        "seconds": time.monotonic() - begun,
        "cpu": time.process_time() - cpu,
        "peak_mb": _peak(),
        "facts_mb": before,
    } | done()


def simulate_facts(count, seed):
    """Facts of customers who buy at rates of their own until they leave (Pareto/NBD-like), with baskets and habits."""
    rng = np.random.default_rng(seed)
    rate, age = rng.gamma(0.8, 0.25, count), rng.uniform(10, 156, count)
    active = np.minimum(age, rng.exponential(60, count))
    repeats = rng.poisson(rate * active * 0.5)
    last = np.where(repeats > 0, active * rng.beta(np.maximum(repeats, 1), 1), 0)
    amount = rng.lognormal(5.3, 0.6, count) * np.where(rng.random(count) < 0.1, 3, 1)
    discount = np.where(rng.random(count) < 0.3, rng.beta(4, 5, count), rng.beta(1.2, 15, count))
    channel = np.where(rng.random(count) < 0.5, 0.0, rng.random(count))
    return pl.DataFrame(
        {
            "customer_id": pl.Series(np.arange(count)).cast(pl.String).str.zfill(9),
            "order_count": 1 + repeats,
            "order_day_count": 1 + repeats,
            "recency_days": np.maximum(1, 7 * (age - last)).astype(int),
            "avg_order_amount": amount,
            "net_spend_amount": amount * (1 + repeats),
            "discount_share": discount,
            "return_share": np.where(rng.random(count) < 0.8, 0, rng.beta(1, 5, count)),
            "online_order_share": np.where(rng.random(count) < 0.6, 1.0, channel),
        }
    ).with_columns(as_of=AS_OF, is_profiling_allowed=True)


def _full(facts, seed):
    return _fit(facts, seed, len(facts))


def _sample(facts, seed):
    return _fit(facts, seed, SAMPLE_ROWS)


def _refined(facts, seed):
    return _fit(facts, seed, SAMPLE_ROWS, refine=True)


def _fit(facts, seed, rows, refine=False):
    from pipeline.models.segment_features import fit_features, make_points, select_customers
    from pipeline.models.segment_fit import fit_centres, measure_losses, refine_centres

    customers = select_customers(facts)
    drawn = customers[np.random.default_rng(seed).permutation(len(customers))[:rows]]
    # the same standard deviations for all, or their losses could not be compared
    features = fit_features(customers)
    centres = fit_centres(make_points(drawn, features), COUNT, seed)[0]
    if refine:
        centres = refine_centres(customers, features, centres, seed)[0]
    return lambda: {"loss": measure_losses(customers, features, [centres])[0]}


def _mini_batch(facts, seed):
    from sklearn.cluster import MiniBatchKMeans

    from pipeline.models.segment_features import fit_features, make_points, select_customers
    from pipeline.models.segment_fit import BATCH_ROWS, measure_losses

    customers = select_customers(facts)
    features = fit_features(customers)
    points = make_points(customers, features)
    centres = MiniBatchKMeans(COUNT, n_init=10, batch_size=BATCH_ROWS, random_state=seed).fit(points).cluster_centers_
    return lambda: {"loss": measure_losses(customers, features, [centres])[0]}


def _night(facts, seed):
    from pipeline.models.segments import run_segments

    scores, run, _ = run_segments(facts, AS_OF, seed=seed)
    loss = json.loads(run["params"])["loss"]
    return lambda: {"rows": len(scores), "losses": loss}


def _score(facts, seed):
    from pipeline.models.segments import fit_segments, score_segments

    model = fit_segments(facts[:20_000], seed=seed)
    begun, cpu = time.monotonic(), time.process_time()
    score_segments(facts, model)
    took = {"seconds": time.monotonic() - begun, "cpu": time.process_time() - cpu}
    return lambda: took


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


MEASURES = {
    "full": _full,
    "sample": _sample,
    "refined": _refined,
    "mini-batch": _mini_batch,
    "night": _night,
    "score": _score,
}

if __name__ == "__main__":
    main()
