"""How a classifier is chosen and believed, by forecasts made up for the purpose; leaks planted in facts."""

import datetime as dt
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from pipeline.model_messages import find_untranslated
from pipeline.models import events, leakage
from pipeline.models.event_origins import Origin, split_origins
from pipeline.models.events import Event

EVENT = Event("left", "is_left", "customers", "leavers", "stayers", ("recency_days", "visits", "leak"), ("plan",))
DAYS = [dt.date(2024, 1, 1) + dt.timedelta(days=90 * i) for i in range(6)]


def make_rows(as_of, n=800, seed=1, flip=None, strength=1.0):
    """Two honest features and a category; leak repeats the outcome but for a share `flip` of rows, or is noise."""
    rng = np.random.default_rng(seed + as_of.toordinal())
    recency, visits = rng.integers(1, 91, n), rng.poisson(3, n)
    odds = strength * ((recency - 45) / 20 - 0.4 * (visits - 3))
    left = rng.random(n) < 1 / (1 + np.exp(-odds))
    leak = rng.random(n) < 0.4 if flip is None else left ^ (rng.random(n) < flip)
    return pl.DataFrame(
        {
            "customer_id": [f"c{i:04d}" for i in range(n)],
            "as_of": [as_of] * n,
            "recency_days": recency,
            "visits": visits,
            "leak": leak.astype(int),
            "plan": rng.choice(["a", "b"], n),
            "is_left": left,
        }
    )


def make_sets(**options):
    frames = [make_rows(day, **options) for day in DAYS]
    return pl.concat(frames[:4]), frames[4], frames[5]


