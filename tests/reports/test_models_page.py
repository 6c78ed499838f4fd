"""What the page says of models: in use, held or short of data, right or wrong, moved, and what came true; in both languages."""

from datetime import date, timedelta

import openpyxl
import polars as pl
import pytest

from pipeline import night
from pipeline.models.drift import DRIFT_SCHEMA
from pipeline.models.records import BACKTEST_SCHEMA, MODEL_RUN_SCHEMA, make_backtests, make_model_run
from pipeline.reports.models_page import read_models
from pipeline.reports.page import write_page
from pipeline.reports.wording import STEPS, Wording
from pipeline.reports.workbook import WORDS, write_workbook
from pipeline.tags.build import build_tags
from pipeline.tags.catalogue import CATALOGUE_FOLDER, load_catalogue
from pipeline.warehouse import write_frame
from tests.tags.small_warehouse import AS_OF, insert, make_warehouse

HELD = "BG/NBD, fitted on 4,413 customers; spend of 90 days: nothing beats the baseline 'mean' (RMSE 648, BG/NBD 700, 2 cut-offs)"
CUT_OFF = AS_OF - timedelta(days=90)


def backtest(model, rows, cut_off=CUT_OFF, days=90, as_of=AS_OF):
    return make_backtests(as_of, model, cut_off, days, rows)


def moved(**row):
    row = {"as_of": AS_OF, "model": "churn", "kind": "feature", "status": "ok", "row_count": 900} | row
    return row | {"reference_as_of": row.get("reference_as_of", CUT_OFF), "reference_count": 800}


def warehouse(runs, backtests=(), drift=()):
    con = make_warehouse({})
    con.execute("drop table ops.model_runs; drop table ops.backtests")
    write_frame(con, "ops.model_runs", pl.DataFrame(list(runs), MODEL_RUN_SCHEMA))
    write_frame(con, "ops.backtests", pl.concat([pl.DataFrame(schema=BACKTEST_SCHEMA), *backtests]))
    write_frame(con, "ops.drift", pl.DataFrame(list(drift), DRIFT_SCHEMA))
    return con


def page_of(con, tmp_path, language):
    path = write_page(con, tmp_path / f"{language}.html", language, run_summary={"as_of": AS_OF})
    return path.read_text("utf-8")


def churn_run(as_of=AS_OF, status="used", message="fine", **metrics):
    return make_model_run(as_of, "churn", status, message, 900, {"a": 1}, metrics)


def test_the_version_is_in_use_since_it_was_first():
    runs = [churn_run(AS_OF - timedelta(days=back)) for back in (3, 1, 0)]
    other = make_model_run(AS_OF - timedelta(days=9), "churn", "used", "", 900, {"a": 2})
    (model,) = read_models(warehouse([*runs, other]), AS_OF)
    assert (model["since"], model["row_count"]) == (AS_OF - timedelta(days=3), 900)


def test_the_day_of_the_training_is_told_where_it_is_known(tmp_path):
    con = warehouse([churn_run() | {"trained_on": date(2025, 1, 31)}])
    assert "trained on 2025-01-31" in page_of(con, tmp_path, "en")
    # nights of earlier versions did not say
    con.execute("alter table ops.model_runs drop column trained_on")
    assert "this version since" in page_of(con, tmp_path, "en")


def test_a_night_that_only_scores_shows_the_last_backtest():
    before = backtest("churn", [("auc", 0.8, "base rate", 0.5, 700)], as_of=AS_OF - timedelta(days=2))
    older = backtest("churn", [("auc", 0.6, "base rate", 0.5, 700)], as_of=AS_OF - timedelta(days=9))
    (model,) = read_models(warehouse([churn_run()], [before, older]), AS_OF)
    assert [row["value"] for row in model["tests"][0]["measures"]] == [0.8]


def test_the_newest_origin_leads_and_the_others_are_its_course():
    rows = [
        backtest("churn", [("log_loss", 0.4 + back / 100, "base rate", 0.6, 700)], AS_OF - timedelta(days=90 * back))
        for back in (1, 2, 3)
    ]
    (model,) = read_models(warehouse([churn_run()], rows), AS_OF)
    (one,) = model["tests"]
    assert one["cut_off"] == CUT_OFF and one["leading"][0]["value"] == 0.41
    assert [row["value"] for row in one["course"][0]["origins"]] == [0.43, 0.42, 0.41]


