"""What every model hands back beside its scores: one row for ops.model_runs, rows for ops.backtests."""

import hashlib
import json
import math
from contextlib import contextmanager
from typing import NamedTuple

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
    "trained_on": pl.Date,
    "is_trained_tonight": pl.Boolean,
    "model_file": pl.String,
}

BACKTEST_SCHEMA = {
    "as_of": pl.Date,
    "model": pl.String,
    "candidate": pl.String,
    "cut_off": pl.Date,
    "horizon_days": pl.Int64,
    "metric": pl.String,
    "value": pl.Float64,
    "value_low": pl.Float64,
    "value_high": pl.Float64,
    "baseline": pl.String,
    "baseline_value": pl.Float64,
    "difference_low": pl.Float64,
    "difference_high": pl.Float64,
    "row_count": pl.Int64,
}


class Measured(NamedTuple):
    """One figure of a backtest, beside that of a baseline.

    candidate: what was measured, where a model has several (a classifier, a model of purchases). value_low, value_high: 95 %
    bootstrap interval of the value; difference_low, difference_high: of value less baseline_value, on the same draws.
    """

    metric: str
    value: float
    baseline: str
    baseline_value: float
    row_count: int
    candidate: str | None = None
    value_low: float | None = None
    value_high: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None


class NotEnoughData(ValueError):
    """A model was asked for with fewer rows than it needs; the night goes on without its scores."""

    def __init__(self, what, needs, has):
        self.what, self.needs, self.has = what, needs, has
        super().__init__(f"not enough data: {what} (needs {needs:,}, has {has:,})")


class NotAModel(ValueError):
    """What was kept of a model is no model that this code knows; it has to be trained again."""


@contextmanager
def reading_model():
    """Also a decorator: whatever is wrong with what was kept of a model is a NotAModel, in one line."""
    try:
        yield
    except KeyError as error:
        raise NotAModel(f"it lacks {error}") from None
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        raise NotAModel(str(error)) from None


def make_model_run(as_of, model, status, message, row_count, params=None, metrics=None, kept=None):
    """One row of ops.model_runs as a dict.

    status: 'used', 'held' or 'not enough data'. row_count: scored customers. params and metrics: plain dicts,
    kept as JSON text with sorted keys; a NaN or infinity becomes null. kept: what the model file is to hold where that
    is more than params (trees); it stands under "kept" until the file is written. The version is a digest of the
    parameters, until the file is written and names it.
    """
    params_text = to_json(params or {})
    digest = hashlib.sha256(params_text.encode()).hexdigest()[:12]
    return ({"kept": kept} if kept else {}) | {
        "as_of": as_of,
        "model": model,
        "version": f"{model}-{digest}",
        "status": status,
        "message": message,
        "row_count": row_count,
        "params": params_text,
        "metrics": to_json(metrics or {}),
        "trained_on": as_of,
        "is_trained_tonight": True,
        "model_file": None,
    }


def make_backtests(as_of, model, cut_off, horizon_days, rows):
    """Frame of BACKTEST_SCHEMA from tuples of Measured, or shorter ones with its first fields."""
    known = {"as_of": as_of, "model": model, "cut_off": cut_off, "horizon_days": horizon_days}
    records = [known | Measured(*row)._asdict() for row in rows]
    numbers = [name for name, kind in BACKTEST_SCHEMA.items() if kind == pl.Float64]
    return pl.DataFrame(
        [record | {name: _rounded(record[name]) for name in numbers} for record in records],
        schema=BACKTEST_SCHEMA,
    )


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
