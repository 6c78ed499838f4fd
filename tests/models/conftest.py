"""Builders of customer facts, hand-made and from CDNOW."""

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipeline.model_messages import find_untranslated
from pipeline.models import clv, event_scores, rfm, segments
from pipeline.models import horizon as churn_horizon

DATA = Path(__file__).parents[2].parent / "shared" / "data"
AS_OF = dt.date(2025, 1, 1)

VALID = {
    "as_of": AS_OF,
    "order_count": 3,
    "order_day_count": 3,
    "recency_days": 10,
    "first_order_on": dt.date(2024, 6, 1),
    "last_order_on": dt.date(2024, 12, 22),
    "net_spend_amount": 300.0,
    "repeat_day_spend_amount": 200.0,
    "avg_order_amount": 100.0,
    "is_profiling_allowed": True,
}


def build_facts(count=1, **overrides):
    """A frame of facts: `count` valid rows, columns replaced by single values or lists."""
    many = (list, np.ndarray, pl.Series)
    count = max([count, *(len(values) for values in overrides.values() if isinstance(values, many))])
    columns = {"customer_id": [f"c{number:06d}" for number in range(count)], **VALID, **overrides}
    spread = {name: value if isinstance(value, many) else [value] * count for name, value in columns.items()}
    return pl.DataFrame(spread).with_columns(pl.col("net_spend_amount").cast(pl.Decimal(18, 2)))


def summarise_days(days, as_of):
    """Facts that RFM and CLV need from customer-days (customer_id, day, spend) before as_of."""
    return (
        days.filter(pl.col("day") < as_of)
        .sort("customer_id", "day")
        .group_by("customer_id", maintain_order=True)
        .agg(
            order_count=pl.len(),
            order_day_count=pl.len(),
            first_order_on=pl.col("day").min(),
            last_order_on=pl.col("day").max(),
            net_spend_amount=pl.col("spend").sum(),
            repeat_day_spend_amount=pl.col("spend").slice(1).sum(),
        )
        .with_columns(as_of=as_of, is_profiling_allowed=True)
        .with_columns(recency_days=(pl.col("as_of") - pl.col("last_order_on")).dt.total_days())
    )


def summarise_past(days, cut_offs, known_until, horizons=(90, 365)):
    """summarise_days at each cut-off, with what customers bought in the windows after it; null where a window passes known_until."""
    frames = []
    for cut_off in cut_offs:
        facts = summarise_days(days, cut_off)
        for horizon in horizons:
            end = cut_off + dt.timedelta(days=horizon)
            names = [f"{what}_next_{horizon}d" for what in ("orders", "spend")]
            bought = (
                days.filter((pl.col("day") >= cut_off) & (pl.col("day") < end))
                .group_by("customer_id")
                .agg(pl.len().cast(pl.Float64).alias(names[0]), pl.col("spend").sum().alias(names[1]))
            )
            facts = facts.join(bought, on="customer_id", how="left", maintain_order="left").with_columns(
                pl.when(pl.lit(end <= known_until)).then(pl.col(names).fill_null(0.0))
            )
        frames.append(facts)
    return pl.concat(frames)


@pytest.fixture(autouse=True, scope="session")
def every_message_has_chinese():
    """Whatever a model says of itself in any test here, it can say in Chinese (pipeline/model_messages.py)."""
    with pytest.MonkeyPatch.context() as patched:
        for room in (event_scores, clv, churn_horizon, rfm, segments):
            patched.setattr(room, "make_model_run", _check_message(room.make_model_run))
        yield


def _check_message(make_model_run):
    def make(as_of, model, status, message, *rest):
        assert find_untranslated(message) == [], f"{model}: write these parts in pipeline/model_messages.py"
        return make_model_run(as_of, model, status, message, *rest)

    return make


@pytest.fixture
def make_past_of_days():
    return summarise_past


@pytest.fixture
def make_facts():
    return build_facts


@pytest.fixture
def make_facts_of_days():
    return summarise_days


@pytest.fixture(scope="session")
def data_folder():
    """Function: the folder of a real data set, or skip where it is absent."""

    def find(name):
        if not (DATA / name).exists():
            pytest.skip(f"real data not there: {DATA / name}")
        return DATA / name

    return find


@pytest.fixture(scope="session")
def cdnow_days(data_folder):
    """CDNOW customer-days: customer_id, day, spend; lines of one day are one purchase."""
    words = (data_folder("cdnow") / "CDNOW_sample.txt").read_text().split()
    lines = np.array(words).reshape(-1, 5)
    return (
        pl.DataFrame({"customer_id": lines[:, 1], "day": lines[:, 2], "spend": lines[:, 4]})
        .with_columns(pl.col("day").str.to_date("%Y%m%d"), pl.col("spend").cast(pl.Float64))
        .group_by("customer_id", "day")
        .agg(pl.col("spend").sum())
        .sort("customer_id", "day")
    )


@pytest.fixture(scope="session")
def cdnow(cdnow_days):
    """x, t_x, age of the 2,357 customers on 1997-09-30."""
    end = dt.date(1997, 9, 30)
    customers = (
        cdnow_days.filter(pl.col("day") <= end)
        .group_by("customer_id")
        .agg(first=pl.col("day").min(), last=pl.col("day").max(), x=pl.len() - 1)
        .sort("customer_id")
    )
    t_x = (customers["last"] - customers["first"]).dt.total_days().to_numpy() / 7
    age = (end - customers["first"]).dt.total_days().to_numpy() / 7
    return customers["x"].to_numpy().astype(float), t_x, age
