"""A night's drift: references kept, planted changes told, forecasts held against what came true at any as_of."""

import re
from datetime import date, datetime, timedelta
from types import SimpleNamespace

import duckdb
import numpy as np
import polars as pl
import pytest

from pipeline.model_names import IN_SHORT
from pipeline.models.contract_reasons import CATEGORICAL, NUMERIC
from pipeline.models.records import MODEL_RUN_SCHEMA, make_model_run
from pipeline.models.segment_features import FEATURES as FEATURES_OF_SEGMENTS
from pipeline.settings import Settings
from pipeline.steps.drifting import CLV_FACTS, SCORES, drift
from pipeline.steps.realising import word_realised
from pipeline.warehouse import write_frame

AS_OF = date(2026, 6, 1)
FEATURES = ["recency_days", "order_count_90d", "avg_order_amount", "top_category", "tenure_days"]


class Night(SimpleNamespace):
    """What the step needs of a night."""

    def warn(self, en, zh):
        self.warnings.append((en, zh))

    @property
    def orders_until(self):
        return self.as_of

    def rows(self, where="true"):
        return self.con.sql(f"select * from ops.drift where {where} order by all").pl().to_dicts()


@pytest.fixture
def make_night(tmp_path):
    def make(as_of=AS_OF, before=None):
        con = duckdb.connect()
        con.execute("create schema core; create schema scores; create schema ops; attach ':memory:' as work")
        con.execute("create table core.customers (customer_id varchar)")
        con.execute("create table core.identity_changes (customer_id varchar, current_customer_id varchar)")
        con.execute(
            "create table work.orders_known (customer_id varchar, ordered_at timestamp, ordered_on date,"
            " net_amount double, refund_amount double, is_counted boolean)"
        )
        previous = None
        if before:
            con.execute("attach ':memory:' as previous; create schema previous.ops")
            for table in ("drift", "drift_references"):
                write_frame(con, f"previous.ops.{table}", before.con.sql(f"select * from ops.{table}").pl())
            previous = "previous"
        return Night(
            con=con, as_of=as_of, previous=previous, settings=Settings(tmp_path), warnings=[], is_training=False
        )

    return make


def set_runs(night, *models, version="1"):
    """Models in use. version: other parameters, so another version."""
    params = {"horizon_days": 90, "features": FEATURES, "fit": version}
    runs = [make_model_run(night.as_of, model, "used", "", 500, params) for model in models]
    write_frame(night.con, "ops.model_runs", pl.DataFrame(runs, MODEL_RUN_SCHEMA))


def facts(as_of, seed, count=2000):
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "customer_id": [f"c{number}" for number in range(count)],
            "as_of": as_of,
            "order_count": rng.poisson(5, count) + 1,
            "recency_days": rng.integers(1, 120, count),
            "order_count_90d": rng.poisson(6, count) + 1,
            "avg_order_amount": rng.lognormal(5, 0.5, count),
            "top_category": [("鞋", "包", None)[place] for place in rng.integers(0, 3, count)],
            "tenure_days": rng.integers(1, 900, count),
            "avg_gap_days": rng.uniform(5, 60, count),
            "is_profiling_allowed": True,
        }
    )


def training():
    return pl.concat([facts(AS_OF - timedelta(days=90 * back), back) for back in (3, 4, 5)])


def run(night, looked_at=None):
    drift(night, looked_at or {}, lambda name, rows: None)
    return night


def test_features_are_held_against_the_newest_training_cut_offs(make_night):
    night = make_night()
    set_runs(night, "churn")
    run(night, {"churn": (training(), facts(AS_OF, 9))})
    rows = night.rows("kind = 'feature'")
    assert {row["name"]: row["status"] for row in rows} == dict.fromkeys(FEATURES, "ok")
    active = facts(AS_OF, 9).filter(pl.col("recency_days") <= 90)
    then = training().filter(pl.col("recency_days") <= 90, pl.col("as_of") >= AS_OF - timedelta(days=360))
    assert {(row["row_count"], row["reference_count"]) for row in rows} == {(len(active), len(then))}
    assert {row["reference_as_of"] for row in rows} == {AS_OF - timedelta(days=270)}
    assert night.warnings == []


