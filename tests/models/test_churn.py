import datetime as dt
import json

import numpy as np
import polars as pl
import pytest

from pipeline.models import measures
from pipeline.models.churn import SCHEMA, fit_churn, predict_churn, run_churn
from pipeline.models.churn_reasons import (
    CATEGORICAL,
    NUMERIC,
    REASON_OF,
    REASONS,
    add_comparisons,
    add_derived,
    word_reasons,
)
from pipeline.models.classifiers import Boosting, Logistic, encode, fit_encoding
from pipeline.models.records import BACKTEST_SCHEMA
from pipeline.steps.scoring import name_values
from pipeline.tags.catalogue import CATALOGUE_FOLDER, load_catalogue

CUT_OFFS = [dt.date(2024, 1, 1), dt.date(2024, 4, 1), dt.date(2024, 7, 1)]
TONIGHT = dt.date(2024, 10, 1)


@pytest.fixture
def make_shop(make_facts):
    def make(n, as_of, seed, is_crooked=False):
        rng = np.random.default_rng(seed)
        gap = rng.gamma(4, 8, n) + 2
        recency = (rng.exponential(gap) % 90).astype(int) + 1
        orders = 1 + rng.poisson(4, n)
        tickets = rng.poisson(0.4, n)
        discount = rng.beta(2, 6, n)
        odds = -1 + np.log(recency / gap) + 0.8 * (tickets > 0) + 2 * (discount - 0.25) - 0.2 * (orders - 5)
        if is_crooked:
            # a rule that no straight line draws
            odds += 3 * ((tickets > 0) != (discount > 0.25)) - 1.5
        return make_facts(
            as_of=as_of,
            first_order_on=as_of - dt.timedelta(days=400),
            order_count=orders,
            order_day_count=orders,
            recency_days=recency,
            avg_gap_days=pl.Series(np.where(orders > 1, gap, np.nan)).fill_nan(None),
            order_count_90d=np.minimum(orders, 1 + rng.poisson(1, n)),
            discount_share=discount,
            ticket_count=tickets,
            ticket_count_90d=np.minimum(tickets, 1),
            complaint_count=pl.Series([None] * n, dtype=pl.Int64),
            avg_csat=pl.Series(np.where(rng.random(n) < 0.5, np.nan, rng.random(n))).fill_nan(None),
            top_sales_channel=rng.choice(["online", "store"], n),
            is_churned=rng.random(n) < 1 / (1 + np.exp(-odds)),
        )

    return make


@pytest.fixture
def make_sets(make_shop):
    def make(n=600, seed=1, **options):
        return [make_shop(n, as_of, seed * 10 + i, **options) for i, as_of in enumerate(CUT_OFFS)]

    return make


def test_what_is_no_number_is_taken_as_missing(make_shop, make_sets):
    def spoil(facts, value):
        spoilt = pl.int_range(pl.len()) % 10 == 0
        return facts.with_columns(pl.when(spoilt).then(value).otherwise(name).alias(name) for name in numbers)

    numbers = ("avg_gap_days", "discount_share", "avg_csat", "avg_order_amount")
    facts, sets = make_shop(500, TONIGHT, 9).drop("is_churned"), make_sets(1500)
    with_nan, with_null = (
        run_churn(spoil(facts, value), TONIGHT, *(spoil(frame, value) for frame in sets))
        for value in (pl.lit(float("nan")), pl.lit(None, dtype=pl.Float64))
    )
    assert with_null[1]["status"] == "used" and len(with_null[0]) == 500
    assert with_nan[0].equals(with_null[0]) and with_nan[1]["message"] == with_null[1]["message"]


