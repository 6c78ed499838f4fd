"""Canaries through whole nights: nothing of them outside the vault; forgotten, nothing of them anywhere, for good."""

import shutil
from datetime import date

import duckdb
import pytest
from prefect.settings import get_current_settings

import flows
from pipeline.ingest.demo import write_demo
from pipeline.ledger import Ledger
from pipeline.settings import read_settings
from tests.privacy.canaries import canary, find_texts, write_canaries
from tests.test_flows import contents

pytestmark = pytest.mark.usefixtures("prefect_harness")
CANARIES, FORGOTTEN = range(11, 18), (11, 13, 14)
DAYS = ("2026-10-31", "2026-11-01")


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """A small shop with canaries after two nights, the second with fresher exports, and what the nights printed."""
    data_dir = tmp_path_factory.mktemp("birds") / "data"
    write_demo(data_dir / "inbox", data_dir / "demo_truth", 300, 7, date(2026, 11, 1))
    write_canaries(data_dir, CANARIES)
    exports = data_dir.parent / "exports_again"
    shutil.copytree(data_dir / "inbox", exports)
    for day in DAYS:
        assert flows.main(["nightly", "--data-dir", str(data_dir), "--as-of", day]) == 0
    return data_dir, exports


def copy_of(nights, tmp_path):
    """A data folder of one's own, with its key."""
    data_dir = tmp_path / "data"
    shutil.copytree(nights[0], data_dir)
    shutil.copy(read_settings(nights[0]).pseudonym_key_file, read_settings(data_dir).pseudonym_key_file)
    return data_dir, nights[1]


def values(numbers):
    return [text for number in numbers for text in canary(number).values()]


def personal(numbers):
    """What is personal of a canary: ids and order numbers are not, save the login."""
    kinds = ("name", "email", "phone", "address", "wechat", "login", "said")
    return [canary(number)[kind] for number in numbers for kind in kinds]


def customer_ids(data_dir, numbers):
    with duckdb.connect(str(data_dir / "vault" / "vault.duckdb"), read_only=True) as con:
        keys = [canary(number)["crm_id"] for number in numbers]
        return [
            row[0]
            for row in con.execute(
                "select customer_id from customer_map where customer_key in ? order by 1", (keys,)
            ).fetchall()
        ]


def rows_of_others(data_dir, gone):
    """The rows of core of everybody but some customers and their orders, by table."""
    with duckdb.connect(str(read_settings(data_dir).warehouse), read_only=True) as con:
        lists = con.execute(
            "select table_name, list(column_name order by column_index) from duckdb_columns()"
            " where schema_name = 'core' group by all order by all"
        ).fetchall()
        found = {}
        for table, columns in lists:
            kept = ", ".join(
                name for name in columns if name not in ("referred_by_customer_id", "version_rank", "run_id")
            )
            where = (
                "where customer_id is null or not list_contains($1, customer_id)" if "customer_id" in columns else ""
            )
            rows = con.execute(
                f"select {kept} from core.{table} {where} order by all", (gone,) if where else ()
            ).fetchall()
            found[table] = rows
        return found


def reconciliation(data_dir):
    with duckdb.connect(str(read_settings(data_dir).warehouse), read_only=True) as con:
        rows = con.execute(
            "select file_name, entity, lines_read, landed, rejected, duplicates from ops.reconciliation where not is_repeat"
            " order by all"
        ).fetchall()
        listed = con.execute(
            "select count(*) from (select distinct file_id, entity, line from ops.rejects where action = 'rejected')"
        ).fetchall()[0][0]
    assert all(read == landed + rejected + duplicates for _, _, read, landed, rejected, duplicates in rows)
    assert sum(row[4] for row in rows) == listed
    return {row[:3] for row in rows}


def forget(data_dir, numbers):
    first, *others = numbers
    options = ["--email", canary(first)["email"].upper()]
    for number in others:
        options += ["--phone", f"+86 {canary(number)['phone']}"]
    return flows.main(["forget", "--data-dir", str(data_dir), *options])


@pytest.mark.slow
def test_nothing_of_a_person_stands_outside_the_vault(nights, capfd):
    data_dir, _ = nights
    assert len(set(customer_ids(data_dir, CANARIES))) == len(CANARIES)
    assert find_texts(data_dir / "vault", personal(CANARIES)), "the search finds what is there"
    assert find_texts(data_dir, personal(CANARIES), leave_out=("vault",)) == []
    home = get_current_settings().home
    assert any(path.suffix == ".db" for path in home.rglob("*"))
    assert find_texts(home, personal(CANARIES)) == []


@pytest.mark.slow
def test_what_a_night_prints_names_nobody(nights, tmp_path, capfd):
    data_dir, exports = copy_of(nights, tmp_path)
    shutil.copy(exports / "crm_birds.csv", data_dir / "inbox" / "unknown_birds.csv")
    with (data_dir / "inbox" / "unknown_birds.csv").open("ab") as file:
        file.write(b"\xff\xfe broken")
    flows.main(["nightly", "--data-dir", str(data_dir), "--as-of", "2026-11-02"])
    forget(data_dir, FORGOTTEN)
    printed = "".join(capfd.readouterr())
    assert len(printed) > 1000
    assert not [text for text in personal(CANARIES) if text in printed]


