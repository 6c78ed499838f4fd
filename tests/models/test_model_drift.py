"""Population stability by hand, on planted changes, and how often it cries wolf."""

import math

import numpy as np
import polars as pl
import pytest

from pipeline.models.drift import (
    OK,
    SMALLEST_SHARE,
    TOO_FEW,
    WARNING,
    WATCH,
    WATCHED,
    chance_limit,
    compare,
    count_bins,
    make_bins,
    make_reference,
    psi,
)


def column(values, dtype=None):
    return pl.Series("value", values, dtype=dtype)


def status_of(then, now, name="value", psi_warning=0.25):
    then, now = pl.DataFrame({name: then}), pl.DataFrame({name: now})
    (row,) = compare(make_reference(then, [name]), now, psi_warning)
    return row["status"]


def test_psi_counted_by_hand():
    # shares 0.5, 0.5 then 0.4, 0.6: -0.1 ln 0.8 + 0.1 ln 1.2
    assert psi([50, 50], [4, 6]) == pytest.approx(0.1 * (math.log(1.2) - math.log(0.8)))
    assert psi([10, 20, 70], [1, 2, 7]) == 0
    assert psi([50, 50], [50, 50]) == psi([1], [9]) == 0
    # an empty bin counts as SMALLEST_SHARE, not as infinity
    filled = (0.25 - SMALLEST_SHARE) * math.log(0.25 / SMALLEST_SHARE) + (0.75 - 1) * math.log(0.75)
    assert psi([8, 0], [6, 2]) == pytest.approx(filled)
    assert psi([6, 2], [8, 0]) == pytest.approx(filled)
    assert math.isnan(psi([0, 0], [1, 2]))


def test_deciles_are_bins_and_the_last_is_for_missing_values():
    bins = make_bins(column(list(range(1, 101))))
    assert bins == {"edges": [10, 20, 30, 40, 50, 60, 70, 80, 90]}
    assert count_bins(column(list(range(1, 101))), bins).tolist() == [10] * 10 + [0]
    found = count_bins(column([None, float("nan"), float("inf"), -5.0, 10.0, 10.1, 1e9]), bins)
    assert found.tolist() == [2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 3]


def test_a_value_that_fills_a_decile_is_a_bin_of_its_own():
    then = column([0] * 60 + [1] * 25 + list(range(2, 17)))
    bins = make_bins(then)
    counts = count_bins(then, bins)
    assert counts.sum() == 100 and (counts == 60).sum() == 1 and (counts == 25).sum() == 1
    # a constant shows moves to either side
    constant = make_bins(column([7.0] * 50))
    assert count_bins(column([6.9, 7.0, 7.0, 7.1, None]), constant).tolist() == [1, 2, 1, 1]
    assert status_of([7.0] * 200, [6.0] * 200) == WARNING
    assert status_of([7.0] * 200, [7.0] * 200) == OK


def test_nothing_known_then_is_one_bin():
    bins = make_bins(column([None, None], pl.Float64))
    assert bins == {"edges": []}
    assert count_bins(column([1.0, None, None]), bins).tolist() == [1, 2]


def test_categories_are_bins_rare_and_unseen_ones_one():
    then = column(["a"] * 150 + ["b"] * 47 + ["rare"] + [None] * 2)
    bins = make_bins(then)
    assert bins == {"levels": ["a", "b"]}
    assert count_bins(then, bins).tolist() == [150, 47, 1, 2]
    assert count_bins(column(["b", "never seen", None, None]), bins).tolist() == [0, 1, 1, 2]
    assert count_bins(column([None, None], pl.Float64), bins).tolist() == [0, 0, 0, 2]


def test_booleans_and_dates_of_other_types_do_not_stop_a_night():
    bins = make_bins(column([True] * 30 + [False] * 70))
    assert count_bins(column([True, False, False, None]), bins).tolist()[-1] == 1
    assert status_of([True] * 300, [True] * 150 + [False] * 150) == WARNING


def test_a_reference_survives_being_stored():
    import json

    rng = np.random.default_rng(1)
    rows = pl.DataFrame({"spend": rng.lognormal(3, 1, 500).round(2), "city": rng.choice(["上海", "北京"], 500)})
    reference = make_reference(rows, ["spend", "city", "absent"])
    assert sorted(reference) == ["city", "spend"]
    kept = json.loads(json.dumps(reference))
    assert all(row["value"] == 0 for row in compare(kept, rows, 0.25))
    assert {name: sum(made["counts"]) for name, made in kept.items()} == {"spend": 500, "city": 500}


def test_few_rows_are_not_judged():
    assert status_of(list(range(199)), list(range(1000))) == TOO_FEW
    assert status_of(list(range(1000)), [0.0] * 199) == TOO_FEW


def test_a_feature_that_is_gone_warns():
    reference = make_reference(pl.DataFrame({"spend": list(range(1000))}), ["spend"])
    (row,) = compare(reference, pl.DataFrame({"other": [1.0] * 1000}), 0.25)
    assert (row["status"], row["row_count"], row["reference_count"]) == (WARNING, 1000, 1000)


def test_sums_that_grow_with_the_shop_are_watched_only():
    assert "tenure_days" in WATCHED
    then, now = list(range(1000)), [day + 400 for day in range(1000)]
    assert (status_of(then, now, "tenure_days"), status_of(then, now, "recency_days")) == (WATCH, WARNING)


def test_the_limit_is_the_settings_or_that_of_chance():
    # 1 / 1000 + 1 / 1000 times the 99 % point of chi-squared with 9 degrees of freedom, 21.666
    assert chance_limit([100] * 10, [100] * 10) == pytest.approx(0.002 * 21.666, abs=1e-5)
    assert chance_limit([100] * 10, [100] * 10, comparisons=40) > chance_limit([100] * 10, [100] * 10)
    assert chance_limit([5, 0], [7, 0]) == 0
    then = list(range(1000))
    assert status_of(then, [value + 260 for value in then]) == WARNING
    assert status_of(then, [value + 260 for value in then], psi_warning=50.0) == WATCH
    assert status_of(then, [value + 10 for value in then]) == OK


@pytest.mark.parametrize("rows", [200, 1000])
def test_samples_of_one_population_rarely_warn(rows):
    """40 nights of 20 features that did not move, at a setting that leaves the limit to chance."""
    rng = np.random.default_rng(rows)
    names = [f"f{number}" for number in range(20)]
    alarms = plain = 0
    for _ in range(40):
        then, now = (pl.DataFrame(rng.gamma(1, 1, (rows, 20)), schema=names) for _ in range(2))
        found = compare(make_reference(then, names), now, 1e-9)
        alarms += any(row["status"] == WARNING for row in found)
        plain += any(row["value"] >= 0.1 for row in found)
    assert alarms <= 3
    # the usual 0.1, which knows no sample size, would cry wolf every night
    if rows == 200:
        assert plain >= 35