def test_verdicts_follow_the_interval_of_the_difference_and_the_measure():
    def verdict(metric, low, high):
        row = (metric, 0.5, "base rate", 0.5, 700, None, 0.4, 0.6, low, high)
        (model,) = read_models(warehouse([churn_run()], [backtest("churn", [row])]), AS_OF)
        return model["tests"][0]["measures"][0]["verdict"]

    assert [verdict("log_loss", *ends) for ends in ((-2, -1), (1, 2), (-1, 1), (None, None))] == [
        "better",
        "worse",
        "unclear",
        None,
    ]
    assert [verdict("auc", *ends) for ends in ((-2, -1), (1, 2))] == ["worse", "better"]
    assert verdict("calibration_slope", -2, -1) is None


def test_the_hardest_baseline_is_the_one_told():
    rows = [
        ("auc", 0.8, "base rate", 0.5, 700),
        ("auc", 0.8, "recency only", 0.7, 700),
        ("log_loss", 0.5, "base rate", 0.6, 700),
        ("log_loss", 0.5, "recency only", 0.55, 700),
    ]
    (model,) = read_models(warehouse([churn_run()], [backtest("churn", rows)]), AS_OF)
    assert [row["baseline"] for row in model["tests"][0]["leading"]] == ["recency only"] * 2


def test_what_another_measure_says_of_a_chance_is_not_shown_twice():
    names = ("brier", "rmse", "mae", "normalised_gini", "buyer_auc", "orders_rmse")
    rows = [(name, 0.5, "base rate", 0.6, 700) for name in names]
    rows += [(f"buyer_decile_{place:02d}", place / 4, "actual", place / 5, 70) for place in (1, 2)]
    (model,) = read_models(warehouse([churn_run()], [backtest("churn", rows)]), AS_OF)
    (one,) = model["tests"]
    assert [row["metric"] for row in one["measures"]] == ["orders_rmse", "brier", "buyer_auc"]
    assert [picture["what"] for picture in one["pictures"]] == ["buyer"]
    assert Wording("en").measure("buyer", "auc") == "any order: AUC"


def test_the_candidate_in_use_is_shown_and_challengers_beside_it():
    used = {"purchases": "bgnbd", "orders_90d": "bgnbd", "spend_90d": "boosting"}
    run = make_model_run(AS_OF, "clv", "used", "", 900, {"used": used})
    rows = [
        (f"{what}_rmse", value, "zero", 9.0, 700, name)
        for what in ("orders", "spend")
        for name, value in (("bgnbd", 3.0), ("boosting", 2.0))
    ]
    rows += [("orders_pooled_squared_error", 4.0, "bgnbd", 9.0, 1400, "boosting", None, None, -6.0, -1.0)]
    rows += [(f"orders_decile_{place:02d}", place / 2, "actual", place, 70, "boosting") for place in (1, 2)]
    rows += [(f"orders_decile_{place:02d}", place / 1, "actual", place, 70, "bgnbd") for place in (1, 2)]
    (model,) = read_models(warehouse([run], [backtest("clv", rows)]), AS_OF)
    (one,) = model["tests"]
    assert {row["metric"]: row["value"] for row in one["leading"]} == {"orders_rmse": 3.0, "spend_rmse": 2.0}
    assert [row["candidate"] for row in one["candidates"] if row["is_in_use"]] == ["bgnbd", "boosting"]
    boosting = one["candidates"][1]["cells"]["orders_pooled_squared_error"]
    assert boosting["verdict"] == "better"
    assert one["pictures"][0]["points"] == [(1, 1), (2, 2)]