def make_origin(challenger_gain=0.0, gain=1.0, n=500, seed=1):
    """Forecasts of known skill: gain 1 is the law, 0 says nothing; the challenger's gain is added."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, 1.2, n)
    actual = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(float)
    noise = rng.normal(0, 0.02, n)

    def forecast(skill, noise=noise):
        return 1 / (1 + np.exp(-skill * odds - noise))

    forecasts = {
        "logistic regression": forecast(gain),
        "gradient boosting": forecast(gain + challenger_gain),
        "base rate": np.full(n, actual.mean()),
        "recency only": forecast(0.3, rng.normal(0, 0.3, n)),
    }
    test = pl.DataFrame({"customer_id": [f"c{i}" for i in range(n)]})
    slopes = {"logistic regression": 1.0, "gradient boosting": 1.0}
    return Origin(test, actual, forecasts, ("base rate", "recency only"), slopes)


def test_origins_move_back_one_cut_off_at_a_time():
    found = split_origins(*make_sets(n=4), 90)
    seen = [[sorted(rows["as_of"].unique()) for rows in sets] for sets in found]
    assert seen == [
        [DAYS[:4], DAYS[4:5], DAYS[5:]],
        [DAYS[:3], DAYS[3:4], DAYS[4:5]],
        [DAYS[:2], DAYS[2:3], DAYS[3:4]],
    ]
    assert len(split_origins(*make_sets(n=4), None)) == 1
    # windows of 100 days: the cut-off 90 days before is left out of training
    training = split_origins(*make_sets(n=4), 100)[1][0]
    assert sorted(training["as_of"].unique()) == DAYS[:2]


@pytest.mark.parametrize("champion", [None, "logistic regression", "gradient boosting", "a thing of the past"])
def test_the_one_in_use_stays_unless_it_is_beaten(champion):
    stays = champion if champion in ("logistic regression", "gradient boosting") else "logistic regression"
    alike = [make_origin(0.01, seed=seed) for seed in range(3)]
    assert events._choose(alike, champion, 1)[0].name == stays
    better = [make_origin(0.6, gain=0.4, seed=seed) for seed in range(3)]
    assert events._choose(better, champion, 1)[0].name == "gradient boosting"
    worse = [make_origin(-0.6, seed=seed) for seed in range(3)]
    assert events._choose(worse, champion, 1)[0].name == "logistic regression"


def test_held_unless_every_baseline_is_beaten_beyond_chance():
    status, message = events._judge([make_origin()], "logistic regression", 1)
    assert status == "used" and "baseline 'recency only'" in message
    nearly = [make_origin(gain=0.33, n=100)]
    assert nearly[0].actual.mean() > 0
    status, message = events._judge(nearly, "logistic regression", 1)
    assert status == "held" and "beyond chance" in message
    status, message = events._judge([make_origin(gain=0.15)], "logistic regression", 1)
    assert status == "held" and "no better than the baseline at the newest" in message
    # good in earlier seasons, bad in the last
    status, message = events._judge(
        [make_origin(gain=0.1), make_origin(seed=2), make_origin(seed=3)], "logistic regression", 1
    )
    assert status == "held" and "newest" in message


def test_what_is_in_use_stays_while_it_is_better_at_all():
    nearly = [make_origin(gain=0.33, n=100)]
    assert events._judge(nearly, "logistic regression", 1)[0] == "held"
    assert events._judge(nearly, "logistic regression", 1, is_in_use=True)[0] == "used"
    assert events._judge([make_origin(gain=0.15)], "logistic regression", 1, is_in_use=True)[0] == "held"


def test_what_is_kept_in_use_says_what_it_does_not_beat():
    nearly = [make_origin(gain=0.33, n=100)]
    status, message = events._judge(nearly, "logistic regression", 1, is_in_use=True)
    assert "; kept although better than the baseline 'recency only' not beyond chance: log loss -0." in message
    # good in earlier seasons, bad in the last
    seasons = [make_origin(gain=0.1), make_origin(seed=2), make_origin(seed=3)]
    status, lost = events._judge(seasons, "logistic regression", 1, is_in_use=True)
    assert status == "used" and "kept although no better than the baseline 'recency only' at the newest test" in lost
    assert "kept" not in events._judge([make_origin()], "logistic regression", 1, is_in_use=True)[1]
    assert find_untranslated(message) == [] == find_untranslated(lost)


def test_the_level_is_in_the_message():
    origin = make_origin()
    message = events._judge([origin], "logistic regression", 1)[1]
    told = origin.forecasts["logistic regression"].mean()
    assert message.endswith(
        f"; at the newest test cut-off {100 * told:.1f} % foretold, {100 * origin.actual.mean():.1f} % came"
    )
    # 2,000 chances of about .5, foretold .06 too high, have a standard deviation of about .01
    origin = make_origin(n=2_000)
    forecasts = origin.forecasts | {"logistic regression": origin.forecasts["logistic regression"] * 0.88 + 0.12}
    message = events._judge([origin._replace(forecasts=forecasts)], "logistic regression", 1)[1]
    assert message.endswith(" came: too high beyond chance, the ranks tell more than the chances")
    assert find_untranslated(message) == []


def test_honest_features_are_believed():
    model = events.fit_event(EVENT, *make_sets(n=600), window_days=90, tonight=make_rows(DAYS[5], seed=9))
    assert model.status == "used", model.message
    assert [str(cut_off) for cut_off, _ in model.tests] == model.metrics["origins"] == [str(day) for day in DAYS[:2:-1]]
    assert model.metrics["row_counts"] == {"training": 3000, "calibration": 600, "test": 600}


@pytest.mark.parametrize(("flip", "words"), [(0.0, "too good"), (0.03, "'leak'"), (0.1, "'leak' alone tells more")])
def test_a_planted_leak_is_named(flip, words):
    model = events.fit_event(EVENT, *make_sets(flip=flip, strength=0.6))
    assert model.status == "held" and words in model.message and "leak" in model.message


def copy_outcome(rows, flip, seed):
    """The outcome, but for a share of rows."""
    return rows["is_left"].to_numpy() ^ (np.random.default_rng(seed).random(len(rows)) < flip)


@pytest.mark.parametrize("flip", [0.15, 0.2])
def test_two_copies_that_are_written_together_are_named(flip):
    # of two copies neither beats the rest, which holds the other
    sets = [
        rows.with_columns(
            leak=pl.Series(copy_outcome(rows, flip, 1)).cast(int), plan=pl.Series(copy_outcome(rows, flip, 2)).cast(str)
        )
        for rows in make_sets(n=1000)
    ]
    assert events.fit_event(EVENT, *sets).status == "used"
    kin = replace(EVENT, kin=(("leak", "plan"),))
    model = events.fit_event(kin, *sets)
    assert model.status == "held" and ", with what is written with it, lifts the test AUC from" in model.message
    assert events.fit_event(replace(kin, honest=("leak",)), *sets).status == "used"


def test_one_copy_with_a_fifth_of_rows_flipped_is_named():
    model = events.fit_event(EVENT, *make_sets(flip=0.2, n=1000))
    assert model.status == "held" and "'leak' lifts the test AUC from" in model.message


def test_what_is_too_good_for_the_challenger_holds_the_model_back():
    training, _, test = make_sets()
    actual = test["is_left"].cast(float).to_numpy()
    champion, challenger = (kind.name for kind in events.CANDIDATES)
    forecasts = {champion: np.full(len(test), 0.5), challenger: np.where(actual > 0, 0.9, 0.1)}
    words = leakage.find_leaks(EVENT, training, test, Origin(test, actual, forecasts, (), {}), None, 1)
    assert "too good to be true" in words


def test_a_feature_that_nearly_repeats_the_outcome_is_named():
    training, calibration, test = make_sets(flip=0.035, strength=0.3)
    assert leakage.rank_alone(EVENT, training, test)["leak"] > leakage.REPEATING_AUC
    assert "nearly repeats" in events.fit_event(EVENT, training, calibration, test).message


def test_days_since_the_last_order_may_tell_nearly_all():
    model = events.fit_event(EVENT, *make_sets(strength=3.5, n=1500))
    assert model.status == "used" or "baseline" in model.message, model.message


def test_what_is_filled_in_later_is_found_by_its_absence_tonight():
    # a weak leak: AUC about .65, but it cannot be known at the cut-off, so tonight it is empty
    sets = make_sets(flip=0.35, n=1000)
    tonight = make_rows(DAYS[5] + dt.timedelta(days=90), seed=3).drop("is_left")
    assert events.fit_event(EVENT, *sets, tonight=tonight).status == "used"
    model = events.fit_event(EVENT, *sets, tonight=tonight.with_columns(leak=pl.lit(0)))
    assert model.status == "held" and "'leak' was filled" in model.message
    # honest, and empty tonight, but telling nothing: no alarm
    honest = events.fit_event(EVENT, *make_sets(), tonight=tonight.with_columns(leak=pl.lit(0)))
    assert honest.status == "used", honest.message


@pytest.mark.parametrize("seed", range(20))
def test_no_false_alarm(seed):
    training, calibration, test = make_sets(seed=seed * 777, n=300)
    known = pl.concat([training, calibration])
    actual = test["is_left"].cast(float).to_numpy()
    origin = Origin(test, actual, {kind.name: np.full(300, 0.5) for kind in events.CANDIDATES}, (), {})
    assert leakage.find_leaks(EVENT, known, test, origin, make_rows(DAYS[5], seed=seed), 1) is None