@pytest.mark.parametrize("is_crooked", [False, True])
def test_a_night(make_shop, make_sets, is_crooked):
    facts = make_shop(500, TONIGHT, 9, is_crooked).drop("is_churned")
    scores, run, backtests = run_churn(facts, TONIGHT, *make_sets(2500, is_crooked=is_crooked))
    assert run["status"] == "used", run["message"]
    champion = "gradient boosting" if is_crooked else "logistic regression"
    assert json.loads(run["params"])["classifier"] == champion
    assert dict(scores.schema) == SCHEMA and scores["customer_id"].is_sorted() and len(scores) == 500
    assert scores["churn_probability"].is_between(0, 1).all()
    bands = scores.group_by("churn_band").agg(low=pl.min("churn_probability"), high=pl.max("churn_probability"))
    for band, low, high in bands.iter_rows():
        floor, ceiling = {"high": (0.7, 1), "medium": (0.4, 0.7), "low": (0, 0.4)}[band]
        assert floor <= low and high <= ceiling
    assert dict(backtests.schema) == BACKTEST_SCHEMA
    other = {"gradient boosting", "logistic regression"} - {champion}
    assert set(backtests["candidate"]) == {champion, *other}
    assert set(backtests["baseline"]) == {"base rate", "recency only", "actual", champion}
    of_challenger = backtests.filter(pl.col("baseline") == champion)
    assert set(of_challenger["candidate"]) == other
    assert backtests["cut_off"].unique().to_list() == [CUT_OFFS[2]]
    metrics = json.loads(run["metrics"])
    assert metrics["calibration_slope"] == pytest.approx(1, abs=0.25)
    assert "complaint_count" not in metrics["features"]
    assert run_churn(facts.sample(fraction=1, shuffle=True), TONIGHT, *make_sets(2500, is_crooked=is_crooked))[
        0
    ].equals(scores)


def test_probabilities_come_close_to_the_law(make_shop, make_sets):
    model = fit_churn(*make_sets(4000))
    facts = make_shop(4000, TONIGHT, 9)
    predicted = predict_churn(facts, model)["churn_probability"].to_numpy()
    actual = facts["is_churned"].cast(float).to_numpy()
    assert abs(predicted.mean() - actual.mean()) < 0.03
    assert measures.calibration_line(actual, predicted)[0] == pytest.approx(1, abs=0.15)


def test_reasons_speak_of_what_raises_the_risk(make_shop, make_sets):
    model = fit_churn(*make_sets(3000))
    facts = make_shop(1, TONIGHT, 1).with_columns(
        recency_days=pl.lit(85),
        avg_gap_days=pl.lit(20.4),
        ticket_count=2,
        ticket_count_90d=1,
        discount_share=0.1,
    )
    late = predict_churn(facts, model).row(0, named=True)
    assert late["reason_1"] == "no order for 85 days, usually every 20"
    assert late["reason_1_zh"] == "已85天未下单，通常20天一次"
    assert "1 service ticket in the last 90 days" in (late["reason_2"], late["reason_3"])
    assert "近90天有1个服务工单" in (late["reason_2_zh"], late["reason_3_zh"])
    calm = facts.with_columns(recency_days=pl.lit(1), ticket_count=0, ticket_count_90d=0, order_count=30)
    reasons = predict_churn(calm, model).row(0)[4:]
    assert not any("no order" in reason or "ticket" in reason for reason in reasons if reason)
    assert reasons.count(None) >= 2


def test_every_reason_has_words_in_both_languages(make_facts):
    filled = add_derived(
        make_facts(
            len(REASONS),
            avg_gap_days=5.0,
            **dict.fromkeys(set(NUMERIC) - {"gap_ratio", "avg_gap_days", "days_since_ticket"}, 1.0),
            **dict.fromkeys(CATEGORICAL, "store"),
        ).with_columns(pl.lit(None, dtype=pl.Datetime).alias("last_ticket_at"))
    )
    words = word_reasons(filled, np.eye(len(REASONS)))
    assert words["reason_1"].null_count() == words["reason_1_zh"].null_count() == 0
    assert words["reason_2"].null_count() == len(REASONS)
    assert words["reason_1"].n_unique() == words["reason_1_zh"].n_unique() == len(REASONS)
    too_small = word_reasons(filled, np.full((len(REASONS),) * 2, 0.01))
    assert too_small.null_count().sum_horizontal()[0] == 9 * len(REASONS)


