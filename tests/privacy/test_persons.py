"""Whom an option means, and what of them is kept out."""

from datetime import datetime

import duckdb
import pytest

from pipeline.privacy.forget import finish_erasures, forget
from pipeline.privacy.persons import UnknownPerson
from tests.builders import Intake, customer_file, make_customer_line, make_order_line, order_file

NOW = datetime(2026, 11, 20)
ORDERS = order_file(
    make_order_line(订单号="O1", 客户="C1", 邮箱="ann@example.com", 手机="13955550001"),
    make_order_line(订单号="O2", 客户="C2", 邮箱="bob@example.com", 手机="13955550009"),
    make_order_line(订单号="O3", 客户="C3", 邮箱="eve@example.com", 手机="13955550009"),
    make_order_line(订单号="O4", 客户="", 邮箱="ann@example.com", 手机=""),
    make_order_line(订单号="O5", 客户="C4", 邮箱="dan@example.com", 手机="13800138000"),
)
MAP = (
    ("shop", "C1", 1),
    ("shop", "e:ann", 1),
    ("crm", "A", 1),
    ("shop", "C2", 2),
    ("shop", "C3", 3),
    ("shop", "C4", 7),
)


@pytest.fixture
def intake(tmp_path):
    """Ann (C1, a guest, and A of the CRM) has the id of record 1; record 4, hers too, gave the retired C000000004."""
    intake = Intake(tmp_path)
    intake.take("orders.csv", ORDERS)
    intake.take("customers.csv", customer_file(make_customer_line(会员号="A", 电话="13955550003")))
    key = intake.con.execute("select 'e:' || keyed('ann@example.com')").fetchall()[0][0]
    intake.settings.pseudonym_key_file.write_text("a key")
    with duckdb.connect(str(intake.settings.vault / "vault.duckdb")) as con:
        con.execute("create table customer_map (source varchar, customer_key varchar, customer_id varchar)")
        con.execute(
            "create table source_records (source varchar, customer_key varchar, number bigint, component bigint)"
        )
        for source, name, number in MAP:
            name = key if name == "e:ann" else name
            con.execute("insert into customer_map values (?, ?, ?)", (source, name, f"C{number:09}"))
            own = 4 if name == key else number if name != "A" else 5
            con.execute("insert into source_records values (?, ?, ?, ?)", (source, name, own, number))
    return intake


def kinds(ledger):
    rows = ledger.rows("select kind, count(*) as count from suppressions group by kind")
    return {row["kind"]: row["count"] for row in rows}


@pytest.mark.parametrize(
    "options",
    [
        {"customer_ids": ["C000000001"]},
        {"customer_ids": ["C000000004"]},
        {"emails": [" ANN@example.com "]},
        {"phones": ["+86 139-5555-0003"]},
        {"phones": ["0086 13955550001"], "customer_ids": ["C000000001"]},
    ],
)
def test_an_id_an_old_id_an_email_or_a_phone_mean_the_whole_person(intake, options):
    certificate, known = forget(intake.settings, intake.ledger, "r1", NOW, **options)
    assert (certificate["persons"], certificate["shared_identifiers_left"], known) == (1, 0, ())
    assert kinds(intake.ledger) == {"customer": 3, "customer_id": 3, "email": 1, "order": 2, "phone": 2}
    removed = {(row["place"], row["what"]): row["count"] for row in certificate["removed"]}
    assert removed["vault/landed/orders", "rows"] == 2
    assert removed["vault/landed/customers", "rows"] == 1
    assert removed['vault/vault.duckdb "main"."customer_map"', "rows"] == 3
    with duckdb.connect(str(intake.settings.vault / "vault.duckdb"), read_only=True) as con:
        assert con.execute("select min(number) from source_records").fetchall() == [(2,)]


MERGED = ("2026-05-01", "C000000008", "merged", "C000000009", 1)
LATER = (
    ("2026-06-01", "C000000009", "merged", "C000000001", 2),
    ("2026-06-01", "C000000009", "merged", "C000000002", 1),
)
SPLIT = ("2026-07-01", "C000000008", "split", "C000000003", 1)


@pytest.mark.parametrize("given", ["C000000008", "C000000009"])
def test_an_old_id_whose_number_nobody_has_any_more_means_who_it_went_to(intake, given):
    with duckdb.connect(str(intake.settings.vault / "vault.duckdb")) as con:
        con.execute(
            "create table identity_changes (changed_on date, customer_id varchar, change varchar,"
            " other_customer_id varchar, record_count bigint, reason varchar, run_id varchar)"
        )
        for row in (SPLIT, MERGED, *LATER):
            con.execute("insert into identity_changes values (?, ?, ?, ?, ?, '', '')", row)
    certificate, _ = forget(intake.settings, intake.ledger, "r1", NOW, customer_ids=[given])
    assert certificate["persons"] == 1
    # the ids of the map, of the numbers, and both that merges retired
    assert kinds(intake.ledger)["customer_id"] == 5
    with duckdb.connect(str(intake.settings.vault / "vault.duckdb"), read_only=True) as con:
        left = con.execute("select distinct customer_id from customer_map order by 1").fetchall()
    assert left == [("C000000002",), ("C000000003",), ("C000000007",)]


