"""Population stability: how far the shares of a feature or score tonight are from those of the training window.

PSI = sum over bins of (share tonight - share then) x ln(share tonight / share then). Siddiqi, Credit Risk Scorecards (2006), gives the
usual reading: below 0.1 no change, from 0.25 a large one. The rule of thumb knows no sample size: Yurdakul & Naranjo, "Statistical
properties of the population stability index" (Journal of Risk Model Validation, 2020), show that without any change the PSI of n and m
rows in B bins is about (1/n + 1/m) times chi-squared with B - 1 degrees of freedom, 0.2 on average for 100 rows against 100 in 11
bins. So a PSI is told only beyond what chance gives.

Bins are the deciles of the training window; a value that fills a whole decile (zero orders, say) is a bin of its own, so that moves
to either side of it show. Categories are bins, those rarer than 1 % and those never seen are one bin together. A missing value is a
bin.
"""

import numpy as np
import polars as pl
from scipy.stats import chi2

# what a share is at least, so that a bin empty then or now does not make the sum infinite
SMALLEST_SHARE = 0.001
SMALLEST_CATEGORY = 0.01
MAX_CATEGORIES = 30
WATCH_FROM = 0.1
# chance of one false alarm among all that is compared for a model in a night, were nothing else to move
FALSE_ALARMS = 0.01
# with fewer, chi-squared is too kind to the logarithm: 7 % false alarms at 100 rows against 100, 1 to 2 % from 200 on
MIN_ROWS = 200
# shares of so many are as good as those of all
SAMPLE_ROWS = 200_000

OK, WATCH, WARNING, TOO_FEW, NOT_YET, SHOWN = "ok", "watch", "warning", "too few", "not yet", "shown"
# watched, not warned of: sums since a customer's first day, which grow as the shop grows older (the same sums over the last days do
# warn), and days since an interaction, which hang on when the last campaign went out (moved on 4 of 6 quiet nights of the demo shop)
WATCHED = frozenset(
    (
        "tenure_days",
        "order_count",
        "order_day_count",
        "net_spend_amount",
        "repeat_day_spend_amount",
        "age_days",
        "t_days",
        "item_count",
        "return_count",
        "cancelled_order_count",
        "ticket_count",
        "complaint_count",
        "feedback_count",
        "interaction_count",
        "campaign_count",
        "days_since_interaction",
    )
)
DRIFT_SCHEMA = {
    "as_of": pl.Date,
    "model": pl.String,
    "version": pl.String,
    "kind": pl.String,
    "name": pl.String,
    "horizon_days": pl.Int64,
    "value": pl.Float64,
    "value_low": pl.Float64,
    "value_high": pl.Float64,
    "expected_value": pl.Float64,
    "actual_value": pl.Float64,
    "warning_limit": pl.Float64,
    "status": pl.String,
    "reference_as_of": pl.Date,
    "row_count": pl.Int64,
    "reference_count": pl.Int64,
}
REFERENCE_SCHEMA = {
    "as_of": pl.Date,
    "model": pl.String,
    "version": pl.String,
    "kind": pl.String,
    "name": pl.String,
    "reference_as_of": pl.Date,
    "bins": pl.String,
    "counts": pl.String,
    "row_count": pl.Int64,
}


