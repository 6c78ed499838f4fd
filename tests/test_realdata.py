"""Whole nights on real data, accounted for to the last row."""

import shutil
from datetime import date
from pathlib import Path

import duckdb
import pytest

import flows
from pipeline.settings import read_settings

REALDATA = Path(__file__).parents[2] / "shared" / "data"
FOLDERS = Path(__file__).parent / "realdata"

pytestmark = [pytest.mark.realdata, pytest.mark.slow, pytest.mark.usefixtures("prefect_harness")]


def run_night(tmp_path, name, files, as_of):
    data_dir = tmp_path / name
    shutil.copytree(FOLDERS / name, data_dir)
    (data_dir / "inbox").mkdir()
    for file in files:
        shutil.copy(REALDATA / name / file, data_dir / "inbox")
    flows.nightly_flow(str(data_dir), str(as_of))
    return duckdb.connect(str(read_settings(data_dir).warehouse), read_only=True)


def accounts(con):
    return {
        (file, entity): tuple(counts)
        for file, entity, *counts in con.execute(
            "select file_name, entity, lines_read, landed, rejected, duplicates, record_count from ops.reconciliation"
        ).fetchall()
    }


def test_cdnow(tmp_path):
    with run_night(tmp_path, "cdnow", ["CDNOW_sample.txt"], date(1998, 7, 1)) as con:
        assert accounts(con) == {
            ("CDNOW_sample.txt", "orders"): (6919, 6919, 0, 0, 6919),
            ("CDNOW_sample.txt", "order_items"): (6919, 6919, 0, 0, 6919),
        }
        assert con.execute("select count(*), sum(order_count) from marts.customer_facts").fetchall() == [(2357, 6919)]
        # independent count from the file itself
        lines = [line.split() for line in (REALDATA / "cdnow" / "CDNOW_sample.txt").read_text().splitlines()]
        assert len({line[1] for line in lines}) == 2357
        days = len({(line[1], line[2]) for line in lines})
        spend = sum(round(float(line[4]) * 100) for line in lines)
        facts = con.execute(
            "select sum(order_day_count), sum(net_spend_amount) * 100 from marts.customer_facts"
        ).fetchall()
        assert facts == [(days, spend)]
        assert con.execute("select count(*) from scores.clv").fetchall() == [(2357,)]
        statuses = dict(con.execute("select model, status from ops.model_runs").fetchall())
        assert statuses["rfm"] == statuses["clv"] == "used"
        # no file delivers subscriptions: nothing is foretold of contracts, and the table is there for the tags
        assert "contract_churn" not in statuses
        assert con.execute("select count(*) from scores.contract_churn").fetchall() == [(0,)]


def test_complete_journey(tmp_path):
    files = [
        "campaign_descriptions.csv",
        "campaigns.csv",
        "coupon_redemptions.csv",
        "demographics.csv",
        "products.csv.gz",
        "transactions_sample.csv.gz",
    ]
    with run_night(tmp_path, "complete_journey", files, date(2018, 1, 1)) as con:
        assert accounts(con) == {
            ("campaign_descriptions.csv", "campaigns"): (27, 27, 0, 0, 27),
            ("campaigns.csv", "interactions"): (6589, 6589, 0, 0, 6589),
            ("coupon_redemptions.csv", "interactions"): (2102, 2102, 0, 0, 2102),
            ("demographics.csv", "customers"): (801, 801, 0, 0, 801),
            ("products.csv.gz", "products"): (92331, 92331, 0, 0, 92331),
            ("transactions_sample.csv.gz", "orders"): (75000, 75000, 0, 0, 47243),
            ("transactions_sample.csv.gz", "order_items"): (75000, 75000, 0, 0, 75000),
        }
        buyers = "select count(*) from marts.customer_facts where order_count > 0"
        assert con.execute(buyers).fetchall() == [(2377,)]
        undescribed = (
            "select count(*) from core.customers inner join marts.customer_facts using (customer_id)"
            " where not is_described and order_count > 0"
        )
        assert con.execute(undescribed).fetchall() == [(1576,)]
        late = "select count(*) from core.order_items where ordered_at >= timestamp '2018-01-01'"
        assert con.execute(late).fetchall() == [(23,)]
        assert con.execute("select count(*) from core.order_items where quantity = 0").fetchall() == [(416,)]
        # 00:00 of 2018 in New York is 05:00 UTC: the 23 lines are still of 2017, and count
        assert con.execute("select max(last_order_on)::varchar from marts.customer_facts").fetchall() == [
            ("2017-12-31",)
        ]
        sums = con.execute(
            "select (select sum(net_spend_amount) from marts.customer_facts),"
            " (select round(sum(sales_value - coupon_disc - coupon_match_disc), 2)::decimal(18, 2) from read_csv(?))",
            (str(REALDATA / "complete_journey" / "transactions_sample.csv.gz"),),
        ).fetchall()
        assert sums[0][0] == sums[0][1]
