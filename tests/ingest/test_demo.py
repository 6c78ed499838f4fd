"""The demo shop keeps to its law, says every fault it plants, and is the same every time."""

import csv
import json
from collections import Counter
from datetime import date, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from pipeline.ingest import demo
from pipeline.ingest.demo import companies
from pipeline.ingest.demo.layouts import LAYOUTS
from tests.oracle import auc, best_churn_scores, churn_oracle

AS_OF = date(2026, 11, 1)
CUT_OFF = date(2026, 6, 1)
SOURCES = Path(demo.__file__).parents[1] / "sources"


class Shop:
    """A written demo shop and what is in its files."""

    def __init__(self, folder, customers, seed=7, signals=True):
        self.inbox, self.truth_dir = folder / "inbox", folder / "truth"
        self.said = demo.write_demo(self.inbox, self.truth_dir, customers, seed, AS_OF, signals)

    def truth(self, name):
        return pl.read_parquet(self.truth_dir / f"{name}.parquet")

    def rows(self, name):
        """Cells of every line of a file, by line number (the header is 1)."""
        with (self.inbox / name).open(encoding="utf-8-sig", newline="") as lines:
            return dict(enumerate(csv.reader(lines), start=1))

    def good(self, stem):
        """The lines of an export that are not planted faults, all text."""
        told = json.loads((self.truth_dir / "fault_lines.json").read_text(encoding="utf-8"))
        frames = []
        for path in sorted(self.inbox.glob(f"{stem}_2*.csv")):
            rows = self.rows(path.name)
            faulty = {line for lines in told.get(path.name, {}).values() for line in lines}
            kept = [cells for line, cells in rows.items() if line > 1 and line not in faulty]
            frames.append(pl.DataFrame(kept, schema=dict.fromkeys(rows[1], pl.String), orient="row"))
        return pl.concat(frames)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return Shop(tmp_path_factory.mktemp("shop"), 1_500)


@pytest.fixture(scope="module")
def plain_shop(tmp_path_factory):
    return Shop(tmp_path_factory.mktemp("plain"), 15_000, signals=False)


@pytest.fixture(scope="module")
def large_shop(tmp_path_factory):
    return Shop(tmp_path_factory.mktemp("large"), 15_000)


def digests(folder):
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*.*"))}


def test_same_arguments_write_the_same_bytes(tmp_path):
    first, again, other = (Shop(tmp_path / name, 300, seed) for name, seed in [("a", 1), ("b", 1), ("c", 2)])
    assert digests(first.inbox) == digests(again.inbox)
    assert digests(first.truth_dir) == digests(again.truth_dir)
    assert digests(first.inbox) != digests(other.inbox)


def test_people_do_not_depend_on_how_many_blocks_follow(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "BLOCK", 200)
    seen = []
    one = Shop(tmp_path / "one", 200)
    three = demo.write_demo(tmp_path / "in", tmp_path / "truth", 500, 7, AS_OF, progress=lambda *at: seen.append(at))
    assert seen == [(200, 500), (400, 500), (500, 500)]
    people = pl.read_parquet(tmp_path / "truth" / "customers.parquet")
    assert people["person_id"].to_list() == list(range(500))
    assert people.head(200).equals(one.truth("customers"))
    purchases = pl.read_parquet(tmp_path / "truth" / "purchases.parquet")
    assert purchases["order_no"].is_unique().all()
    assert purchases.filter(pl.col("person_id") < 200).equals(one.truth("purchases"))
    ids = pl.read_parquet(tmp_path / "truth" / "source_ids.parquet").drop_nulls("source_customer_id")
    assert ids.select("source", "source_customer_id").is_unique().all()
    assert three["people"] == 500


@pytest.mark.parametrize("customers", [0, -1, 10**9])
def test_an_impossible_number_of_customers_is_refused(tmp_path, customers):
    with pytest.raises(ValueError, match=f"customers is {customers}; choose 1 to"):
        demo.write_demo(tmp_path / "in", tmp_path / "truth", customers, 1, AS_OF)


@pytest.mark.parametrize("customers", [1, 2, 30])
def test_a_tiny_shop_can_be_written(tmp_path, customers):
    assert Shop(tmp_path, customers).said["people"] == customers


@pytest.mark.parametrize("seed", [1, 3, 20260101])
def test_a_shop_whose_people_work_for_no_company_can_be_written(tmp_path, seed):
    demo.write_demo(tmp_path / "in", tmp_path / "truth", 2, seed, AS_OF)
    assert pl.read_parquet(tmp_path / "truth" / "customers.parquet").height == 2