@pytest.mark.slow
def test_the_forgotten_are_nowhere_and_do_not_come_back(nights, tmp_path, capsys):
    data_dir, exports = copy_of(nights, tmp_path)
    gone = customer_ids(data_dir, FORGOTTEN)
    assert len(gone) == 3
    before, lines_before = rows_of_others(data_dir, gone), reconciliation(data_dir)
    comments_before = comments(data_dir)
    assert forget(data_dir, FORGOTTEN) == 0
    assert "3 persons" in capsys.readouterr().out
    stays = [number for number in CANARIES if number not in FORGOTTEN]

    assert find_texts(data_dir, [*values(FORGOTTEN), *gone], leave_out=("demo_truth", "inbox")) == []
    assert {text for _, text in find_texts(data_dir / "vault", values(stays))} == set(values(stays))
    assert rows_of_others(data_dir, gone) == before
    assert comments(data_dir) == comments_before

    # the same exports, the same with one line more, and new orders of theirs
    shutil.copytree(exports, data_dir / "inbox", dirs_exist_ok=True)
    for path in sorted((data_dir / "inbox").glob("*birds.csv")):
        encoding = {"crm_birds.csv": "gb18030", "club_birds.csv": "utf-16"}.get(path.name, "utf-8")
        text = path.read_bytes().decode(encoding)
        first = text.splitlines(keepends=True)[1]
        path.with_name(f"more_{path.name}").write_bytes((text + first.replace("11", "98")).encode(encoding))
    one = canary(FORGOTTEN[0])
    (data_dir / "inbox" / "a_new_lines.csv").write_text(
        f"order_no,line_no,sku,quantity,unit_price,line_total\n{one['order_id']}NEW,1,SKU1,1,5.00,5.00\n"
    )
    (data_dir / "inbox" / "b_new_orders.csv").write_text(
        "order_no,customer_id,buyer_email,buyer_phone,created_at,order_status,order_total,items_total\n"
        f"{one['order_id']}NEW,SHOPNEW,{one['email']},,2026-10-05 10:00:00,Completed,5.00,5.00\n"
    )
    assert flows.main(["nightly", "--data-dir", str(data_dir), "--as-of", "2026-11-02"]) == 0
    searched = [*values(FORGOTTEN), *gone]
    assert find_texts(data_dir, searched, leave_out=("demo_truth",)) == []
    assert reconciliation(data_dir) >= lines_before
    incremental = contents(read_settings(data_dir).warehouse)
    assert flows.main(["nightly", "--data-dir", str(data_dir), "--as-of", "2026-11-02", "--full"]) == 0
    assert find_texts(data_dir, searched, leave_out=("demo_truth",)) == []
    full = contents(read_settings(data_dir).warehouse)
    # the first of the two also counts the files that came again
    assert {table for table in full if full[table] != incremental[table]} <= {"ops.reconciliation"}
    reconciliation(data_dir)


def comments(data_dir):
    with duckdb.connect(str(read_settings(data_dir).warehouse), read_only=True) as con:
        return con.execute(
            "select schema_name, table_name, column_name, comment from duckdb_columns() where not internal"
            " union all select schema_name, table_name, null, comment from duckdb_tables() where not internal order by all"
        ).fetchall()


@pytest.mark.slow
def test_a_crash_at_any_stage_is_finished_by_the_next_night(nights, tmp_path, monkeypatch):
    from pipeline.privacy import forget as module

    data_dir, _ = copy_of(nights, tmp_path)
    gone = customer_ids(data_dir, FORGOTTEN)
    for stage in ("_purge_outputs", "_purge_databases"):
        with monkeypatch.context() as patch:
            patch.setattr(
                module, stage, lambda *arguments: (_ for _ in ()).throw(OSError(28, "No space left on device"))
            )
            assert forget(data_dir, FORGOTTEN if stage == "_purge_outputs" else (12,)) == 1
    assert [row["status"] for row in Ledger(read_settings(data_dir).ledger).rows("select status from erasures")] == [
        "pending",
        "pending",
    ]
    assert flows.main(["nightly", "--data-dir", str(data_dir), "--as-of", "2026-11-02"]) == 0
    assert find_texts(data_dir, [*values((*FORGOTTEN, 12)), *gone], leave_out=("demo_truth",)) == []


@pytest.mark.slow
def test_whom_nobody_knows_changes_nothing_and_exits_2(nights, tmp_path, capsys):
    data_dir, _ = nights
    settings = read_settings(data_dir)
    before = settings.warehouse.read_bytes()
    for option, text in (
        ("--customer-id", "C999999999"),
        ("--email", "nobody@nowhere.example"),
        ("--phone", "13955550000"),
        ("--email", "no address"),
    ):
        assert flows.main(["forget", "--data-dir", str(data_dir), option, text]) == 2
        said = capsys.readouterr().err
        assert f"{option} number 1" in said
        assert option == "--customer-id" or text not in said
    assert flows.main(["forget", "--data-dir", str(data_dir)]) == 2
    assert settings.warehouse.read_bytes() == before
    assert Ledger(settings.ledger).rows("select * from erasures") == []
