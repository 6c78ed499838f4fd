"""The best churn forecast anybody could make on the demo shop, from its truth files.

The oracle knows each customer's true rate, the drop-out chance that held after the last purchase, the
seasons, and the whole purchase history; it does not know whether the customer has dropped out. With
signals=False nothing else in the exports bears on churn, so no model can beat its AUC but by luck. With
signals=True only the fewer opened e-mails and answered calls of people who have dropped out are unknown to
it, which tell little.
"""

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from scipy.stats import rankdata

from pipeline.ingest.demo.law import Signals, purchase_clocks


def churn_oracle(truth_dir: Path, cut_off: date, horizon_days: int = 90, active_days: int = 90) -> pl.DataFrame:
    """The oracle's forecast at cut_off for those who bought in the active_days before it, and what came.

    One row per person: person_id, alive_probability, churn_probability (no purchase in [cut_off, cut_off +
    horizon_days)), has_churned. Raises ValueError when the history does not hold the horizon.
    """
    told = json.loads((Path(truth_dir) / "law.json").read_text(encoding="utf-8"))
    history_days = told["law"]["history_days"]
    first_day = date.fromisoformat(told["as_of"]) - timedelta(days=history_days)
    cut = (cut_off - first_day).days
    if not 0 < cut <= history_days - horizon_days:
        raise ValueError(f"cut_off {cut_off}: the history holds no {horizon_days} days after it; choose an earlier one")

    purchases = pl.read_parquet(Path(truth_dir) / "purchases.parquet").sort("person_id", "purchased_on")
    horizon_end = cut_off + timedelta(days=horizon_days)
    later = purchases.filter(pl.col("purchased_on").is_between(cut_off, horizon_end, closed="left"))
    last = (
        purchases.filter(pl.col("purchased_on") < cut_off)
        .group_by("person_id", maintain_order=True)
        .last()
        .filter(pl.col("purchased_on") >= cut_off - timedelta(days=active_days))
    )
    customers = pl.read_parquet(Path(truth_dir) / "customers.parquet").select(
        "person_id", "purchase_rate_per_week", "is_discount_hunter"
    )
    frame = last.join(customers, on="person_id", how="left", maintain_order="left").with_columns(
        has_churned=~pl.col("person_id").is_in(later["person_id"].implode())
    )

    everyone, hunters, _ = purchase_clocks(first_day, history_days, Signals(**told["signals"]))
    clock = np.where(frame["is_discount_hunter"].to_numpy()[:, None], hunters, everyone)
    row = np.arange(frame.height)
    last_day = (frame["purchased_on"] - first_day).dt.total_days().to_numpy()
    daily_rate = frame["purchase_rate_per_week"].to_numpy() / 7
    silent = daily_rate * (clock[row, cut - 1] - clock[row, last_day])
    ahead = daily_rate * (clock[row, cut + horizon_days - 1] - clock[row, cut - 1])
    gone, stayed = (
        frame["drop_out_chance"].to_numpy(),
        (1 - frame["drop_out_chance"].to_numpy()) * np.exp(-silent),
    )
    alive = stayed / (gone + stayed)
    return frame.select("person_id", "has_churned").with_columns(
        alive_probability=pl.Series(alive), churn_probability=pl.Series(1 - alive * -np.expm1(-ahead))
    )


def auc(probability, happened) -> float:
    """Chance that a random row that happened ranks above a random one that did not; ties count half."""
    happened = np.asarray(happened, bool)
    ranks = rankdata(probability)
    positives, negatives = happened.sum(), (~happened).sum()
    return float((ranks[happened].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def best_churn_scores(truth_dir: Path, cut_off: date, horizon_days: int = 90, active_days: int = 90) -> dict:
    """What the oracle attains: auc, brier, churned_share, mean_probability, customers, and calibration by
    tenths.

    calibration: list of (rows, mean probability, churned share), from the lowest tenth of probabilities to
    the highest.
    """
    frame = churn_oracle(truth_dir, cut_off, horizon_days, active_days).sort("churn_probability", "person_id")
    probability, churned = frame["churn_probability"].to_numpy(), frame["has_churned"].to_numpy()
    tenths = np.array_split(np.arange(frame.height), 10)
    return {
        "customers": frame.height,
        "auc": auc(probability, churned),
        "brier": float(np.mean((probability - churned) ** 2)),
        "churned_share": float(churned.mean()),
        "mean_probability": float(probability.mean()),
        "calibration": [(len(part), float(probability[part].mean()), float(churned[part].mean())) for part in tenths],
    }