def test_every_file_has_the_lines_that_were_said(shop):
    on_disk = {path.name: len(shop.rows(path.name)) - 1 for path in shop.inbox.iterdir()}
    assert on_disk == shop.said["files"]


def test_every_planted_fault_is_where_it_was_said_and_no_other_line_is_broken(shop):
    told = json.loads((shop.truth_dir / "fault_lines.json").read_text(encoding="utf-8"))
    counts = {name: {kind: len(lines) for kind, lines in kinds.items()} for name, kinds in told.items()}
    assert counts == shop.said["faults"] == json.loads((shop.truth_dir / "faults.json").read_text(encoding="utf-8"))
    for layout in LAYOUTS:
        planted = Counter()
        for path in sorted(shop.inbox.glob(f"{layout.stem}_2*.csv")):
            rows = shop.rows(path.name)
            header = rows.pop(1)
            lines_alike = Counter(map(tuple, rows.values()))
            faulty = {line: kind for kind, lines in told.get(path.name, {}).items() for line in lines}
            planted.update(faulty.values())
            for line, cells in rows.items():
                kind = faulty.get(line)
                assert (len(cells) == len(header)) == (kind != "ragged_line"), (path.name, line)
                if kind in (None, "ragged_line"):
                    continue
                cell = cells[header.index(layout.faults[kind])]
                if kind == "exact_duplicate":
                    assert lines_alike[tuple(cells)] == 2
                elif kind == "missing_id":
                    assert cell == ""
                elif kind == "id_conflict":
                    assert cell in ("1", "2")
                else:
                    assert kind.split("_")[0] in ("bad", "negative", "unknown")
                    assert cell in (
                        "yesterday",
                        "31/31/2025",
                        "2025-02-30 10:00:00",
                        "N/A",
                        "abc",
                        "12..5",
                        "-1",
                        "???",
                    ) or (cell in ("nobody at example.com", "12345"))
            assert len(faulty) <= 0.0025 * len(rows)
        assert set(planted) <= set(layout.faults)
    for stem in ("shop_orders", "shop_order_items"):
        planted = {kind for name, kinds in told.items() if name.startswith(f"{stem}_2") for kind in kinds}
        assert planted == set(next(layout.faults for layout in LAYOUTS if layout.stem == stem))


def test_good_lines_have_a_key_of_their_own(shop):
    for layout in LAYOUTS:
        key = ["order_no", "line_no"] if layout.stem == "shop_order_items" else [layout.key]
        assert shop.good(layout.stem).select(key).is_unique().all(), layout.stem


def cents(*columns):
    return (pl.col(columns).cast(pl.Float64) * 100).round().cast(pl.Int64)


def test_lines_add_up_to_their_order(shop):
    money = ["items_total", "discount_total", "shipping_fee", "order_total"]
    orders = shop.good("shop_orders").with_columns(cents(*money))
    items = shop.good("shop_order_items").with_columns(
        cents("unit_price", "discount", "line_total"),
        pl.col("quantity").cast(pl.Int64),
    )
    assert (items["line_total"] >= 0).all() and (items["quantity"] >= 1).all()
    sums = items.group_by("order_no").agg(pl.col("line_total", "discount").sum())
    joined = orders.join(sums, on="order_no", how="full")
    assert joined.height == orders.height == shop.said["orders"]
    assert (joined["line_total"] + joined["shipping_fee"] == joined["order_total"]).all()
    assert (joined["discount"] == joined["discount_total"]).all()
    assert (joined["items_total"] - joined["discount_total"] + joined["shipping_fee"] == joined["order_total"]).all()
    as_sold = items.select(gap=pl.col("unit_price") * pl.col("quantity") - pl.col("discount") - pl.col("line_total"))
    assert (as_sold["gap"] == 0).all()


def test_orders_are_the_purchases_attempts_given_up_and_anonymous_sales(shop):
    orders = shop.good("shop_orders")
    nobody = (pl.col("customer_id") == "") & (pl.col("buyer_email") == "") & (pl.col("buyer_phone") == "")
    assert orders.filter(nobody).height == shop.said["anonymous_orders"] > 0
    sold = orders.filter(~nobody, pl.col("order_status") != "Cancelled")
    assert set(sold["order_no"]) == set(shop.truth("purchases")["order_no"])
    assert shop.truth("purchases").select("person_id", "purchased_on").is_unique().all()