def make_bins(column):
    """Bins of a Polars series as a plain dict: {'edges': [...]} of numbers and booleans, {'levels': [...]} of texts.

    Bin k holds edges[k - 1] < value <= edges[k]; the last is for missing values. Of levels, the last two are for the others and
    for missing values.
    """
    known = column.drop_nulls()
    if column.dtype in (pl.String, pl.Categorical, pl.Enum):
        counts = known.cast(pl.String).value_counts().sort("count", known.name, descending=[True, False])
        common = counts.filter(pl.col("count") >= SMALLEST_CATEGORY * len(column))
        return {"levels": common[known.name].head(MAX_CATEGORIES).to_list()}
    values = _numbers(known)
    values = np.sort(values[np.isfinite(values)])
    if len(values) == 0:
        return {"edges": []}
    tenths = [values[-(-k * len(values) // 10) - 1] for k in range(1, 10)]
    alone = [value for value, next_one in zip(tenths, tenths[1:], strict=False) if value == next_one]
    return {"edges": sorted({float(value) for value in tenths} | {float(np.nextafter(v, -np.inf)) for v in alone})}


def count_bins(column, bins):
    """Rows of a series in each bin of make_bins: int array. NaN and infinity are missing values."""
    if "levels" in bins:
        texts = column.cast(pl.String)
        places = {level: place for place, level in enumerate(bins["levels"])}
        others, missing = len(places), len(places) + 1
        found = texts.replace_strict(places, default=others, return_dtype=pl.Int64).to_numpy()
        found = np.where(texts.is_null().to_numpy(), missing, found)
        return np.bincount(found, minlength=missing + 1)
    edges = np.array(bins["edges"])
    values = _numbers(column)
    found = np.searchsorted(edges, values, side="left")
    found = np.where(np.isfinite(values), found, len(edges) + 1)
    return np.bincount(found, minlength=len(edges) + 2)


def psi(counts_then, counts_now):
    """Population stability index of two arrays of counts over the same bins; NaN where either has no row."""
    then, now = np.asarray(counts_then, float), np.asarray(counts_now, float)
    if then.sum() == 0 or now.sum() == 0:
        return float("nan")
    then, now = (np.maximum(counts / counts.sum(), SMALLEST_SHARE) for counts in (then, now))
    return float(np.sum((now - then) * np.log(now / then)))


def chance_limit(counts_then, counts_now, comparisons=1):
    """What the PSI of two samples of one population stays under, but in FALSE_ALARMS of the nights, with so many comparisons a night."""
    then, now = np.asarray(counts_then), np.asarray(counts_now)
    bins = int(np.sum((then > 0) | (now > 0)))
    if bins < 2:
        return 0.0
    return float((1 / then.sum() + 1 / now.sum()) * chi2.ppf(1 - FALSE_ALARMS / comparisons, bins - 1))


def make_reference(rows, names):
    """{name: {'bins': ..., 'counts': [...]}} of the columns of a frame that are there: plain numbers and strings, no row of anybody."""
    made, rows = {}, _thin(rows)
    for name in names:
        if name in rows.columns:
            bins = make_bins(rows[name])
            made[name] = {"bins": bins, "counts": count_bins(rows[name], bins).tolist()}
    return made


def compare(reference, rows, psi_warning):
    """Tonight's rows against a reference: list of dicts name, value, warning_limit, status, row_count, reference_count.

    Features of WATCHED are watched at most. A feature that is not there any more counts as missing. With fewer than MIN_ROWS rows
    on either side nothing is judged.
    """
    found, count, rows = [], len(rows), _thin(rows)
    for name, then in sorted(reference.items()):
        column = rows[name] if name in rows.columns else pl.Series(name, [None] * len(rows), dtype=pl.Float64)
        counts = count_bins(column, then["bins"])
        before = sum(then["counts"])
        row = {"name": name, "value": None, "warning_limit": None, "row_count": count, "reference_count": before}
        if min(before, count) < MIN_ROWS:
            found.append(row | {"status": TOO_FEW})
            continue
        value, chance = psi(then["counts"], counts), chance_limit(then["counts"], counts, len(reference))
        limit = max(psi_warning, chance)
        status = WATCH if value >= min(limit, max(WATCH_FROM, chance)) else OK
        if value >= limit and name not in WATCHED:
            status = WARNING
        found.append(row | {"value": value, "warning_limit": limit, "status": status})
    return found


def _thin(rows):
    return rows.gather_every(-(-len(rows) // SAMPLE_ROWS)) if len(rows) > SAMPLE_ROWS else rows


def _numbers(column):
    return column.cast(pl.Float64).to_numpy().astype(float)
