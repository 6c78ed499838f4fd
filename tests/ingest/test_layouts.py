"""Every export that a layout of ours reads is told from every other by its header, whatever the file is called.

tests/ingest/fixtures/<layout>.csv, and <layout>.2.csv for another edition of the same export.
"""

import csv
from pathlib import Path

import pytest

from pipeline.ingest.recognition import nearest_layout, recognise
from tests.builders import our_layouts

FIXTURES = sorted((Path(__file__).parent / "fixtures").glob("*.csv"))


def header_of_fixture(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file))


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_an_export_is_recognised_by_its_header_alone(path):
    header = header_of_fixture(path)
    expected = path.name.split(".")[0]
    for one in (header, header[::-1], [cell.upper() for cell in header], [*header, "一列", "Another column"]):
        assert recognise("anything.csv", one, our_layouts()).name == expected


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_no_two_signatures_fit_an_export_equally(path):
    header = header_of_fixture(path)
    fitting = [one for one in our_layouts().values() if recognise("anything.csv", header, {one.name: one})]
    sizes = sorted((len(one.match_columns) for one in fitting), reverse=True)
    assert len(sizes) == 1 or sizes[0] > sizes[1]


def test_every_layout_has_a_fixture():
    ours = {name for name in our_layouts() if not name.startswith("demo_")}
    assert ours == {path.name.split(".")[0] for path in FIXTURES}


@pytest.mark.parametrize(
    "header",
    [
        "id,name,deal_status,owner,amount",
        "客户名称,成交状态,负责人,金额",
        "_id,name,account_id,email,amount",
        "_id,name,account_id,job_title,owner",
        "_id,name,account_id,order_time,order_amount",
        "_id,name,account_id,sales_stage,sales_status,amount",
        "_id,name,account_id,order_id,payment_time,payment_amount,payment_method",
        "record_id,first_name,last_name,email,create_date,phone",
        "record_id,name,company_owner,city",
        "record_id,deal_name,deal_stage,amount,close_date",
        "id,accountId,firstName,lastName,email,createdAt",
        "Contact ID,Account ID,First Name,Last Name,Email",
        "Id,Stage,Close Date,Created Date,Amount",
        "id,caseNumber,subject,status,createdDate",
        "Id,Requester,Subject,Status,Created at,Ticket type",
    ],
)
def test_a_table_of_everyday_names_is_nobodys_export(header):
    assert recognise("export.csv", header.split(","), our_layouts()) is None


def test_what_tells_a_system_apart_is_named_where_it_is_missing():
    name, missing = nearest_layout(["Id", "Stage", "Close Date", "Created Date", "Amount"], our_layouts())
    assert name == "salesforce_opportunity"
    assert missing == ["one of Fiscal Period, Opportunity ID, Opportunity Owner, StageName"]


@pytest.mark.parametrize(
    ("header", "layout"),
    [
        ("_id,name,account_no,deal_status,owner,high_seas_name", "fxiaoke_customers"),
        ("_id,name,account_id,mobile1,job_title", "fxiaoke_contacts"),
        ("_id,name,account_id,order_time,order_amount,life_status", "fxiaoke_orders"),
        ("hs_object_id,firstname,lastname,email,createdate", "hubspot_contacts"),
        ("record_id,deal_name,deal_stage,amount,associated_company_ids", "hubspot_deals"),
        ("Contact ID,Account ID,First Name,Last Name,Email,Email Opt Out", "salesforce_contact"),
        ("Opportunity ID,Stage,Close Date,Created Date", "salesforce_opportunity"),
    ],
)
def test_names_of_the_interface_are_known_with_one_that_is_the_systems_own(header, layout):
    assert recognise("export.csv", header.split(","), our_layouts()).name == layout