def test_halved_orders_warn_on_a_night_that_only_scores_and_the_unmoved_do_not(make_night):
    first = make_night()
    set_runs(first, "churn")
    run(first, {"churn": (training(), facts(AS_OF, 9))})
    for halved in (False, True):
        night = make_night(AS_OF + timedelta(days=1), first)
        set_runs(night, "churn")
        tonight = facts(night.as_of, 10)
        if halved:
            tonight = tonight.with_columns(pl.col("order_count_90d") // 2)
        run(night, {"churn": (training().clear(), tonight)})
        told = {row["name"] for row in night.rows(f"status = 'warning' and as_of = date '{night.as_of}'")}
        assert told == ({"order_count_90d"} if halved else set())
        assert len(night.warnings) == halved
    (english, chinese) = night.warnings[0]
    assert "Churn: 1 of 5 features moved since 2025-09-04" in english and ": orders in 90 days " in english
    assert chinese.startswith("模型 流失预测：5 个特征中有 1 项") and "：近90天订单数 " in chinese
    # the references are still those of the training, and the night before is still there
    assert night.con.sql("select distinct as_of from ops.drift_references").fetchall() == [(AS_OF,)]
    assert night.rows(f"as_of = date '{AS_OF}'") == first.rows()


def scored(night, model, **columns):
    write_frame(night.con, f"scores.{model}", pl.DataFrame(columns))


def test_scores_are_held_against_the_training_before_and_kept_anew_with_a_new_version(make_night):
    rng = np.random.default_rng(1)
    nights = [make_night()]
    # training, scoring, training that moves the scores, scoring
    for number, (version, mean) in enumerate((("1", 2), ("1", 2), ("2", 5), ("2", 5))):
        night = nights[-1] if number == 0 else make_night(AS_OF + timedelta(days=number), nights[-1])
        set_runs(night, "churn", version=version)
        scored(night, "churn", churn_probability=rng.beta(mean, 3, 3000))
        nights += [] if number == 0 else [night]
        run(night)
    found = [night.rows(f"kind = 'score' and as_of = date '{night.as_of}'") for night in nights]
    assert [[row["status"] for row in rows] for rows in found] == [[], ["ok"], ["warning"], ["ok"]]
    assert [rows[0]["reference_as_of"] for rows in found[1:]] == [AS_OF, AS_OF, AS_OF + timedelta(days=2)]
    assert [len(night.warnings) for night in nights] == [0, 0, 1, 0]
    assert "trained anew" in nights[2].warnings[0][0] and "重新训练" in nights[2].warnings[0][1]


def test_what_is_fitted_on_tonights_facts_is_held_against_the_training_before(make_night):
    nights = [make_night()]
    for number, halved in enumerate((False, False, True)):
        night = nights[-1] if number == 0 else make_night(AS_OF + timedelta(days=number), nights[-1])
        nights += [] if number == 0 else [night]
        params = {"features": [{"name": "order_count_90d"}, {"name": "avg_order_amount"}]}
        segments = make_model_run(night.as_of, "segments", "used", "", 500, params)
        write_frame(night.con, "ops.model_runs", pl.DataFrame([segments], MODEL_RUN_SCHEMA))
        tonight = facts(night.as_of, number)
        if halved:
            tonight = tonight.with_columns(pl.col("order_count_90d") // 2)
        run(night, {"segments": (None, tonight)})
    found = [night.rows(f"as_of = date '{night.as_of}'") for night in nights]
    assert [{row["name"]: row["status"] for row in rows} for rows in found] == [
        {},
        {"avg_order_amount": "ok", "order_count_90d": "ok"},
        {"avg_order_amount": "ok", "order_count_90d": "warning"},
    ]


def test_where_gradient_boosting_gives_lifetime_values_its_features_are_watched(make_night):
    nights = [make_night()]
    for number, halved in enumerate((False, False, True)):
        night = nights[-1] if number == 0 else make_night(AS_OF + timedelta(days=number), nights[-1])
        nights += [] if number == 0 else [night]
        params = {"bgnbd": {}, "boosting": {"features": ["order_count_90d", "gap_ratio", "recency_days"]}}
        clv = make_model_run(night.as_of, "clv", "used", "", 500, params)
        write_frame(night.con, "ops.model_runs", pl.DataFrame([clv], MODEL_RUN_SCHEMA))
        tonight = facts(night.as_of, number).with_columns(
            order_day_count=pl.col("order_count"),
            net_spend_amount=pl.col("order_count") * pl.col("avg_order_amount"),
            first_order_on=pl.lit(night.as_of - timedelta(days=900)),
            last_order_on=pl.lit(night.as_of - timedelta(days=1)),
        )
        run(night, {"clv": (None, tonight.with_columns(pl.col("order_count_90d") // (1 + halved)))})
    last = {row["name"]: row["status"] for row in nights[-1].rows(f"as_of = date '{nights[-1].as_of}'")}
    assert last == {
        "avg_order_amount": "ok",
        "gap_ratio": "ok",
        "order_count_90d": "warning",
        "order_day_count": "ok",
        "recency_days": "ok",
    }


def test_a_night_of_an_earlier_date_uses_no_later_reference(make_night):
    later = make_night()
    set_runs(later, "churn")
    scored(later, "churn", churn_probability=np.linspace(0, 1, 500))
    run(later)
    earlier = make_night(AS_OF - timedelta(days=5), later)
    set_runs(earlier, "churn")
    scored(earlier, "churn", churn_probability=np.zeros(500))
    run(earlier)
    assert earlier.rows("kind = 'score'") == []
    assert earlier.con.sql("select distinct as_of from ops.drift_references").fetchall() == [(earlier.as_of,)]


def test_a_held_model_moves_nothing_and_keeps_its_reference(make_night):
    first = make_night()
    set_runs(first, "churn")
    scored(first, "churn", churn_probability=np.linspace(0, 1, 500))
    run(first)
    held = make_night(AS_OF + timedelta(days=1), first)
    run_row = make_model_run(held.as_of, "churn", "held", "", 0)
    write_frame(held.con, "ops.model_runs", pl.DataFrame([run_row], MODEL_RUN_SCHEMA))
    run(held)
    assert held.rows(f"as_of = date '{held.as_of}'") == [] and held.warnings == []
    assert held.con.sql("select as_of, name from ops.drift_references").fetchall() == [(AS_OF, "churn_probability")]


def make_snapshot(night, day, scores, horizon_days=90):
    """A snapshot with the scores of that day: model -> columns."""
    path = night.settings.snapshots / f"{day}.duckdb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as con:
        con.execute("create schema scores; create schema ops")
        runs = [make_model_run(day, model, "used", "", 1, {"horizon_days": horizon_days}) for model in scores]
        write_frame(con, "ops.model_runs", pl.DataFrame(runs, MODEL_RUN_SCHEMA))
        for model, columns in scores.items():
            write_frame(con, f"scores.{model}", pl.DataFrame(columns))


def add_orders(night, customers, when, counted=True, amount=100.0):
    rows = {"customer_id": customers, "ordered_at": when, "ordered_on": when.date(), "net_amount": amount}
    frame = pl.DataFrame(rows).with_columns(refund_amount=pl.lit(0.0), is_counted=counted)
    night.con.register("given", frame)
    night.con.execute("insert into work.orders_known by name select * from given")


IDS = [f"c{number:03d}" for number in range(300)]
THEN = AS_OF - timedelta(days=90)


@pytest.fixture
def shop(make_night):
    """300 customers, everyone foretold to leave with 0.5 and to buy on 2 days for 250, 90 days ago."""
    night = make_night()
    set_runs(night, "churn")
    scored(night, "churn", customer_id=IDS, churn_probability=[0.5] * 300)
    foretold = {"customer_id": IDS, "expected_orders_90d": [2.0] * 300, "clv_90d_amount": [250.0] * 300}
    make_snapshot(night, THEN, {"churn": {"customer_id": IDS, "churn_probability": [0.5] * 300}, "clv": foretold})
    night.con.register("ids", pl.DataFrame({"customer_id": IDS}))
    night.con.execute("insert into core.customers from ids")
    return night


def realised(night, name):
    (row,) = night.rows(f"kind = 'realised' and name = '{name}'")
    return row


def test_outcomes_are_counted_in_the_window_and_only_what_counts(shop):
    # 00:00 in Shanghai is 16:00 UTC of the day before
    begins = datetime(THEN.year, THEN.month, THEN.day) - timedelta(hours=8)
    ends = begins + timedelta(days=90)
    add_orders(shop, IDS[:100], begins)
    add_orders(shop, IDS[:100], begins + timedelta(hours=3))
    add_orders(shop, IDS[100:130], ends - timedelta(seconds=1))
    add_orders(shop, IDS[130:200], begins - timedelta(seconds=1))
    add_orders(shop, IDS[200:250], ends)
    add_orders(shop, IDS[250:], begins, counted=False)
    run(shop)
    share = realised(shop, "event_share")
    assert (share["expected_value"], share["actual_value"]) == (0.5, pytest.approx(170 / 300, abs=1e-6))
    assert (share["reference_as_of"], share["horizon_days"], share["row_count"]) == (THEN, 90, 300)
    orders, spend = realised(shop, "orders_90d_total"), realised(shop, "spend_90d_total")
    # two orders of one business day are one purchase day
    assert (orders["expected_value"], orders["actual_value"]) == (600, 130)
    assert (spend["expected_value"], spend["actual_value"]) == (75_000, 23_000)
    told = [english.split(" foretold")[0] for english, _ in shop.warnings]
    assert told == ["Lifetime value: orders", "Lifetime value: spend"]
    assert shop.warnings[1] == (
        f"Lifetime value: spend foretold on {THEN} for 90 days: ¥75,000, ¥23,000 came true (-69.3 %, over 300 customers; limit 20 %)",
        f"模型 客户生命周期价值：{THEN} 对未来 90 天消费额的预测为 ¥75,000，实际为 ¥23,000（偏差 -69.3%，300 位客户，限值 20%）",
    )


def test_merged_ids_are_one_person_and_erased_ones_nobody(shop):
    # c001 is c000 since, c002 was erased
    shop.con.execute("delete from core.customers where customer_id in ('c001', 'c002')")
    shop.con.execute("insert into core.identity_changes values ('c001', 'c000'), ('c009', 'c008')")
    add_orders(shop, ["c000", "c008"], datetime(2026, 4, 1, 12))
    run(shop)
    share, orders = realised(shop, "event_share"), realised(shop, "orders_90d_total")
    # the person came back under each of the two ids; c009 is still a customer of its own
    assert (share["row_count"], share["actual_value"]) == (299, pytest.approx(296 / 299, abs=1e-6))
    assert (orders["row_count"], orders["expected_value"], orders["actual_value"]) == (298, 598, 2)


def test_contracts_are_judged_by_the_definition_that_their_model_learns(make_night):
    night = make_night()
    set_runs(night, "contract_churn")
    con = night.con
    con.execute("set search_path = 'memory.main,work.main'")
    con.execute("create table work.former_customers (as_of date, customer_id varchar, current_customer_id varchar)")
    con.execute(
        "create table work.subscriptions_known (customer_id varchar, started_at timestamp, lapses_at timestamp)"
    )
    con.register("ids", pl.DataFrame({"customer_id": [one for one in IDS if one not in ("c001", "c002")]}))
    con.execute("insert into core.customers from ids")
    # c001 is c000 since, c002 was erased
    con.execute("insert into core.identity_changes values ('c001', 'c000')")
    chances = {"customer_id": IDS, "churn_probability": [0.5] * 300}
    make_snapshot(night, THEN, {"contract_churn": chances})
    # 00:00 of AS_OF in Shanghai
    ends = datetime(AS_OF.year, AS_OF.month, AS_OF.day) - timedelta(hours=8)
    began = ends - timedelta(days=200)
    contracts = [(one, began, None) for one in IDS[:100]]
    # over when the horizon is over, or still to be renewed in time
    contracts += [(one, began, ends - timedelta(seconds=1)) for one in IDS[100:150]]
    contracts += [(one, began, ends) for one in IDS[150:180]]
    # lapsed, but a new one began within the horizon; or only after it
    contracts += [(one, began, ends - timedelta(days=60)) for one in IDS[180:]]
    contracts += [(one, ends - timedelta(seconds=1), None) for one in IDS[180:190]]
    contracts += [(one, ends, None) for one in IDS[190:200]]
    con.executemany("insert into work.subscriptions_known values (?, ?, ?)", contracts)
    run(night)
    share = realised(night, "event_share")
    # 300 less the erased; kept: 99 of the first hundred (c001 under its new id), 30 and 10
    assert (share["row_count"], share["horizon_days"], share["reference_as_of"]) == (299, 90, THEN)
    assert share["actual_value"] == pytest.approx((299 - 139) / 299, abs=1e-6)
    assert realised(night, "auc")["value"] == 0.5


def test_the_newest_forecast_whose_horizon_is_over_is_judged(shop):
    for days, chance in ((89, 0.9), (120, 0.1), (91, 0.2)):
        day = AS_OF - timedelta(days=days)
        make_snapshot(shop, day, {"churn": {"customer_id": IDS, "churn_probability": [chance] * 300}})
    run(shop)
    assert realised(shop, "event_share")["reference_as_of"] == THEN
    make_snapshot(shop, THEN, {"churn": {"customer_id": IDS, "churn_probability": [0.5] * 300}}, horizon_days=91)
    run(shop)
    assert realised(shop, "event_share")["expected_value"] == pytest.approx(0.2)


def test_a_young_shop_says_from_when_on_there_are_outcomes(make_night):
    night = make_night()
    set_runs(night, "churn", "clv")
    scored(night, "churn", customer_id=IDS, churn_probability=[0.5] * 300)
    scored(night, "clv", customer_id=IDS, expected_orders_90d=[2.0] * 300, clv_365d_amount=[9.0] * 300)
    run(night)
    waiting = night.rows("kind = 'realised'")
    assert {(row["name"], row["status"], row["reference_as_of"]) for row in waiting} == {
        ("event_share", "not yet", AS_OF),
        ("orders_90d_total", "not yet", AS_OF),
    }
    first = AS_OF - timedelta(days=30)
    make_snapshot(night, first, {"churn": {"customer_id": IDS, "churn_probability": [0.5] * 300}})
    run(night)
    assert realised(night, "event_share")["reference_as_of"] == first


def test_a_snapshot_that_cannot_be_read_costs_no_night(shop):
    broken = shop.settings.snapshots / f"{AS_OF - timedelta(days=1)}.duckdb"
    broken.write_bytes(b"not a database" * 1000)
    run(shop)
    assert realised(shop, "event_share")["reference_as_of"] == THEN
    assert any(broken.name in english and broken.name in chinese for english, chinese in shop.warnings)


def test_chances_that_were_worse_than_none_are_warned_of_until_the_model_has_learnt_from_them():
    row = {
        "model": "next_purchase",
        "name": "log_loss_over_base_rate",
        "reference_as_of": THEN,
        "horizon_days": 30,
        "value": 0.0123,
    }
    over = THEN + timedelta(days=30)
    for trained_on in (None, THEN, over - timedelta(days=1)):
        english, chinese = word_realised(row, "CNY", trained_on)
        assert english.startswith("Next purchase in 30 days: ") and english.endswith(
            "do not act on them until it is trained anew"
        )
        assert chinese.startswith("模型 30天内再次购买：") and chinese.endswith("重新训练前请勿据此行动")
    english, chinese = word_realised(row, "CNY", over)
    assert english.endswith(f"it was trained anew since, on {over}") and chinese.endswith(f"此后已于 {over} 重新训练")


def test_what_is_watched_has_a_short_name_in_both_languages():
    scores = {name for names in SCORES.values() for name in names}
    for name in {*NUMERIC, *CATEGORICAL, *FEATURES_OF_SEGMENTS, *CLV_FACTS, *scores}:
        english, chinese = IN_SHORT[name]
        assert (
            not re.search("[_\u4e00-\u9fff]", english) and re.search("[\u4e00-\u9fff]", chinese) and "_" not in chinese
        ), name