def test_one_that_others_were_held_against_shows_its_figure_too():
    run = make_model_run(AS_OF, "clv", "used", "", 900, {"used": {"purchases": "mbgnbd"}})
    rows = [
        ("orders_pooled_squared_error", 3.1, "bgnbd", 3.2, 700, "mbgnbd", None, None, -0.2, -0.1),
        ("orders_pooled_squared_error", 3.4, "bgnbd", 3.2, 700, "paretonbd", None, None, 0.1, 0.3),
    ]
    (model,) = read_models(warehouse([run], [backtest("clv", rows)]), AS_OF)
    cells = {one["candidate"]: one["cells"] for one in model["tests"][0]["candidates"]}
    assert set(cells) == {"mbgnbd", "paretonbd"}
    rows += [("orders_rmse", 2.0, "zero", 9.0, 700, "bgnbd")]
    (model,) = read_models(warehouse([run], [backtest("clv", rows)]), AS_OF)
    cells = {one["candidate"]: one["cells"] for one in model["tests"][0]["candidates"]}
    decisive = {name: of["orders_pooled_squared_error"] for name, of in cells.items()}
    figures = {name: (cell["value"], cell["verdict"]) for name, cell in decisive.items()}
    assert figures == {"bgnbd": (3.2, "worse"), "mbgnbd": (3.1, None), "paretonbd": (3.4, None)}


def test_totals_and_biases_have_one_sign(tmp_path):
    rows = [
        ("orders_total", 128.2, "actual", 100.0, 700),
        ("orders_bias_share", 0.282, "zero", -1.0, 700, None, 0.1, 0.5),
    ]
    con = warehouse([make_model_run(AS_OF, "clv", "used", "", 900)], [backtest("clv", rows)])
    page = page_of(con, tmp_path, "en")
    assert "128 foretold, 100 came (-22.0 % against the forecast)" in page
    assert "orders: total against the forecast" in page and "+28.2 %" not in page
    # the interval keeps its order; a forecast of nothing has no share
    assert "-33.3 % – -9.1 %" in page
    (one,) = read_models(con, AS_OF)[0]["tests"]
    assert one["measures"][0]["baseline_value"] is None


def test_an_interval_of_a_share_ends_at_nothing(tmp_path):
    row = {
        "model": "clv",
        "kind": "realised",
        "horizon_days": 90,
        "name": "spend_90d_total",
        "value": -0.9,
        "value_low": -1.073,
    }
    row |= {
        "value_high": -0.5,
        "expected_value": 100.0,
        "actual_value": 10.0,
        "warning_limit": 0.2,
        "status": "warning",
    }
    con = warehouse([make_model_run(AS_OF, "clv", "used", "", 900)], (), [moved(**row)])
    assert "99 % interval -100.0 % to -50.0 %" in page_of(con, tmp_path, "en")


def test_horizons_are_told_apart():
    rows = [backtest("clv", [("orders_total", days, "actual", 2 * days, 700)], days=days) for days in (365, 90)]
    (model,) = read_models(warehouse([make_model_run(AS_OF, "clv", "used", "", 900)], rows), AS_OF)
    assert [(one["horizon_days"], one["totals"]) for one in model["tests"]] == [
        (90, {"orders": (90, 180)}),
        (365, {"orders": (365, 730)}),
    ]


