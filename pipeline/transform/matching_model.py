"""The Fellegi-Sunter model of matching.py, fitted and applied by Splink. Only this file needs the extra."""

import json
import logging
import math
import re
from dataclasses import dataclass
from statistics import median

from pipeline.warehouse import identifier, value

# how a column is compared -> (level, SQL over l and r) from the best level down; what meets none of them differs
LEVELS = {
    "exact": [("same", "{l} = {r}")],
    "name": [
        ("same", "{l} = {r}"),
        ("close", "jaro_winkler_similarity({l}, {r}) >= 0.92"),
        ("alike", "jaro_winkler_similarity({l}, {r}) >= 0.8"),
    ],
    # the numbers in an address or an e-mail are no typing error: they set neighbours and namesakes apart
    "text": [
        ("same", "{l} = {r}"),
        (
            "close",
            "jaro_winkler_similarity({l}, {r}) >= 0.88 and damerau_levenshtein({l}, {r}) <= 3"
            " and regexp_replace({l}, '[^0-9]', '', 'g') = regexp_replace({r}, '[^0-9]', '', 'g')",
        ),
    ],
    "code": [("same", "{l} = {r}"), ("close", "damerau_levenshtein({l}, {r}) <= 2")],
    "date": [
        ("same", "{l} = {r}"),
        (
            "close",
            "damerau_levenshtein({l}::varchar, {r}::varchar) <= 1"
            " or (year({l}) = year({r}) and month({l}) = day({r}) and day({l}) = month({r}))",
        ),
        ("within a year", "abs(date_diff('day', {l}, {r})) <= 366"),
    ],
}
# levels at which two values are taken for one
AGREEING = ("same", "swapped", "close")
# where the search for the share of matches among all pairs begins
FIRST_PRIOR = 1e-4
RANDOM_PAIRS = 1_500_000
TRAINING_PAIRS = 200_000
NEEDS_TRAINING_PAIRS = 50
# people move and change their number: no one comparison may rule a match out, however few pairs taught the model
LEAST_M = 0.01
# Splink's own value for what no random pair showed
LEAST_U = 1e-6


@dataclass(frozen=True)
class Model:
    """settings: Splink's, with every m and u in them. as_json: the shares alone, without a value of anybody."""

    settings: dict

    @property
    def as_json(self):
        shares = {
            comparison["output_column_name"]: {
                level["label_for_charts"]: [level["m_probability"], level["u_probability"]]
                for level in comparison["comparison_levels"]
                if not level.get("is_null_level")
            }
            for comparison in self.settings["comparisons"]
        }
        return json.dumps(shares, sort_keys=True)


def levels_of(comparison: dict) -> list[tuple[str, str]]:
    """(level, SQL over l.<column> and r.<column>) of a comparison, the best first, without the last one, `differs`.

    comparison: column, how (see LEVELS), and swapped_with where people write this column into that one.
    """
    left, right = (f"{side}.{identifier(comparison['column'])}" for side in "lr")
    levels = [(level, f"({sql.format(l=left, r=right)})") for level, sql in LEVELS[comparison["how"]]]
    if "swapped_with" in comparison:
        other_left, other_right = (f"{side}.{identifier(comparison['swapped_with'])}" for side in "lr")
        close = "coalesce(jaro_winkler_similarity({}, {}) >= 0.92, false)"
        levels.insert(1, ("swapped", f"({close.format(left, other_right)} or {close.format(other_left, right)})"))
    return levels


def fit_model(cursor, people: str, comparisons: list[dict], blocking: list[list[str]], seed: int) -> Model | None:
    """u from random pairs, m by expectation maximisation within the blocks of each list; None where no list has enough.

    people: a table with unique_id, component, the compared columns and block_<n> for each list. What no list could
    teach, since all block on it, keeps Splink's own m.
    """
    known = _register(cursor, people)
    linker = _linker(known, _settings(comparisons, len(blocking)))
    linker.training.estimate_u_using_random_sampling(max_pairs=RANDOM_PAIRS, seed=seed)
    settings = linker.misc.save_model_to_json()
    sessions = []
    for place, columns in enumerate(blocking, 1):
        pairs = value(
            cursor,
            f"select coalesce(sum(size * (size - 1) // 2), 0) from"
            f" (select count(*) as size from {people} where block_{place} is not null group by block_{place})",
        )
        if pairs >= NEEDS_TRAINING_PAIRS and {comparison["column"] for comparison in comparisons} - set(columns):
            same = " and ".join(f"l.{identifier(name)} = r.{identifier(name)}" for name in columns)
            rule = f"{same} and l.block_{place} = r.block_{place}"
            sessions += _learn(known, settings, rule, TRAINING_PAIRS if pairs > TRAINING_PAIRS else None)
    if not sessions:
        return None
    for comparison in settings["comparisons"]:
        levels = [level for level in comparison["comparison_levels"] if not level.get("is_null_level")]
        for place, level in enumerate(levels):
            learned = [
                m[comparison["output_column_name"]][place] for m in sessions if comparison["output_column_name"] in m
            ]
            untaught = 0.95 if place == 0 else 0.05 / (len(levels) - 1)
            level["m_probability"] = max(round(median(learned), 9) if learned else untaught, LEAST_M)
            level["u_probability"] = max(round(level.get("u_probability", LEAST_U), 9), LEAST_U)
    return Model(settings)


