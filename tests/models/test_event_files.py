"""A model that was stored and loaded says exactly what the fitted one says."""

import json

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from pipeline.models import tree_shapley
from pipeline.models.boosted_trees import BLOCK_ROWS, read_trees, trees_from_dict, trees_to_dict
from pipeline.models.classifiers import Boosting, Logistic, encode, fit_encoding
from pipeline.models.event_files import model_from_dict, model_to_dict
from pipeline.models.events import Event, EventModel
from pipeline.models.records import NotAModel, to_json

EVENT = Event("bought", "is_bought", "customers", "buyers", "others", ("days", "gap", "spend"), ("channel", "city"))
GROUP_OF = {"days": 0, "gap": 0, "spend": 1, "channel": 2, "city": 1}


def make_rows(count, seed):
    """Numbers with gaps, a gap that means something, and categories, one of them with gaps; is_bought hangs on all."""
    rng = np.random.default_rng(seed)
    days, gap = rng.integers(0, 90, count).astype(float), rng.gamma(2, 10, count)
    channel, city = rng.integers(0, 4, count), rng.integers(0, 12, count)
    gap[rng.random(count) < 0.3] = np.nan
    odds = 1 - days / 30 + np.isnan(gap) + (channel == 2) * 1.5 + (city % 3 == 1) * (days < 40) * 2.0
    return pl.DataFrame(
        {
            "days": days,
            "gap": pl.Series(gap).fill_nan(None),
            "spend": np.where(rng.random(count) < 0.95, rng.gamma(1, 50, count), np.nan),
            "channel": [f"channel {number}" for number in channel],
            "city": [None if number == 11 else f"市{number}" for number in city],
            "is_bought": rng.random(count) < 1 / (1 + np.exp(-odds)),
        }
    ).with_columns(pl.col("spend").fill_nan(None))


def fit(kind, rows, seed=1):
    encoding = fit_encoding(rows, EVENT.numeric, EVENT.categorical)
    classifier = kind(encoding, seed).fit(encode(rows, encoding), rows["is_bought"].cast(float).to_numpy())
    return EventModel(EVENT, classifier, encoding, 0.9, -0.1, "used", "fine", {"auc": 0.8})


def through_json(model):
    return json.loads(to_json(model_to_dict(model)))


def make_strange(seed):
    """Rows that the training did not see: other levels, gaps everywhere, numbers out of range."""
    rows = make_rows(400, seed)
    strange = rows[:20].with_columns(
        channel=pl.lit("hologram"), city=pl.lit("海"), days=pl.lit(1e9), spend=pl.lit(-5.0)
    )
    nothing = rows[:20].with_columns(pl.lit(None, pl.Float64).alias(name) for name in EVENT.numeric)
    return pl.concat([rows, strange, nothing.with_columns(channel=pl.lit(None, pl.String))])


@pytest.mark.parametrize("kind", [Logistic, Boosting])
@pytest.mark.parametrize("seed", range(3))
def test_a_loaded_model_is_the_fitted_one(kind, seed):
    model = fit(kind, make_rows(1200, seed))
    loaded = model_from_dict(through_json(model), EVENT)
    values = encode(make_strange(seed + 100), model.encoding)
    assert np.array_equal(encode(make_strange(seed + 100), loaded.encoding), values, equal_nan=True)
    assert np.array_equal(loaded.log_odds(values), model.log_odds(values))
    parts = [one.contributions(values, GROUP_OF, 3) for one in (loaded, model)]
    assert np.array_equal(*parts) and np.abs(parts[0]).max() > 0.1
    assert (loaded.status, loaded.message, loaded.metrics) == ("used", "fine", {"auc": 0.8})
    assert through_json(loaded) == through_json(model)


