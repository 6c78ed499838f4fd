"""Two classifiers over facts with missing values and categories: logistic regression and gradient boosting.

Both learn from one encoded float array (encode) and say what each feature adds to the log-odds
(contributions).
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from pipeline.models import tree_shapley
from pipeline.models.boosted_trees import read_trees, trees_from_dict, trees_to_dict

MAX_LEVELS = 50
# a level of fewer customers is nearly a person's, and a model file names its levels
MIN_LEVEL_CUSTOMERS = 5
MIN_MISSING_SHARE = 0.005


@dataclass(frozen=True)
class Encoding:
    """numeric: column names. categorical: column name -> its known levels, most frequent first."""

    numeric: tuple
    categorical: dict

    @property
    def names(self):
        return (*self.numeric, *self.categorical)


def fit_encoding(frame, numeric, categorical):
    """The columns worth learning from: present, not all null, not constant (a gap counts as a value)."""
    frame_columns = set(frame.columns)
    kept = tuple(
        n for n in numeric if n in frame_columns and frame[n].null_count() < len(frame) and frame[n].n_unique() > 1
    )
    levels = {}
    for name in categorical:
        if name in frame_columns and frame[name].drop_nulls().n_unique() > 1:
            who = pl.col("customer_id").n_unique() if "customer_id" in frame_columns else pl.len()
            counts = frame.group_by(name).agg(pl.len().alias("rows"), who.alias("customers")).drop_nulls()
            common = counts.filter(pl.col("customers") >= MIN_LEVEL_CUSTOMERS)
            known = common.sort("rows", name, descending=[True, False])[name].head(MAX_LEVELS).to_list()
            if known:
                levels[name] = known
    return Encoding(kept, levels)


def encode(frame, encoding):
    """Float array (n_rows, n_features): numbers as they are, categories as level numbers, NaN where missing.

    A level that the training did not see, or of fewer than five customers, gets the number of a level of its own, shared by all such.
    """
    columns = [pl.col(name).cast(pl.Float64) for name in encoding.numeric]
    columns += [
        pl.when(pl.col(name).is_not_null())
        .then(pl.col(name).replace_strict(levels, range(len(levels)), default=len(levels), return_dtype=pl.Float64))
        .alias(name)
        for name, levels in encoding.categorical.items()
    ]
    if not columns:
        return np.empty((len(frame), 0))
    return np.ascontiguousarray(frame.select(columns).fill_null(float("nan")).to_numpy())


class Logistic:
    """L2-regularised logistic regression: logs, medians for gaps (flagged), one-hot levels."""

    name = "logistic regression"
    fitted = ("is_skewed", "bounds", "medians", "flagged", "means", "scales", "coefficients", "intercept")

    def __init__(self, encoding, seed):
        self.encoding, self.seed = encoding, seed

    def fit(self, values, labels):
        """values: encoded array; labels: 0/1 array. Returns self."""
        n = len(self.encoding.numeric)
        # a column can be empty in one fold
        numbers = np.where(np.isnan(values[:, :n]).all(axis=0), 0.0, values[:, :n])
        self.is_skewed = np.nanmin(numbers, axis=0) >= 0 if n else np.zeros(0, bool)
        numbers = self._tame(numbers)
        self.bounds = np.nanquantile(numbers, [0.001, 0.999], axis=0) if n else np.zeros((2, 0))
        self.medians = np.nanmedian(numbers, axis=0) if n else np.zeros(0)
        missing = np.isnan(numbers).mean(axis=0) if n else np.zeros(0)
        self.flagged = np.flatnonzero((missing > MIN_MISSING_SHARE) & (missing < 1 - MIN_MISSING_SHARE))
        self.means, self.scales = 0.0, 1.0
        design = self._design(values)
        self.means = design.mean(axis=0)
        scales = design.std(axis=0)
        self.scales = np.where(scales > 1e-9, scales, 1.0)
        model = LogisticRegression(C=0.1, max_iter=1000).fit((design - self.means) / self.scales, labels)
        self.coefficients, self.intercept = model.coef_[0], float(model.intercept_[0])
        return self

    def log_odds(self, values):
        """Log-odds of label 1: array (n_rows,)."""
        return ((self._design(values) - self.means) / self.scales) @ self.coefficients + self.intercept

    def contributions(self, values, group_of, groups):
        """What each group of features adds to the log-odds: array (n_rows, groups).

        Exact Shapley values of a linear model against the average training row (its columns taken as
        independent).
        """
        parts = (self._design(values) - self.means) / self.scales * self.coefficients
        belongs = np.zeros((parts.shape[1], groups))
        for column, name in enumerate(self._design_names()):
            belongs[column, group_of[name]] = 1
        return parts @ belongs

    def describe(self):
        """Parameters as plain numbers."""
        weights = zip(self._design_names(), self.coefficients.tolist(), strict=True)
        return {"intercept": self.intercept, "coefficients": [[name, weight] for name, weight in weights]}

    def to_dict(self):
        """All that log_odds and contributions read, as plain numbers."""
        return {name: _plain(getattr(self, name)) for name in self.fitted}

    @classmethod
    def from_dict(cls, kept, encoding):
        """The fitted classifier that to_dict came from. Raises ValueError where its shapes do not fit the encoding."""
        model, n = cls(encoding, None), len(encoding.numeric)
        model.is_skewed, model.flagged = np.array(kept["is_skewed"], bool), np.array(kept["flagged"], int)
        for name in ("bounds", "medians", "means", "scales", "coefficients"):
            setattr(model, name, _numbers(kept, name))
        model.intercept = float(_numbers(kept, "intercept"))
        size = n + len(model.flagged) + sum(len(levels) for levels in encoding.categorical.values())
        shapes = {"is_skewed": (n,), "bounds": (2, n), "medians": (n,)}
        shapes |= dict.fromkeys(("means", "scales", "coefficients"), (size,))
        for name, shape in shapes.items():
            if getattr(model, name).shape != shape:
                raise ValueError(f"{name} has the shape {getattr(model, name).shape}, not {shape}")
        if len(model.flagged) and not (model.flagged.min() >= 0 and model.flagged.max() < n):
            raise ValueError(f"flagged names a column that is not among the {n} numeric ones")
        return model

    def _tame(self, numbers):
        return np.where(self.is_skewed, np.log1p(np.maximum(numbers, 0.0)), numbers)

    def _design(self, values):
        n = len(self.encoding.numeric)
        numbers = np.clip(self._tame(values[:, :n]), *self.bounds)
        gaps = np.isnan(numbers)
        columns = [np.where(gaps, self.medians, numbers), gaps[:, self.flagged]]
        for position, levels in enumerate(self.encoding.categorical.values()):
            columns.append(values[:, n + position, None] == np.arange(len(levels)))
        return np.column_stack(columns).astype(float)

    def _design_names(self):
        numeric = self.encoding.numeric
        names = [*numeric, *(numeric[i] for i in self.flagged)]
        return names + [name for name, levels in self.encoding.categorical.items() for _ in levels]


class Boosting:
    """Histogram gradient boosting; missing values and categories handled by the trees."""

    name = "gradient boosting"
    # small trees: on the demo shop and on Telco larger ones are no better out of sample, and the tables of reasons grow with them
    settings = {"learning_rate": 0.06, "max_iter": 120, "max_leaf_nodes": 8, "l2_regularization": 1.0}

    def __init__(self, encoding, seed):
        self.encoding, self.seed = encoding, seed

    def fit(self, values, labels):
        """values: encoded array; labels: 0/1 array. Returns self."""
        n = len(self.encoding.numeric)
        is_category = np.arange(values.shape[1]) >= n
        self.reference = np.array([_typical(values[:, i], is_category[i]) for i in range(values.shape[1])])
        model = HistGradientBoostingClassifier(
            **self.settings,
            min_samples_leaf=max(20, len(values) // 1000),
            categorical_features=is_category if is_category.any() else None,
            early_stopping=False,
            random_state=self.seed,
        )
        self.trees = read_trees(model.fit(values, labels))
        return self

    def log_odds(self, values):
        """Log-odds of label 1: array (n_rows,)."""
        return self.trees.raw_prediction(values)

    def contributions(self, values, group_of, groups):
        """What each group of features adds to the log-odds: array (n_rows, groups).

        Exact Shapley values between groups against a typical training row (medians, most frequent levels).
        """
        group_of_column = [group_of[name] for name in self.encoding.names]
        tables = tree_shapley.tabulate(self.trees, self.reference[None, :], group_of_column)
        return tree_shapley.look_up(self.trees, tables, values, groups)

    def describe(self):
        """Settings; the trees themselves are in the model file."""
        return {"settings": self.settings}

    def to_dict(self):
        """All that log_odds and contributions read, as plain numbers."""
        return {"reference": _plain(self.reference), "trees": trees_to_dict(self.trees)}

    @classmethod
    def from_dict(cls, kept, encoding):
        """The fitted classifier that to_dict came from. Raises ValueError where its shapes do not fit the encoding."""
        model = cls(encoding, None)
        # a column that is mostly empty is typically missing
        model.reference = np.array([np.nan if value is None else value for value in kept["reference"]], float)
        model.trees = trees_from_dict(kept["trees"])
        if not len(model.reference) == model.trees.column_count == len(encoding.names):
            raise ValueError(f"the trees read {model.trees.column_count} columns, not {len(encoding.names)}")
        return model


def _plain(array):
    """Nested lists of an array's numbers, null for NaN."""
    return np.where(np.isnan(array), None, array).tolist() if np.asarray(array).dtype.kind == "f" else array.tolist()


def _numbers(kept, name):
    array = np.array(kept[name], float)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds what is no number")
    return array


def _typical(values, is_category):
    known = values[~np.isnan(values)]
    if len(known) < len(values) / 2:
        return np.nan
    return np.bincount(known.astype(int)).argmax() if is_category else np.median(known)