def test_an_identifier_that_others_show_too_stays(intake):
    certificate, _ = forget(intake.settings, intake.ledger, "r1", NOW, customer_ids=["C000000002"])
    assert (certificate["persons"], certificate["shared_identifiers_left"]) == (1, 1)
    assert "phone" not in kinds(intake.ledger)
    [outcome] = [intake.take("more.csv", order_file(make_order_line(订单号="O9", 客户="C3", 手机="13955550009")))]
    assert outcome.landings[0].suppressed == 0


def test_an_identifier_that_is_nobodys_by_the_rules_stays(intake):
    blocked = {"phone": [r"\+8613800138000"], "email": []}
    certificate, _ = forget(intake.settings, intake.ledger, "r1", NOW, customer_ids=["C000000007"], blocked=blocked)
    assert certificate["shared_identifiers_left"] == 1
    assert "phone" not in kinds(intake.ledger)


def test_an_identifier_of_several_customers_means_none_of_them(intake):
    with pytest.raises(
        UnknownPerson, match=r"2 customers show it \(C000000002, C000000003\); say which with --customer-id"
    ):
        forget(intake.settings, intake.ledger, "r1", NOW, phones=["13955550009"])
    assert kinds(intake.ledger) == {}


def test_one_unknown_among_several_changes_nothing(intake):
    with pytest.raises(UnknownPerson, match="--customer-id number 2"):
        forget(intake.settings, intake.ledger, "r1", NOW, customer_ids=["C000000001", "C000000999"])
    assert intake.ledger.rows("select * from erasures") == []


def test_whoever_is_forgotten_already_is_passed_over(intake):
    forget(intake.settings, intake.ledger, "r1", NOW, emails=["ann@example.com"])
    certificate, known = forget(intake.settings, intake.ledger, "r2", NOW, emails=["ann@example.com"])
    assert (certificate, known) == (None, ("--email number 1",))
    certificate, known = forget(intake.settings, intake.ledger, "r3", NOW, customer_ids=["C000000001", "C000000007"])
    assert (certificate["persons"], known) == (1, ("--customer-id number 1",))


def test_a_restored_backup_is_purged_again_without_being_told_whom(intake):
    backup = (intake.settings.vault / "vault.duckdb").read_bytes()
    forget(intake.settings, intake.ledger, "r1", NOW, emails=["ann@example.com"])
    (intake.settings.vault / "vault.duckdb").write_bytes(backup)
    intake.ledger.change("update erasures set status = 'pending'")
    [certificate] = finish_erasures(intake.settings, intake.ledger, NOW)
    assert certificate["request_id"] == "r1"
    with duckdb.connect(str(intake.settings.vault / "vault.duckdb"), read_only=True) as con:
        assert con.execute("select count(*) from customer_map where customer_id = 'C000000001'").fetchall() == [(0,)]


def test_decisions_that_name_the_forgotten_go(intake):
    decisions = intake.settings.data_dir / "identity" / "decisions.csv"
    decisions.parent.mkdir()
    header = "decision,source,source_customer_id,other_source,other_source_customer_id,decided_on,note\n"
    stays = "different,shop,C2,shop,C3,2026-05-01,\n"
    decisions.write_text(f"{header}same,crm,A,shop,C1,2026-05-01,Ann\nsame,,C000000004,shop,C2,2026-05-01,\n{stays}")
    certificate, _ = forget(intake.settings, intake.ledger, "r1", NOW, emails=["ann@example.com"])
    assert decisions.read_text().replace("\r\n", "\n") == header + stays
    assert {"place": "identity/decisions.csv", "what": "lines", "count": 2} in certificate["removed"]


def test_the_certificate_is_kept_and_names_nobody(intake):
    certificate, _ = forget(intake.settings, intake.ledger, "r1", NOW, emails=["ann@example.com"])
    text = (intake.settings.vault / "certificates" / "r1.json").read_text()
    assert '"requested_at": "2026-11-20 00:00:00 UTC"' in text and '"completed_at": "' in text
    for secret in (
        "ann@",
        "1395555",
        "C1",
        "C000000001",
        "O1",
        *(row["hash"] for row in intake.ledger.rows("select hash from suppressions")),
    ):
        assert secret not in text
    assert certificate["not_reached"]


def test_the_certificate_names_the_folders_that_a_restore_left(intake):
    data_dir = intake.settings.data_dir
    left = [f"{data_dir.name}.before-restore-20261102T010203", f"{data_dir.name}.restoring"]
    for name in (*left, f"{data_dir.name}.mine", f"other{data_dir.name}.restoring"):
        data_dir.with_name(name).mkdir()
    certificate, _ = forget(intake.settings, intake.ledger, "r1", NOW, emails=["ann@example.com"])
    named = [line.split(",")[0] for line in certificate["not_reached"] if "a restore left" in line]
    assert named == left
