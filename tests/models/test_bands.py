import numpy as np
import polars as pl
import pytest

from pipeline.models.bands import choose_bands

LIMITS = (("high", 0.7), ("medium", 0.4), ("low", 0.0))


def bands_of(probabilities, before=None):
    scores = pl.DataFrame({"customer_id": [f"c{i}" for i in range(len(probabilities))], "p": probabilities})
    previous = before and pl.DataFrame({"customer_id": [f"c{i}" for i in range(len(before))], "churn_band": before})
    return choose_bands(scores, "p", LIMITS, previous).to_list()


def test_the_first_night_goes_by_the_limits():
    assert bands_of([0.0, 0.3999, 0.4, 0.6999, 0.7, 1.0]) == ["low", "low", "medium", "medium", "high", "high"]


@pytest.mark.parametrize(
    ("before", "probability", "after"),
    [
        ("low", 0.42, "low"),
        ("low", 0.43, "medium"),
        ("medium", 0.38, "medium"),
        ("medium", 0.36, "low"),
        ("medium", 0.72, "medium"),
        ("medium", 0.73, "high"),
        ("high", 0.68, "high"),
        ("high", 0.66, "medium"),
        ("low", 0.9, "high"),
        ("high", 0.1, "low"),
        (None, 0.42, "medium"),
        ("unknown", 0.42, "medium"),
    ],
)
def test_a_band_is_left_only_by_a_margin(before, probability, after):
    assert bands_of([probability], [before]) == [after]


def test_who_is_new_has_no_band_to_keep():
    assert bands_of([0.42, 0.42], ["low"]) == ["low", "medium"]


@pytest.mark.parametrize("seed", range(20))
def test_a_night_run_again_gives_the_same_and_the_path_matters_near_a_limit_only(seed):
    rng = np.random.default_rng(seed)
    first, second = rng.random(300), rng.random(300)
    before = bands_of(first)
    once = bands_of(second, before)
    assert bands_of(second, once) == once
    moved = [p for p, one, plain in zip(second, once, bands_of(second), strict=True) if one != plain]
    assert all(min(abs(p - 0.4), abs(p - 0.7)) <= 0.03 for p in moved)