def test_shares_and_categories_are_told_beside_those_of_everybody(make_facts):
    facts = make_facts(
        4,
        discount_share=[0.0, 0.0, 0.04, 0.2],
        avg_first_reply_hours=[10.0, 6.0, None, None],
        top_payment_method=["cash_on_delivery", "card", "card", "card"],
        top_payment_method_name=["Cash on delivery", "Card", "Card", "Card"],
        top_payment_method_name_zh=["货到付款", "银行卡", "银行卡", "银行卡"],
        top_category="Pets",
    )
    customers = add_derived(add_comparisons(facts))

    def said(feature, language=""):
        only = np.zeros((4, len(REASONS)))
        only[:, REASON_OF[feature]] = 1
        return word_reasons(customers, only)[f"reason_1{language}"].to_list()

    assert said("discount_share") == [
        "buys without discounts (average 6%)",
        "buys without discounts (average 6%)",
        "discounts are 4% of purchases (average 6%)",
        "discounts are 20% of purchases (average 6%)",
    ]
    assert said("discount_share", "_zh")[2:] == ["折扣占消费的4%（平均6%）", "折扣占消费的20%（平均6%）"]
    assert said("discount_share", "_kind") == ["discounts"] * 4
    assert said("avg_first_reply_hours") == [
        "waits 10 hours for a first reply from service (average 8)",
        "waits 6 hours for a first reply from service (average 8)",
        None,
        None,
    ]
    assert said("avg_first_reply_hours", "_zh")[0] == "等客服首次回复10小时（平均8小时）"
    assert said("top_payment_method")[0] == "usual payment: Cash on delivery (25% of customers)"
    assert said("top_payment_method", "_zh")[:2] == [
        "主要支付方式：货到付款（25%的客户相同）",
        "主要支付方式：银行卡（75%的客户相同）",
    ]
    # the catalogue of tags knows no categories of a shop: they stand as they are
    assert said("top_category")[0] == "usual category: Pets (100% of customers)"
    # of less than half a percent, and where nothing is known of others
    rare = customers.with_columns(top_payment_method_of_all=0.001, top_category_of_all=None)
    only = np.zeros((4, len(REASONS)))
    only[:, REASON_OF["top_payment_method"]] = 2
    only[:, REASON_OF["top_category"]] = 1
    words = word_reasons(rare, only).row(0, named=True)
    assert words["reason_1"] == "usual payment: Cash on delivery (under 1% of customers)"
    assert words["reason_1_zh"] == "主要支付方式：货到付款（不足1%的客户相同）"
    assert (words["reason_2"], words["reason_2_zh"]) == ("usual category: Pets", "主要品类：Pets")


def test_codes_are_called_as_the_tags_call_them():
    facts = pl.DataFrame({"top_payment_method": ["wechat_pay", "beans", None], "top_category": ["Pets", None, None]})
    named = name_values(facts, load_catalogue(CATALOGUE_FOLDER))
    assert named["top_payment_method_name"].to_list() == ["WeChat Pay", "beans", None]
    assert named["top_payment_method_name_zh"].to_list() == ["微信支付", "beans", None]
    assert named["top_category_name_zh"].to_list() == ["Pets", None, None]


@pytest.mark.parametrize("kind", [Logistic, Boosting])
def test_contributions_are_exact(make_sets, kind):
    rows = add_derived(make_sets(1500, is_crooked=True)[0])
    encoding = fit_encoding(rows, NUMERIC, CATEGORICAL)
    values = encode(rows, encoding)
    model = kind(encoding, 1).fit(values, rows["is_churned"].cast(float).to_numpy())
    parts = model.contributions(values, REASON_OF, len(REASONS))
    whole = model.log_odds(values)
    start = model.intercept if kind is Logistic else model.log_odds(model.reference[None, :])[0]
    assert parts.sum(axis=1) + start == pytest.approx(whole, abs=1e-9)
    if kind is Boosting:
        # two groups by hand: all orders of joining, from the model's own answers
        rhythm = [i for i, name in enumerate(encoding.names) if REASON_OF[name] == REASON_OF["recency_days"]]
        mixed = values[:20].copy()
        others = [i for i in range(values.shape[1]) if i not in rhythm]
        mixed[:, others] = model.reference[others]
        alone = model.log_odds(mixed) - start
        parts = model.contributions(mixed, REASON_OF, len(REASONS))
        assert parts[:, REASON_OF["recency_days"]] == pytest.approx(alone, abs=1e-9)