def test_nothing_happens_on_as_of_or_later(shop):
    end = datetime.combine(AS_OF, datetime.min.time())
    for layout in LAYOUTS:
        frame = shop.good(layout.stem)
        # Shanghai is eight hours ahead of UTC all year
        last = end if layout.stem.startswith("crm") else end - timedelta(hours=8)
        for name in frame.columns:
            text = frame[name].filter(frame[name] != "")
            if name == "ended_at" or not text.str.contains(r"^\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d(:\d\dZ?)?$").any():
                continue
            times = text.str.strip_chars("Z").str.replace("T", " ").str.replace_all("/", "-")
            assert (times.str.slice(0, 16) < f"{last:%Y-%m-%d %H:%M}").all(), (layout.stem, name)


def test_addresses_in_the_files_are_those_of_the_truth_written_anyhow(shop):
    def normal_phone(column):
        digits = pl.col(column).str.replace_all(r"[^0-9]", "")
        # who gives no telephone may type one that passes the form
        return pl.when((digits != "") & (digits != "13800000000")).then(digits.str.slice(-11))

    def normal_email(column):
        return pl.when(pl.col(column) != "").then(pl.col(column).str.strip_chars().str.to_lowercase())

    truth = shop.truth("source_ids").sort("source", "source_customer_id")
    for source, frame in [
        (
            "crm",
            shop.good("crm_contacts").select(id="客户编号", email=normal_email("邮箱"), phone=normal_phone("手机")),
        ),
        (
            "shop",
            shop.good("shop_customers").select(
                id="customer_id", email=normal_email("email"), phone=normal_phone("mobile")
            ),
        ),
    ]:
        expected = truth.filter(pl.col("source") == source).drop_nulls("source_customer_id")
        found = frame.sort("id")
        for column, name in [("source_customer_id", "id"), ("email", "email"), ("phone", "phone")]:
            assert expected[column].to_list() == found[name].to_list()
    assert (
        shop.good("crm_contacts")["手机"]
        .str.contains(r"^(\+86 |0086)?134[- ]?9\d{3}[- ]?\d{4}$|^(13800000000)?$")
        .all()
    )
    per_source = truth.group_by("source").agg(pl.col("person_id").n_unique())
    people = dict(per_source.iter_rows())
    assert people["crm"] < 1_500 and people["shop"] < 1_500
    assert set(truth.filter(pl.col("source") == "crm")["person_id"]) - set(
        truth.filter(pl.col("source") == "shop")["person_id"]
    )


def test_companies_and_their_people_are_those_of_the_truth(shop):
    records, contacts = shop.good("crm_companies"), shop.good("crm_contacts")
    truth = shop.truth("companies").sort("source_company_id")
    assert records["企业编号"].sort().to_list() == truth["source_company_id"].to_list()
    assert set(contacts["企业编号"]) - {""} <= set(truth["source_company_id"])
    employment = shop.truth("employment")
    assert 0.05 < employment.height / 1_500 < 0.11
    stated = contacts.filter(pl.col("企业编号") != "").with_columns(
        person_id=pl.col("客户编号").str.slice(1).cast(pl.Int64)
    )
    named = stated.join(truth, left_on="企业编号", right_on="source_company_id").sort("person_id")
    told = employment.filter("is_stated").sort("person_id")
    assert named.select("person_id", "company_number").equals(told.select("person_id", "company_number"))
    # a company that stands there twice is found by a number or a domain that both records tell
    hosts = records.with_columns(host=pl.col("网址").str.to_lowercase().str.extract(r"([a-z]+\d+\.example)"))
    both = hosts.join(truth.filter("is_doubled"), left_on="企业编号", right_on="source_company_id")
    shared = both.group_by("company_number").agg(
        number=(pl.col("统一社会信用代码") != "").all() & (pl.col("统一社会信用代码").n_unique() == 1),
        host=pl.col("host").is_not_null().all() & (pl.col("host").n_unique() == 1),
    )
    assert (shared["number"] ^ shared["host"]).all()