def test_the_same_rows_and_seed_give_the_same_file():
    texts = {to_json(model_to_dict(fit(Boosting, make_rows(800, 3)))) for _ in range(2)}
    assert len(texts) == 1
    assert to_json(model_to_dict(fit(Boosting, make_rows(800, 4)))) not in texts


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("with_categories", [False, True])
def test_trees_say_what_scikit_learn_says(seed, with_categories):
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(size=(1500, 5)), 1)
    values[:, 3] = rng.integers(0, 40, 1500)
    values[rng.random(values.shape) < 0.15] = np.nan
    # a column that is a number or missing, and nothing else matters
    values[:, 1] = np.where(rng.random(1500) < 0.5, np.nan, 7.0)
    labels = (np.nan_to_num(values[:, 0]) + 2 * np.isnan(values[:, 1]) + (values[:, 3] % 5 == 1) > 0.5).astype(float)
    options = {"max_iter": 25, "random_state": seed, "early_stopping": False}
    if with_categories:
        options["categorical_features"] = [3]
    unseen = values.copy()
    unseen[:50, 3], unseen[50:60] = 77, np.nan
    for model in (HistGradientBoostingClassifier(**options), HistGradientBoostingRegressor(loss="poisson", **options)):
        trees = read_trees(model.fit(values, labels))
        for rows in (values, unseen):
            assert np.array_equal(trees.raw_prediction(rows), model._raw_predict(rows).ravel())
        reference = np.array([[0.1, np.nan, 0.0, 3.0, 0.2]])
        if max(len(tree["column"]) for tree in trees.trees) <= 14:
            tables = tree_shapley.tabulate(trees, reference, [0, 1, 1, 2, 0])
            parts = tree_shapley.look_up(trees, tables, unseen, 3).sum(axis=1)
            assert parts == pytest.approx(trees.raw_prediction(unseen) - trees.raw_prediction(reference), abs=1e-12)
    assert any(None in tree["threshold"] for tree in trees.trees)


def test_a_tree_by_hand():
    kept = {
        "baseline": 0.5,
        "column_count": 2,
        "known_levels": {"1": [0, 2]},
        "trees": [
            {
                "column": [0, 1],
                "threshold": [3.0, None],
                "levels": [None, [2]],
                "gap_left": [False, True],
                "left": [-1, -2],
                "right": [1, -3],
                "value": [1.0, 10.0, 100.0],
            },
            {name: [] for name in ("column", "threshold", "levels", "gap_left", "left", "right")} | {"value": [0.25]},
        ],
    }
    trees, gap = trees_from_dict(kept), np.nan
    #            3 is not more than 3; level 2 goes left; 0 right; 1 and a gap were not seen: left; a gap of the first: right
    values = np.array([[3.0, gap], [3.1, 2.0], [3.1, 0.0], [3.1, 1.0], [4.0, gap], [gap, 0.0]])
    assert trees.raw_prediction(values).tolist() == [1.75, 10.75, 100.75, 10.75, 10.75, 100.75]
    assert trees_to_dict(trees) == kept
    many = np.tile(values, (BLOCK_ROWS // 3, 1))
    assert trees.raw_prediction(many).tolist() == [1.75, 10.75, 100.75, 10.75, 10.75, 100.75] * (BLOCK_ROWS // 3)


BAD_TREES = {
    "a circle": ("right", [0, -3]),
    "a leaf twice": ("left", [-1, -1]),
    "a column too many": ("column", [2, 1]),
    "a text": ("value", ["1", 2.0, 3.0]),
    "no number": ("value", [float("nan"), 2.0, 3.0]),
    "a leaf too many": ("value", [1.0, 2.0, 3.0, 4.0]),
    "a threshold of levels": ("threshold", [3.0, 1.0]),
    "levels of a number": ("levels", [[0], [2]]),
    "a level never seen": ("levels", [None, [9]]),
    "a number for a bool": ("gap_left", [0, 1]),
    "a column missing": ("left", None),
}


@pytest.mark.parametrize(("name", "bad"), BAD_TREES.values(), ids=BAD_TREES)
def test_what_is_no_tree_is_refused(name, bad):
    tree = {
        "column": [0, 1],
        "threshold": [3.0, None],
        "levels": [None, [2]],
        "gap_left": [False, True],
        "left": [-1, -2],
        "right": [1, -3],
        "value": [1.0, 10.0, 100.0],
    }
    kept = {"baseline": 0.5, "column_count": 2, "known_levels": {"1": [0, 2]}}
    trees_from_dict(kept | {"trees": [tree]})
    changed = {key: value for key, value in (tree | {name: bad}).items() if value is not None}
    with pytest.raises((ValueError, KeyError)):
        trees_from_dict(kept | {"trees": [changed]})


@pytest.mark.parametrize("kind", [Logistic, Boosting])
def test_a_model_of_other_features_is_refused(kind):
    kept = through_json(fit(kind, make_rows(600, 1)))
    churn = Event("churned", "is_churned", "", "", "", ("days",), ())
    fewer = Event("bought", "is_bought", "", "", "", ("days",), ("channel", "city"))
    for changed, event, message in (
        (kept, churn, "it foretells 'bought'"),
        (kept, fewer, "gap, spend"),
        (kept | {"numeric": ["days", "gap"]}, EVENT, "."),
        (kept | {"numeric": None}, EVENT, "."),
        (kept | {"fitted": {}}, EVENT, "it lacks '"),
        (kept | {"slope": None}, EVENT, "."),
        ({}, EVENT, "it lacks 'event'"),
    ):
        with pytest.raises(NotAModel, match=message):
            model_from_dict(changed, event)
