"""What every model hands back beside its scores: one row for ops.model_runs, rows for ops.backtests."""

import hashlib
import json
import math

import polars as pl

MODEL_RUN_SCHEMA = {
    "as_of": pl.Date,
    "model": pl.String,
    "version": pl.String,
    "status": pl.String,
    "message": pl.String,
    "row_count": pl.Int64,
    "params": pl.String,
    "metrics": pl.String,
}

BACKTEST_SCHEMA = {
    "as_of": pl.Date,
    "model": pl.String,
    "cut_off": pl.Date,
    "horizon_days": pl.Int64,
    "metric": pl.String,
    "value": pl.Float64,
    "baseline": pl.String,
    "baseline_value": pl.Float64,
    "row_count": pl.Int64,
}


class NotEnoughData(ValueError):
    """A model was asked for with fewer rows than it needs; the night goes on without its scores."""

    def __init__(self, what, needs, has):
        self.what, self.needs, self.has = what, needs, has
        super().__init__(f"not enough data: {what} (needs {needs:,}, has {has:,})")


def make_model_run(as_of, model, status, message, row_count, params=None, metrics=None):
    """One row of ops.model_runs as a dict.

    status: 'used', 'held' or 'not enough data'. row_count: scored customers. params and metrics: plain dicts,
    kept as JSON text with sorted keys; a NaN or infinity becomes null. The version is a digest of the
    parameters: the same parameters are the same version, whenever they were fitted.
    """
    params_text = to_json(params or {})
    digest = hashlib.sha256(params_text.encode()).hexdigest()[:12]
    return {
        "as_of": as_of,
        "model": model,
        "version": f"{model}-{digest}",
        "status": status,
        "message": message,
        "row_count": row_count,
        "params": params_text,
        "metrics": to_json(metrics or {}),
    }


def make_backtests(as_of, model, cut_off, horizon_days, rows):
    """Frame of BACKTEST_SCHEMA from tuples (metric, value, baseline, baseline_value, row_count)."""
    records = [
        (
            as_of,
            model,
            cut_off,
            horizon_days,
            metric,
            _rounded(value),
            baseline,
            _rounded(baseline_value),
            row_count,
        )
        for metric, value, baseline, baseline_value, row_count in rows
    ]
    return pl.DataFrame(records, schema=BACKTEST_SCHEMA, orient="row")


def no_backtests():
    """Frame of BACKTEST_SCHEMA without rows."""
    return pl.DataFrame(schema=BACKTEST_SCHEMA)


def to_json(value):
    """JSON text with sorted keys; numbers that JSON cannot hold become null."""
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False, allow_nan=False)


def _plain(value):
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _rounded(value):
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), 6)