def test_deals_keep_to_their_law(large_shop):
    deals = large_shop.good("crm_opportunities").with_columns(
        pl.col("创建时间", "关闭时间").str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False)
    )
    chance = companies.chance_of_stage()
    assert chance[0] == pytest.approx(0.2793)
    stages = ["初步接洽", "需求确认", "方案报价", "合同谈判"]
    still = deals.filter(pl.col("状态") == "进行中")
    stated = still.select(pl.col("阶段").replace_strict(dict(zip(stages, chance.round(2), strict=True)))).to_series()
    assert still["赢率"].cast(pl.Float64).to_list() == stated.to_list() and still.height > 20
    assert still["关闭时间"].is_null().all()
    # those begun a year ago are closed all but surely, so their fate is the law's
    old = deals.filter(pl.col("创建时间") < datetime(2025, 11, 1))
    won = (old["状态"] == "赢单").mean()
    assert won == pytest.approx(chance[0], abs=4 * np.sqrt(0.28 * 0.72 / old.height))
    lost_at = old.filter(pl.col("状态").is_in(["输单", "无效"]))["阶段"].value_counts(normalize=True)
    fates = np.cumprod([1, *companies.PASS_CHANCE[:-1]]) * (1 - companies.PASS_CHANCE)
    for stage, share in zip(stages, fates / fates.sum(), strict=True):
        assert lost_at.filter(pl.col("阶段") == stage)["proportion"].sum() == pytest.approx(share, abs=0.1), stage
    days = (old["关闭时间"] - old["创建时间"]).dt.total_seconds() / 86_400
    # 1, 2, 3 or 4 stages of 18 days
    expected = companies.STAGE_DAYS * np.cumprod([1, *companies.PASS_CHANCE[:-1]]).sum()
    assert days.mean() == pytest.approx(expected, rel=0.15)


def test_one_layout_fits_each_file_and_knows_all_its_words(shop):
    layouts = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in SOURCES.glob("demo_*.yaml")}
    matched = Counter()
    for path in shop.inbox.iterdir():
        stem = path.stem.rstrip("0123456789").rstrip("_")
        header = shop.rows(path.name)[1]
        fitting = [name for name, layout in layouts.items() if set(layout["match"]["columns"]) <= set(header)]
        assert fitting == [f"demo_{stem}"]
        matched.update(fitting)
        layout = layouts[fitting[0]]
        assert layout["layout"] == fitting[0]
        if stem in {layout.stem for layout in LAYOUTS}:
            frame = shop.good(stem)
        else:
            frame = pl.read_csv(path, infer_schema=False)
        for entity in layout["entities"].values():
            for spec in entity["columns"].values():
                column = spec if isinstance(spec, str) else spec.get("column")
                assert column is None or column in header
                if isinstance(spec, dict) and "values" in spec:
                    assert set(frame[column]) - {""} <= set(spec["values"])
    assert set(matched) == set(layouts)


def test_opt_outs_stand_in_every_system_and_end_the_mails(shop):
    events = shop.good("marketing_events").sort("occurred_at", "event_id")
    assert set(events["event"]) == {"sent", "opened", "clicked", "bounced", "unsubscribed", "spam_complaint"}
    ending = events.filter(pl.col("event").is_in(["bounced", "unsubscribed", "spam_complaint"]))
    assert ending["recipient"].is_unique().all() and ending.height > 20
    after = events.filter(pl.col("event") == "sent").join(ending, on="recipient", suffix="_of_end")
    assert after.filter(pl.col("occurred_at") > pl.col("occurred_at_of_end")).is_empty()
    bounced = ending.filter(pl.col("event") == "bounced")["recipient"]
    read = events.filter(pl.col("recipient").is_in(bounced.implode()))
    assert sorted(read["event"]) == ["bounced"] * bounced.len() + ["sent"] * bounced.len()
    never = shop.good("crm_interactions").filter(pl.col("结果") == "勿再致电")
    assert never.height > 2 and set(never["互动类型"]) == {"电话"}
    assert 0 < shop.good("crm_contacts").filter(pl.col("短信退订") == "1").height < 150
    assert set(shop.good("shop_customers")["newsletter"]) == {"", "yes", "no"}


def test_plain_purchases_keep_to_the_law(plain_shop):
    people = plain_shop.truth("customers").drop_nulls("purchase_rate_per_week")
    purchases = plain_shop.truth("purchases").join(people, on="person_id")
    law = json.loads((plain_shop.truth_dir / "law.json").read_text(encoding="utf-8"))["law"]
    assert people["purchase_rate_per_week"].mean() == pytest.approx(law["r"] / law["alpha"], rel=0.03)
    assert people["drop_out_chance"].mean() == pytest.approx(law["a"] / (law["a"] + law["b"]), rel=0.05)
    # repeat orders against the chance of one on each day a customer was still there
    last_day = pl.col("drop_out_on").fill_null(AS_OF - timedelta(days=1))
    exposure = people.select(
        (
            (last_day - pl.col("first_order_on")).dt.total_days() * (1 - (-pl.col("purchase_rate_per_week") / 7).exp())
        ).sum()
    ).item()
    repeats = purchases.height - people.height
    assert repeats == pytest.approx(exposure, rel=0.01)
    assert people["drop_out_on"].count() == pytest.approx(
        purchases["drop_out_chance_right"].sum() - people["drop_out_chance"].sum(), rel=0.03
    )
    assert purchases["amount"].sum() == pytest.approx(purchases["mean_order_amount"].sum(), rel=0.01)
    mean_spend = law["spend_p"] * law["spend_gamma"] / (law["spend_q"] - 1)
    assert people["mean_order_amount"].mean() == pytest.approx(mean_spend, rel=0.03)
    at_scale = purchases.height / plain_shop.said["people"]
    assert 8 < at_scale < 14