@pytest.mark.parametrize(
    ("sent", "reactions", "english", "chinese"),
    [
        (1, 2, "1 contact from us in 90 days, 2 reactions", "近90天触达1次，打开、点击等反应2次"),
        (4, 1, "4 contacts from us in 90 days, 1 reaction", "近90天触达4次，打开、点击等反应1次"),
        (3, 0, "3 contacts from us in 90 days, no reactions", "近90天触达3次，打开、点击等反应0次"),
    ],
)
def test_reactions_are_no_share_of_what_was_sent(sent, reactions, english, chinese):
    customers = pl.DataFrame({"outbound_count_90d": [sent], "response_count_90d": [reactions]})
    (reason,) = (reason for reason in REASONS if reason.code == "responses")
    assert customers.select(reason.words, chinese=reason.words_zh).row(0) == (english, chinese)


def test_a_level_never_seen_and_missing_columns(make_shop, make_sets):
    for is_crooked in (False, True):
        model = fit_churn(*make_sets(2000, is_crooked=is_crooked))
        facts = make_shop(50, TONIGHT, 9).with_columns(top_sales_channel=pl.lit("hologram"))
        scores = predict_churn(facts.drop("avg_csat", "ticket_count", "ticket_count_90d"), model)
        assert len(scores) == 50 and scores["churn_probability"].is_finite().all()


def test_only_active_customers_who_did_not_refuse(make_shop, make_sets):
    facts = make_shop(3, TONIGHT, 9).with_columns(
        recency_days=pl.Series([90, 91, 5]), is_profiling_allowed=pl.Series([True, True, False])
    )
    assert predict_churn(facts, fit_churn(*make_sets()))["customer_id"].to_list() == ["c000000"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame[:20], "active customers at the training cut-off (needs 200, has 20)"),
        (
            lambda frame: frame.with_columns(is_churned=pl.lit(True)),
            "customers who stayed after the training cut-off (needs 30, has 0)",
        ),
        (
            lambda frame: frame.with_columns(is_churned=pl.lit(False)),
            "customers who left after the training cut-off (needs 30, has 0)",
        ),
    ],
)
def test_not_enough_data(make_shop, make_sets, change, message):
    training, calibration, test = make_sets()
    facts = make_shop(30, TONIGHT, 9)
    scores, run, backtests = run_churn(facts, TONIGHT, change(training), calibration, test)
    assert (len(scores), run["status"], len(backtests)) == (0, "not enough data", 0)
    assert message in run["message"]
    empty = training.clear()
    assert run_churn(facts, TONIGHT, empty, empty, empty)[1]["status"] == "not enough data"


@pytest.mark.parametrize("is_churned", [True, False])
def test_all_or_none_churned_at_any_cut_off(make_shop, make_sets, is_churned):
    facts = make_shop(5, TONIGHT, 9)
    for place, name in enumerate(("training", "calibration", "test")):
        sets = make_sets()
        sets[place] = sets[place].with_columns(is_churned=pl.lit(is_churned))
        scores, run, backtests = run_churn(facts, TONIGHT, *sets)
        assert (len(scores), run["status"], len(backtests)) == (0, "not enough data", 0)
        who = "stayed" if is_churned else "left"
        assert f"customers who {who} after the {name} cut-off (needs" in run["message"]


def test_one_customer_constant_columns_and_nobody_to_score(make_shop, make_sets):
    training, calibration, test = make_sets()
    one = make_shop(1, TONIGHT, 9)
    _, run, _ = run_churn(one, TONIGHT, training[:1], calibration[:1], test[:1])
    assert "(needs 200, has 1)" in run["message"]
    same = [
        frame.with_columns(pl.col(name).first() for name in frame.columns if name not in ("customer_id", "is_churned"))
        for frame in (training, calibration, test)
    ]
    _, run, _ = run_churn(one, TONIGHT, *same)
    assert run["message"] == "not enough data: features that differ between customers (needs 1, has 0)"
    # one that differs at the training cut-offs, and nowhere else
    varied = [same[0].with_columns(training["recency_days"]), *same[1:]]
    assert run_churn(one, TONIGHT, *varied)[1]["status"] == "held"
    model = fit_churn(training, calibration, test)
    assert dict(predict_churn(one.clear(), model).schema) == SCHEMA
    assert len(predict_churn(one.with_columns(recency_days=pl.lit(None, pl.Int64)), model)) == 0