def _learn(known, settings, rule, max_pairs):
    """[{column: m of each level}] for the columns that the rule leaves open; [] where nothing can be learned.

    Each list has a linker of its own: Splink's takes harm from a session that fails.
    """
    from splink.internals.exceptions import EMTrainingException

    # on clear data an m can fall below what a double holds, and Splink stops; five steps are near enough then
    for steps in (25, 5):
        linker = _linker(known, settings | {"max_iterations": steps})
        try:
            linker.training.estimate_parameters_using_expectation_maximisation(
                rule, estimate_without_term_frequencies=True, max_pairs=max_pairs, record_sample_proportion=1.0
            )
        except (ValueError, EMTrainingException):
            continue
        found = {}
        for comparison in linker.misc.save_model_to_json()["comparisons"]:
            levels = [level for level in comparison["comparison_levels"] if not level.get("is_null_level")]
            if any("m_probability" in level for level in levels):
                found[comparison["output_column_name"]] = [level.get("m_probability", LEAST_M) for level in levels]
        return [found]
    return []


def score_pairs(cursor, people: str, model: Model, threshold: float) -> float:
    """Make the table scored: the pairs of the threshold or above, with weight, probability, and each comparison's part.

    Returns the prior: the share of matches among all pairs, those within components known, the others as the model
    expects them to be, found by iteration (Fellegi-Sunter's lambda; its expectation step over what was blocked).
    """
    before = _odds(FIRST_PRIOR)
    scored = _linker(_register(cursor, people), model.settings).inference.predict(threshold_match_weight=before)
    cursor.execute(f"create table evidence as select *, match_weight - ({before}) as bits from {scored.physical_name}")
    total, within = cursor.execute(
        f"select sum(size) * (sum(size) - 1) // 2, sum(size * (size - 1) // 2)"
        f" from (select count(*) as size from {people} group by component)"
    ).fetchall()[0]
    prior = FIRST_PRIOR
    for _ in range(20):
        # decimals, so that the sum is the same in any order
        expected = value(
            cursor,
            f"select coalesce(sum((1 / (1 + pow(2.0, -(bits + {_odds(prior)}))))::decimal(18, 9)), 0)::double from evidence",
        )
        prior = min(max((int(within) + expected) / int(total), 1 / int(total)), 0.5)
    cursor.execute(
        f"""
        create table scored as
        select *, bits + {_odds(prior)} as weight, 1 / (1 + pow(2.0, -weight)) as probability
        from evidence
        where round(1 / (1 + pow(2.0, -(bits + {_odds(prior)}))), 6) >= {float(threshold)}
        """
    )
    return round(prior, 12)


def _odds(probability):
    return math.log2(probability / (1 - probability))


def _register(cursor, people):
    # what Splink logs is for whoever develops a model, and it would stand among the night's lines
    logging.getLogger("splink").setLevel(logging.ERROR)
    from splink import DuckDBAPI

    return DuckDBAPI(cursor).register(people)


def _linker(known, settings):
    from splink import Linker

    return Linker(known, settings, log_level=None)


def _settings(comparisons, blocking_count):
    return {
        "link_type": "dedupe_only",
        "probability_two_random_records_match": FIRST_PRIOR,
        "comparisons": [_comparison(comparison) for comparison in comparisons],
        "blocking_rules_to_generate_predictions": [
            {"blocking_rule": f"l.block_{place} = r.block_{place} and l.component <> r.component"}
            for place in range(1, blocking_count + 1)
        ],
        "retain_matching_columns": True,
        "retain_intermediate_calculation_columns": True,
    }


def _comparison(comparison):
    name = comparison["column"]
    levels = [
        # Splink writes the columns of a pair as column_l and column_r
        {"sql_condition": re.sub(r'\b([lr])\."(\w+)"', r'"\2_\1"', sql), "label_for_charts": level}
        for level, sql in levels_of(comparison)
    ]
    # a frequent value says less than a rare one, and a placeholder next to nothing
    levels[0]["tf_adjustment_column"] = name
    unknown = f"{identifier(f'{name}_l')} is null or {identifier(f'{name}_r')} is null"
    if "only_without" in comparison:
        told = comparison["only_without"]
        unknown += f" or ({identifier(f'{told}_l')} is not null and {identifier(f'{told}_r')} is not null)"
    unknown_level = {
        "sql_condition": unknown,
        "label_for_charts": "unknown",
        "is_null_level": True,
    }
    return {
        "output_column_name": name,
        "comparison_levels": [unknown_level, *levels, {"sql_condition": "else", "label_for_charts": "differs"}],
    }
