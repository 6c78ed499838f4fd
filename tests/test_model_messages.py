"""Everything that models can say of themselves is in Chinese too. What they say in their own tests: see tests/models/conftest.py."""

import ast
import itertools
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipeline.model_messages import find_untranslated, translate, word_status
from pipeline.model_names import BASELINES, MEASURES, MODELS, feature_meaning
from pipeline.models import clv_checks, purchase_models
from pipeline.models.churn import CHURN
from pipeline.models.contract_churn import CONTRACT_CHURN
from pipeline.models.next_purchase import PURCHASE
from pipeline.models.purchase_models import Race, say_race
from pipeline.models.records import NotEnoughData
from pipeline.models.segment_watch import watch_fit, watch_shares

MODULES = sorted((Path(__file__).parents[1] / "pipeline" / "models").glob("*.py"))
GAMMA = "everyone's spend a day is the mean, 12.30 ({})"
OTHERS = {
    "churn": [
        "logistic regression: test AUC 0.767, test log loss 0.4996, baseline 'recency only' 0.5573",
        "gradient boosting is no better than the baseline at the newest test cut-off: test log loss 0.6, baseline 'base rate' 0.5",
        "gradient boosting is no better than the baseline 'own rate' beyond chance: log loss +0.0010 (-0.0020 to +0.0040) over 3"
        " test cut-off(s)",
        "at the newest test cut-off 37.3 % foretold, 26.3 % came: too high beyond chance, the ranks tell more than the chances",
        "at the newest test cut-off 26.9 % foretold, 26.3 % came; kept although no better than the baseline 'base rate' at the"
        " newest test cut-off; kept although better than the baseline 'recency only' not beyond chance: log loss -0.0135 (-0.0282"
        " to +0.0008) over 3 test cut-off(s)",
        "on the calibration cut-off the ranking is reversed or gone (slope -0.32): the past misleads",
        "at the newest cut-off the ranking is reversed or gone (slope 0.00)",
        "test AUC 1.000 is too good to be true (limit 0.98): look for a feature that knows the outcome; 'contract_amount' alone"
        " reaches 0.856",
        "'gap_ratio' alone nearly repeats the outcome (AUC 0.960, limit 0.95): it may be written after the cut-off; leave it out,"
        " or date it",
        "'x' lifts the test AUC from 0.738 to 0.872 (limit 0.830): it may be written after the cut-off; leave it out, or date it",
        "'x', with what is written with it, lifts the test AUC from 0.738 to 0.872 (limit 0.830): it may be written after the cut-off;"
        " leave it out, or date it",
        "'x' alone tells more (AUC 0.900) than all other features together (0.700): it may be written after the cut-off; leave it"
        " out, or date it",
        "'x' was filled for 80% or more at every past cut-off, tonight for 0%, and tells of the outcome (AUC 0.700): it becomes"
        " known later; leave it out, or mend its delivery",
    ],
    "rfm": [
        "cut-points of 2026-11-20 (4,413 customers)",
        "cut-points of 2026-11-20 (4,413 customers), held for 30 days, frequency and spend of 365 days; nobody can be in"
        " Champions, Need Attention",
    ],
    "horizon": ["90 days: 94.8% of repeat purchases before 2025-01-09 came sooner", "90 days, as set"],
    "segments": ["5 segments, silhouette -0.024; kept, not fitted tonight; segment 3 has outgrown its name"],
    "clv": [
        "BG/NBD, fitted on 4,413 customers; not judged: no past cut-off whose 90 days have passed",
        "not judged: no past cut-off with enough customers whose 90 days have passed",
        "judged at one past cut-off (needs 2 to replace a model): nothing is replaced",
        "not judged at 2025-01-01: no model of purchases has figures for everybody",
        "Pareto/NBD not judged over 365 days: no maximum found at 2025-01-01",
        "Pareto/NBD not judged: its figures are no numbers at 2026-01-01, 2025-10-03",
        "not judged: no model of purchases has figures at every past cut-off",
        "no gradient boosting at 1 of 3 past cut-offs: not enough data: customers at cut-offs with 90 days since (needs 1,000, has 7)",
        "MBG/NBD replaces BG/NBD (squared error -9.9 %, -13.2 % to -6.6 %)",
        GAMMA.format("repeaters who spent something: needs 20, has 3"),
    ],
}