def test_what_moved_most_comes_first_in_words():
    rows = [moved(name="gap_ratio", value=0.3, status="warning"), moved(name="recency_days", value=0.9, status="watch")]
    rows += [moved(name="order_count_90d", value=0.5, status="warning"), moved(name="avg_csat", status="too few")]
    (model,) = read_models(warehouse([churn_run()], (), rows), AS_OF)
    assert [row["name"] for row in model["drifted"]] == ["order_count_90d", "gap_ratio", "recency_days"]
    assert (len(model["compared"]), model["unjudged_count"]) == (3, 1)
    assert "usual gap" in model["drifted"][1]["name_en"] and "间隔" in model["drifted"][1]["name_zh"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_everything_at_once_is_a_page(tmp_path, language):
    night = AS_OF - timedelta(days=100)
    realised = {"kind": "realised", "horizon_days": 90, "reference_as_of": night}
    drift = [moved(name="order_count_90d", value=0.5, warning_limit=0.25, status="warning")]
    drift += [moved(**realised, name="event_share", value=0.5, value_low=0.4, value_high=0.6, expected_value=0.2)]
    drift[-1] |= {"actual_value": 0.3, "warning_limit": 0.2, "status": "warning"}
    drift += [moved(**realised, name=name, value=0.41) for name in ("log_loss", "log_loss_of_base_rate", "auc")]
    drift += [moved(**realised, name="log_loss_over_base_rate", value=0.0, status="warning")]
    drift += [
        moved(**realised, name=f"decile_{place:02d}", expected_value=place / 20, actual_value=place / 25)
        for place in range(1, 11)
    ]
    drift += [moved(model="next_purchase", kind="realised", name="event_share", status="not yet", horizon_days=30)]
    drift += [moved(**realised | {"model": "clv"}, name="orders_90d_total", status="too few", row_count=7)]
    rows = [("auc", 0.8, "base rate", 0.5, 700, None, 0.75, 0.85, 0.2, 0.4)]
    rows += [(f"calibration_decile_{place:02d}", place / 20, "actual", place / 20, 70) for place in range(1, 11)]
    short = "not enough data: repeat buyers (needs 20, has 3)"
    runs = [
        churn_run(),
        make_model_run(AS_OF, "clv", "held", HELD, 0),
        make_model_run(AS_OF, "next_purchase", "not enough data", short, 0),
        make_model_run(AS_OF, "a_model_of_later", "used", "new", 5),
    ]
    page = page_of(warehouse(runs, [backtest("churn", rows)], drift), tmp_path, language)
    assert page.count("<circle") == 20
    told = {
        "en": [
            "in use",
            "held back",
            "it needs 20 repeat buyers and has 3",
            "no better than a simple rule of thumb",
            "better",
            "order_count_90d",
            "moved",
            "+50.0 %",
        ],
        "zh": [
            "使用中",
            "暂不使用",
            "需要 20，现有 3",
            "优于基线",
            "order_count_90d",
            "明显漂移",
            "+50.0%",
            "90 天消费：没有模型优于基线“一律为平均值”（均方根误差 648，BG/NBD 为 700，2 个截点）",
            "并不比简单的经验规则更准",
        ],
    }
    for words in told[language]:
        assert words in page, words
    assert str(AS_OF - timedelta(days=60)) in page
    assert "a_model_of_later" in page and "None" not in page


@pytest.mark.parametrize("language", ["en", "zh"])
def test_ops_tables_of_an_earlier_version_make_a_page(tmp_path, language):
    con = make_warehouse({})
    insert(con, "ops.model_runs", {"as_of": AS_OF, "model": "churn", "version": "v", "status": "used", "row_count": 5})
    known = {"as_of": AS_OF, "model": "churn", "cut_off": date(2026, 1, 1), "horizon_days": 90, "row_count": 5}
    insert(
        con, "ops.backtests", known | {"metric": "auc", "value": 0.7, "baseline": "base rate", "baseline_value": 0.5}
    )
    assert "0.700" in page_of(con, tmp_path, language)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_sheet_of_the_workbook_holds_the_same_figures(tmp_path, language):
    rows = [("auc", 0.8, "base rate", 0.5, 700, None, 0.75, 0.85, 0.2, 0.4)]
    drift = [moved(name="order_count_90d", value=0.5, warning_limit=0.25, status="warning")]
    drift += [
        moved(kind="realised", name="event_share", horizon_days=90, expected_value=0.2, actual_value=0.3, value=0.5)
    ]
    con = warehouse([churn_run()], [backtest("churn", rows)], drift)
    build_tags(con, load_catalogue(CATALOGUE_FOLDER), AS_OF)
    write_workbook(con, tmp_path / "book.xlsx", language, 10)
    sheet = list(openpyxl.load_workbook(tmp_path / "book.xlsx")[WORDS[language]["models"]].values)
    assert [row[7] for row in sheet[1:]] == [None, 0.8, 0.5, 0.3]
    assert [row[11] for row in sheet[1:]] == [None, 0.5, 0.25, 0.2]
    assert [row[12] for row in sheet[1:]] == [
        "fine",
        *{"en": ("better", "moved", "ok"), "zh": ("优于基线", "明显漂移", "正常")}[language],
    ]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_held_model_says_why_first_and_praises_nothing(tmp_path, language):
    message = "test AUC 1.000 is too good to be true (limit 0.98): look for a feature that knows the outcome"
    rows = [("auc", 1.0, "base rate", 0.5, 700, name, 0.9, 1.0, 0.2, 0.4) for name in ("boosting", "logistic")]
    rows += [("log_loss", value, "base rate", 0.6, 700, name) for name, value in (("boosting", 0.1), ("logistic", 0.2))]
    run = churn_run(status="held", message=message, champion="boosting")
    page = page_of(warehouse([run], [backtest("churn", rows)]), tmp_path, language)
    panel = page[page.index('<div class="model">') :]
    words = Wording(language)
    assert panel.index(words.why_held(message)) < panel.index("1.000") < panel.index("<details>")
    assert words("tested_mark") in panel and f">{words('in_use_mark')}<" not in panel
    assert 'class="state up"' not in panel and panel.index("<table>") > panel.index(words("tests_of_held"))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_a_model_lacks_is_said_once(tmp_path, language):
    message = "not enough data: customers with a second purchase day (needs 20, has 3)"
    page = page_of(warehouse([make_model_run(AS_OF, "clv", "not enough data", message, 0)]), tmp_path, language)
    panel = page[page.index('<div class="model">') :]
    assert panel.count({"en": "second purchase day", "zh": "第二个购买日"}[language]) == 1
    # nor is a version named that has no file, nor that it could not be tested: too few customers is why
    panel = panel[: panel.index("</div>")]
    assert 'class="note"' not in panel and 'class="missing"' not in panel
    # the section on value has no model panel, and says it in the same language
    value = page[page.index('<section id="value">') : page.index('<section id="churn">')]
    assert {"en": message, "zh": "数据不足：有第二个购买日的客户（需要 20，现有 3）"}[language] in value


def test_the_level_of_chances_is_told_and_marked_beyond_chance(tmp_path):
    def level(foretold, came, rows):
        tenths = [(f"calibration_decile_{place:02d}", foretold, "actual", came, rows) for place in range(1, 11)]
        tests = [backtest("churn", [("auc", 0.8, "base rate", 0.5, 700), *tenths])]
        return read_models(warehouse([churn_run()], tests), AS_OF)[0]["tests"][0]["level"]["verdict"]

    # 1,000 chances of .41 have a standard deviation of .0156
    assert [level(0.41, came, 100) for came in (0.28, 0.36, 0.38, 0.44, 0.46)] == ["high", "high", None, None, "low"]
    assert level(0.41, 0.28, 5) is None
    tenths = [(f"calibration_decile_{place:02d}", 0.41, "actual", 0.28, 100) for place in range(1, 11)]
    con = warehouse([churn_run()], [backtest("churn", [("auc", 0.8, "base rate", 0.5, 700), *tenths])])
    assert '<li class="bad">On average 41.0 % was foretold, but 28.0 % came' in page_of(con, tmp_path, "en")
    assert '<li class="bad">平均预测概率 41.0%，实际仅 28.0%：预测明显偏高' in page_of(con, tmp_path, "zh")


def test_points_and_ticks_have_no_exponents():
    words = Wording("en", "CNY")
    points = [("", 0.0123), ("orders", 3e-06), ("orders", 0.0), ("orders", 2.5), ("spend", 3e-06), ("spend", 12345.6)]
    assert [words.point(*point) for point in points] == ["1.2 %", "<0.01", "0.00", "2.50", "<¥0.01", "¥12,346"]
    assert [words.axis("orders", tick) for tick in (0.1 + 0.2, 20000, 0.000005)] == ["0.3", "20,000", "0.000005"]


def test_a_multiple_next_to_nothing_is_said_in_words():
    said = [Wording("en").multiple("returns", ratio) for ratio in (0.0, 0.049, 0.05, 0.37, 0.96, 2.13)]
    assert said[:2] == ["returns: hardly any"] * 2
    assert said[2:] == ["returns × 0.05", "returns × 0.37", "returns × 1.0", "returns × 2.1"]
    assert Wording("zh").multiple("退货占比", 0.0) == "退货占比：几乎没有"


def test_every_step_of_a_night_has_a_chinese_title():
    assert [title for title, _ in night.STEPS] == list(STEPS)