@pytest.mark.parametrize("name", ["plain_shop", "large_shop"])
def test_the_oracle_is_calibrated_and_not_beaten_by_recency_or_rate(name, request):
    shop = request.getfixturevalue(name)
    best = best_churn_scores(shop.truth_dir, CUT_OFF)
    for rows, probability, churned in best["calibration"]:
        assert churned == pytest.approx(probability, abs=4 * np.sqrt(probability * (1 - probability) / rows) + 0.005)
    assert 0.75 < best["auc"] < 0.9
    assert 0.15 < best["churned_share"] < 0.45
    frame = (
        churn_oracle(shop.truth_dir, CUT_OFF)
        .join(
            shop.truth("purchases")
            .filter(pl.col("purchased_on") < CUT_OFF)
            .group_by("person_id")
            .agg(pl.col("purchased_on").max(), pl.len()),
            on="person_id",
        )
        .join(shop.truth("customers"), on="person_id")
    )
    silence = (CUT_OFF - frame["purchased_on"]).dt.total_days()
    for rival in (
        silence,
        -frame["len"].cast(pl.Int64),
        -frame["purchase_rate_per_week"],
        frame["drop_out_chance"],
    ):
        assert auc(rival, frame["has_churned"]) < best["auc"] - 0.03


def test_oracle_refuses_a_cut_off_whose_outcome_is_not_known(shop):
    with pytest.raises(ValueError, match="holds no 90 days after it"):
        churn_oracle(shop.truth_dir, AS_OF - timedelta(days=30))


def test_auc_of_hand_checked_rows():
    # of the pairs (0.9, 0.1), (0.9, 0.5), (0.5, 0.1), (0.5, 0.5) three are right and one is tied
    assert auc([0.9, 0.5, 0.1, 0.5], [True, True, False, False]) == 3.5 / 4


def drop_out_share_after(shop, condition):
    """Share of people who stopped for good right after their last complaint, by the exported tickets."""
    tickets = (
        shop.good("helpdesk_tickets")
        .filter(pl.col("type") == "complaint")
        .with_columns(pl.col("created_at", "first_response_at").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", strict=False))
    )
    hours = (tickets["first_response_at"] - tickets["created_at"]).dt.total_minutes() / 60
    asked = tickets.filter(condition(hours)).select(
        email=pl.col("requester_email").str.strip_chars().str.to_lowercase(),
        opened_on=pl.col("created_at").cast(pl.Date),
    )
    known = shop.truth("source_ids").filter(pl.col("source") == "helpdesk").select("person_id", "email").drop_nulls()
    stopped = shop.truth("customers").select("person_id", "drop_out_on")
    joined = asked.join(known, on="email").join(stopped, on="person_id")
    days = (joined["opened_on"] - joined["drop_out_on"]).dt.total_days()
    return days.is_between(0, 6).fill_null(False).mean()


def test_slow_replies_to_complaints_come_before_churn_only_where_planted(large_shop, plain_shop):
    slow, quick = (drop_out_share_after(large_shop, condition) for condition in (lambda h: h > 15, lambda h: h < 10))
    assert slow > quick + 0.2
    slow, quick = (drop_out_share_after(plain_shop, condition) for condition in (lambda h: h > 15, lambda h: h < 10))
    assert slow == pytest.approx(quick, abs=0.03)


def test_seasons_and_discount_hunters_are_there_only_where_planted(large_shop, plain_shop):
    def lift(shop):
        """Daily purchases in 1-11 November 2025 over those of October, of hunters and of the others."""
        purchases = shop.truth("purchases").join(shop.truth("customers"), on="person_id")
        day = pl.col("purchased_on")
        season = purchases.filter(day.is_between(date(2025, 11, 1), date(2025, 11, 11)))
        before = purchases.filter(day.is_between(date(2025, 10, 1), date(2025, 10, 31)))
        return [
            season.filter(hunts).height / 11 / max(before.filter(hunts).height / 31, 1)
            for hunts in (pl.col("is_discount_hunter"), ~pl.col("is_discount_hunter"))
        ]

    hunters, others = lift(large_shop)
    assert hunters > 3 and 1.4 < others < 2.4
    hunters, others = lift(plain_shop)
    assert hunters == 0 and others == pytest.approx(1, abs=0.1)