@pytest.mark.parametrize("message", [message for messages in OTHERS.values() for message in messages])
def test_messages_have_chinese(message):
    assert find_untranslated(message) == []


def _said_of_lack():
    """what of every NotEnoughData(what, ...) in the models: its text as written, with sample values in its braces."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "NotEnoughData":
                yield path.name, ast.unparse(node.args[0])


@pytest.mark.parametrize(("module", "said"), sorted(set(_said_of_lack())))
def test_whatever_a_model_lacks_has_chinese(module, said):
    for event, name in itertools.product((CHURN, PURCHASE, CONTRACT_CHURN), ("training", "calibration", "test")):
        what = eval(said, {"event": event, "name": name, "BASE_DAYS": 90, "NEEDED": ("customer_id", "as_of")})
        assert find_untranslated(str(NotEnoughData(what, 1000, 3))) == [], module


def test_what_came_of_a_race_has_chinese():
    errors = {"bgnbd": 3.037, "boosting": 3.18, "mbgnbd": 3.1, "mean": 6.402, "zero": 9.0}
    gains = {"boosting": (-0.14, -0.203, -0.085), "mbgnbd": (0.01, -0.02, 0.04)}
    stays = Race("bgnbd", "bgnbd", errors, gains, None, 100)
    races = [stays, stays._replace(champion=None), stays._replace(champion="boosting")]
    races.append(stays._replace(champion="boosting", beaten_by="mean"))
    races.append(stays._replace(errors=errors | {"mean": 2.9}))
    races.append(stays._replace(errors=errors | {"mean": errors["bgnbd"]}))
    races.append(races[-2]._replace(gains={}))
    assert "kept although the baseline 'mean'" in say_race(races[-1], 4)
    assert translate(f"orders of 90 days: {say_race(races[-1], 4)}").endswith(
        "，4 个截点），基线“一律为平均值”更好，但未超出偶然，故继续采用"
    )
    for one, what in itertools.product(races, ("orders of 90 days", "spend of 365 days")):
        message = f"{what}: {say_race(one, 4)}"
        assert "; " not in message and find_untranslated(message) == []
    assert say_race(stays, 1) == (
        "BG/NBD (RMSE 1.74, baseline 'mean' 2.53, 1 cut-off), gradient boosting not better (squared error +4.6 %, +2.8 % to +6.7 %),"
        " MBG/NBD not better (squared error -0.3 %, -1.3 % to +0.7 %)"
    )
    assert translate(f"orders of 90 days: {say_race(stays, 1)}") == (
        "90 天订单：BG/NBD（均方根误差 1.74，基线“一律为平均值”为 2.53，1 个截点），"
        "梯度提升并不更好（平方误差 +4.6%，95%区间 +2.8% 至 +6.7%），MBG/NBD并不更好（平方误差 -0.3%，95%区间 -1.3% 至 +0.7%）"
    )


def test_errors_of_a_race_read_without_exponents():
    def rmse(value):
        return purchase_models._rmse(Race("a", "a", {"a": value**2}, {}, None, 1), "a")

    assert [rmse(value) for value in (0.0, 0.012, 1.743, 25.3, 99.7, 653.4, 2251.0)] == [
        "0",
        "0.0120",
        "1.74",
        "25.3",
        "99.7",
        "653",
        "2,251",
    ]


def test_what_is_doubted_has_chinese():
    metrics = {"repeater_count": 40, "repeat_count": 100, "fitted_repeat_count": 115.0}
    metrics |= {"bgnbd_start_count": 9, "bgnbd_agreeing_start_count": 7, "bgnbd_is_flat": True, "bgnbd_converged": True}
    purchases = pl.DataFrame({"age_days": [100, 200], "x": [1, 0]})
    scores = pl.DataFrame({"customer_id": ["a", "b"], "as_of": [None, None], "expected_orders_365d": [400.0, 1.0]})
    changes = [{}, {"bgnbd_is_flat": False}, {"bgnbd_agreeing_start_count": 2}, {"bgnbd_converged": False}]
    changes.append({"fitted_repeat_count": 10.0})
    infinite = scores.with_columns(expected_orders_365d=pl.lit(float("inf")))
    few = scores.with_columns(expected_orders_365d=pl.lit(1.0))
    found = set()
    for change, made in itertools.product(changes, (few, scores, infinite)):
        for part in clv_checks.check_belief("bgnbd", metrics | change, purchases, made)[1]:
            assert find_untranslated(part) == []
            found.add(part)
    assert len(found) == 10


def test_doubts_of_spend_have_chinese():
    z, search = np.array([1.0, 2.0]), type("Search", (), {"agreeing_count": 1, "start_count": 9})()
    good, whole = {"p": 6.0, "q": 4.0, "gamma": 15.0}, type("Search", (), {"agreeing_count": 9, "start_count": 9})()
    cases = [
        (good, whole, z, 0.9),
        (good | {"q": 0.5}, whole, z, 0.0),
        (good, search, z, 0.0),
        (good, whole, z / 99, 0.0),
    ]
    cases.append((good, whole, z * 99, 0.4))
    notes = [clv_checks.doubt_spend(*case)[1] for case in cases]
    assert len(set(notes)) == 5
    for note in notes:
        assert find_untranslated(note) == [] == find_untranslated(GAMMA.format(note))


def test_what_is_said_of_segments_has_chinese():
    jump = {"changed_share": 0.4, "left_shares": {1: 0.5, 3: 0.66}}
    for hold, moved in itertools.product((True, False), (jump, jump | {"left_shares": {}})):
        _, [[english, _]], words = watch_fit(moved, 0.3, hold)
        assert find_untranslated(english) == []
        assert (
            find_untranslated(f"5 segments, silhouette 0.224, stability 0.913; 4 matched to the model before{words}")
            == []
        )
    told = translate(watch_fit(jump, 0.3, True)[1][0][0])
    assert told.startswith("新模型使 40.0% 的客户改变分群，其中分群1的50.0%、分群3的66.0%（")
    quiet = watch_fit({"changed_share": 0.1, "left_shares": {}}, 0.3, True)[2]
    model = {"segments": [{"id": 2, "share": 0.1, "name": "Lapsed buyers (2)", "name_zh": "久未下单客户"}]}
    [[english, _]] = watch_shares({2: 0.6}, model, 0.3)
    message = (
        f"4 matched to the model before; fitted tonight but not used: 5 segments, silhouette 0.2{quiet}; {english}"
    )
    assert find_untranslated(message) == [] and "分群2现占客户 60.0%" in translate(message)


def test_english_left_within_a_part_is_found():
    assert find_untranslated("orders of 90 days: something quite new") == ["orders of 90 days: something quite new"]
    assert find_untranslated("90 days, as set; what is this") == ["what is this"]
    assert translate("90 days, as set; what is this") == "90 天（按设置）；what is this"


def test_a_status_is_said_once():
    lacking = str(NotEnoughData("customers with an order", 50, 3))
    assert word_status("clv", "not enough data", lacking) == (
        "Lifetime value: not enough data: customers with an order (needs 50, has 3)",
        "模型 客户生命周期价值：数据不足：有订单的客户（需要 50，现有 3）",
    )
    english, chinese = word_status(
        "churn", "held", next(said for said in OTHERS["churn"] if said.startswith("at the newest cut-off"))
    )
    assert english.startswith("Churn: held: at the newest") and chinese.startswith("模型 流失预测：暂不使用：最近截点")


@pytest.mark.parametrize("names", [MODELS, MEASURES, BASELINES], ids=["models", "measures", "baselines"])
def test_names_are_in_both_languages(names):
    for name, (english, chinese) in names.items():
        assert english and not any("\u4e00" <= sign <= "\u9fff" for sign in english), name
        assert chinese and " " not in chinese.strip() or "/" in chinese or "Brier" in chinese, name


@pytest.mark.parametrize("event", [CHURN, PURCHASE, CONTRACT_CHURN], ids=lambda event: event.name)
def test_every_feature_and_baseline_of_an_event_is_named(event):
    assert [name for name in (*event.numeric, *event.categorical) if not feature_meaning(name)] == []
    # as event_origins names it
    assert f"{event.rule_column.removesuffix('_days')} only" in BASELINES
