"""Precision and recall of pairs on people whose truth is known: exact identifiers alone, and with probable links."""

import shutil
from datetime import date, datetime
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pytest

from pipeline.ingest.contracts import load_contracts
from pipeline.transform.build import set_night
from pipeline.transform.components import connect_components
from pipeline.transform.identity import resolve_customers
from pipeline.transform.identity_rules import Identifier, load_rules
from pipeline.transform.matching import probable_links
from pipeline.transform.people import describe_people
from pipeline.transform.references import collect_references
from pipeline.transform.staging import read_landed, stage_entities
from tests.builders import Intake

REALDATA = Path(__file__).parents[2] / "shared" / "data"
LAYOUTS = Path(__file__).parent / "realdata" / "people" / "sources"
AS_OF = date(2999, 1, 1)

FILES = {
    "dataset1": ["febrl/dataset1.csv"],
    "dataset3": ["febrl/dataset3.csv"],
    "dataset4": ["febrl/dataset4a.csv", "febrl/dataset4b.csv"],
    "fake_1000": ["splink_fake_1000/fake_1000.csv"],
}
EXACT = {
    "id": Identifier("national_id", ("national_id",)),
    "email": Identifier("email", ("email",)),
    "name": Identifier("name_and_birth", ("surname", "given_name", "birth_date")),
}
# (true pairs, pairs found, of them right)
DETERMINISTIC = {
    ("dataset1", "id"): (500, 450, 450),
    ("dataset1", "id name"): (500, 472, 472),
    ("dataset3", "id"): (6538, 5601, 5601),
    ("dataset3", "id name"): (6538, 6069, 6069),
    ("dataset4", "id"): (5000, 4561, 4561),
    ("dataset4", "id name"): (5000, 4771, 4771),
    ("fake_1000", "email"): (2031, 682, 682),
    ("fake_1000", "email name"): (2031, 823, 823),
}
# at least (precision, recall) at .95, as shipped and with one_each empty, Splink's threshold alone
PROBABLE = {
    "dataset1": ((1, 0.985), (1, 0.995)),
    "dataset3": ((1, 0.980), (1, 0.998)),
    "dataset4": ((1, 0.985), (0.999, 0.995)),
    "fake_1000": ((1, 0.780), (1, 0.840)),
}

pytestmark = [pytest.mark.realdata, pytest.mark.slow]


def identify(tmp_path, data, exact):
    """A night's identity over a data set: the connection."""
    intake = Intake(tmp_path)
    for layout in LAYOUTS.glob("*.yaml"):
        shutil.copy(layout, intake.settings.data_dir / "sources")
    for file in FILES[data]:
        shutil.copy(REALDATA / file, intake.inbox)
    paths = [landing.path for outcome in intake.night().values() for landing in outcome.landings]
    con = duckdb.connect()
    con.execute("attach ':memory:' as vault")
    con.execute("attach ':memory:' as work")
    con.execute("set search_path = 'memory.main,work.main'")
    con.execute("create temp macro keyed(v) as v")
    set_night(con, AS_OF, "UTC")
    read_landed(con, {"customers": paths})
    rules = load_rules() | {"identifiers": tuple(EXACT[name] for name in exact.split()), "blocked": {}}
    moment = datetime.combine(AS_OF, datetime.min.time())
    collect_references(con, load_contracts(), rules, 20, moment)
    stage_entities(con)
    resolve_customers(con, rules, (), 20, moment, True, (AS_OF, "run"))
    describe_people(con, moment)
    entity = "regexp_extract(customer_key, '^rec-([0-9]+)-', 1)"
    if data == "fake_1000":
        truth = {}
        for line in (REALDATA / FILES[data][0]).read_text().splitlines()[1:]:
            cells = line.split(",")
            truth[cells[0]] = cells[-1]
        con.execute("create table truth (customer_key varchar, entity varchar)")
        con.executemany("insert into truth values (?, ?)", list(truth.items()))
        entity = "(select entity from truth where truth.customer_key = customer_map.customer_key)"
    con.execute(f"create table work.judged as select *, {entity} as entity from customer_map")
    return con


def pairs(con, customer="customer_id"):
    """(true pairs, pairs found, of them right, customers that hold two people)."""

    def count(columns):
        return (
            f"(select coalesce(sum(size * (size - 1) // 2), 0)::bigint"
            f" from (select count(*) as size from judged group by {columns}))"
        )

    mixed = f"(select count(*) from (select 1 from judged group by {customer} having count(distinct entity) > 1))"
    return con.execute(
        f"select {count('entity')}, {count(customer)}, {count(f'entity, {customer}')}, {mixed}"
    ).fetchall()[0]


def add_probable(con, **changed):
    """work.judged gets the column probable_id: customers by exact and probable links together."""
    spec = load_rules()["probable"] | {"enabled": True} | changed
    probable_links(con, "work.people", {"probable": spec}, 20260101)
    con.execute(
        "create or replace table work.all_links as select node, other_node from links"
        " union all select node, other_node from probable_links"
    )
    connect_components(con, "work.nodes", "work.all_links", "work.probable_labels")
    con.execute(
        "create or replace table work.judged as select * from work.judged"
        " inner join (select source, customer_key, label as probable_id from nodes inner join probable_labels using (node))"
        " using (source, customer_key)"
    )


@pytest.mark.parametrize(("data", "exact"), DETERMINISTIC)
def test_exact_identifiers(tmp_path, data, exact):
    assert pairs(identify(tmp_path, data, exact))[:3] == DETERMINISTIC[data, exact]


@pytest.mark.skipif(find_spec("splink") is None, reason="the extra splink is not installed")
@pytest.mark.parametrize("data", FILES)
@pytest.mark.parametrize("way", ["as shipped", "threshold alone"])
def test_probable_links(tmp_path, data, way):
    con = identify(tmp_path, data, "email name" if data == "fake_1000" else "id name")
    add_probable(con, **({} if way == "as shipped" else {"one_each": []}))
    true, found, right, mixed = pairs(con, "probable_id")
    precision, recall = PROBABLE[data][way == "threshold alone"]
    assert right / found >= precision
    assert right / true >= recall
    assert mixed == 0 or precision < 1