def test_further_cut_offs_are_further_tests_and_bands_hold(make_shop, make_sets):
    days = [dt.date(2023, 4, 1), dt.date(2023, 7, 1), dt.date(2023, 10, 1)]
    early = [make_shop(600, day, 40 + i) for i, day in enumerate(days)]
    training, calibration, test = make_sets()
    facts = make_shop(300, TONIGHT, 9)
    scores, run, backtests = run_churn(facts, TONIGHT, pl.concat([*early, training]), calibration, test)
    assert run["status"] == "used", run["message"]
    assert sorted(backtests["cut_off"].unique()) == [CUT_OFFS[0], CUT_OFFS[1], CUT_OFFS[2]]
    judged = backtests.filter((pl.col("metric") == "log_loss") & (pl.col("baseline") == "base rate"))
    assert (judged["value_low"] < judged["value"]).all() and (judged["value"] < judged["value_high"]).all()
    near = scores.filter(pl.col("churn_probability").is_between(0.4, 0.429)).select(
        "customer_id", churn_band=pl.lit("low")
    )
    again = run_churn(facts, TONIGHT, pl.concat([*early, training]), calibration, test, previous_bands=near)[0]
    kept = again.join(near, on="customer_id")
    assert len(near) and kept["churn_band"].unique().to_list() == ["low"]
    assert again.join(near, on="customer_id", how="anti").equals(scores.join(near, on="customer_id", how="anti"))


def test_a_feature_that_knows_the_outcome_holds_the_model_back(make_shop, make_sets):
    leaked = [frame.with_columns(return_count=pl.col("is_churned").cast(pl.Int64)) for frame in make_sets()]
    scores, run, backtests = run_churn(make_shop(30, TONIGHT, 9), TONIGHT, *leaked)
    assert (len(scores), run["status"]) == (0, "held") and len(backtests) > 0
    assert "too good to be true" in run["message"]


def test_pure_noise_is_held_back(make_shop, make_sets):
    noise = [
        frame.with_columns(is_churned=pl.Series(np.random.default_rng(i).random(len(frame)) < 0.3))
        for i, frame in enumerate(make_sets())
    ]
    scores, run, _ = run_churn(make_shop(30, TONIGHT, 9), TONIGHT, *noise)
    assert (len(scores), run["status"]) == (0, "held")
    assert "no better than the baseline" in run["message"] or "reversed" in run["message"]


def test_overlapping_label_windows_are_refused(make_shop, make_sets):
    training, calibration, test = make_sets()
    facts = make_shop(5, TONIGHT, 9)
    early = calibration.with_columns(as_of=pl.lit(dt.date(2024, 3, 1)))
    with pytest.raises(ValueError, match="training cut-off 2024-01-01 looks 90 days ahead, past calibration"):
        run_churn(facts, TONIGHT, training, early, test)
    with pytest.raises(ValueError, match="test cut-off 2024-07-01 looks 90 days ahead, past tonight"):
        run_churn(facts, dt.date(2024, 9, 1), training, calibration, test)


@pytest.mark.parametrize("seed", range(20))
def test_invariants(make_shop, make_sets, seed):
    training, calibration, test = make_sets(250, seed)
    model = fit_churn(training, calibration, test, seed=seed)
    scores = predict_churn(make_shop(50, TONIGHT, seed), model)
    assert scores["churn_probability"].is_between(0, 1).all()
    assert scores["reason_1"].is_null().equals(scores["reason_1_zh"].is_null())
    # a second reason needs a first
    assert scores.filter(pl.col("reason_1").is_null() & pl.col("reason_2").is_not_null()).is_empty()
