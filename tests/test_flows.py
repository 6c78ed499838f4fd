"""Whole nights through the flow: what is published, that it repeats, what survives, and the command line."""

import re
import shutil
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

import flows
from pipeline.ingest.demo import write_demo
from pipeline.settings import read_settings
from pipeline.steps.building import CONTACTS
from pipeline.steps.model_files import read_model
from pipeline.warehouse import Busy, lock

AS_OF = date(2026, 11, 1)
RUN_COLUMNS = {"run_id", "started_at", "ended_at", "observed_at", "message"}

pytestmark = pytest.mark.usefixtures("prefect_harness")


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """The exports of a small demo shop, as one folder that no test writes to."""
    folder = tmp_path_factory.mktemp("shop")
    write_demo(folder / "inbox", folder / "truth", 800, 7, AS_OF)
    return folder / "inbox"


def make_data_dir(tmp_path, shop, name="data"):
    data_dir = tmp_path / name
    shutil.copytree(shop, data_dir / "inbox")
    return data_dir


def night(data_dir, as_of=AS_OF, full=False):
    return flows.nightly_flow(str(data_dir), str(as_of), full)


@pytest.fixture(scope="session")
def published(tmp_path_factory, shop, prefect_harness):
    """A data folder after one night; tests read it only."""
    data_dir = make_data_dir(tmp_path_factory.mktemp("published"), shop)
    night(data_dir)
    return data_dir


def contents(path):
    """Every table's rows but for what names the run, as {schema.table: (row count, hash of all rows)}."""
    with duckdb.connect(str(path), read_only=True) as con:
        tables = con.execute(
            "select schema_name, table_name, list(column_name order by column_name) from duckdb_columns()"
            " where not internal and schema_name <> 'main' group by all order by all"
        ).fetchall()
        found = {}
        for schema, table, columns in tables:
            # memberships have no modified time: they are known since their file was taken in, at another time in each run
            of_run = RUN_COLUMNS | ({"known_at"} if table == "subscriptions" else set())
            kept = ", ".join(f'"{name}"' for name in columns if name not in of_run)
            if table not in ("runs", "files", "audit"):
                found[f"{schema}.{table}"] = con.execute(
                    f"select count(*), sum(hash({kept})::hugeint)::varchar from {schema}.{table}"
                ).fetchall()[0]
        return found


def value(path, sql):
    with duckdb.connect(str(path), read_only=True) as con:
        return con.execute(sql).fetchall()[0][0]


def test_a_night_publishes_every_table_that_outsiders_rely_on(published):
    tables = set(contents(read_settings(published).warehouse))
    core = "customers customer_sources companies orders order_items payments returns products tickets interactions"
    core += " campaigns feedback opportunities subscriptions consents"
    expected = {f"core.{name}" for name in core.split()} | {
        "core.company_contacts",
        "marts.customer_facts",
        "marts.company_facts",
        "tags.company_tags",
        "tags.company_tag_history",
        "marts.contactability",
        "scores.rfm",
        "scores.segments",
        "scores.clv",
        "scores.churn",
        "scores.contract_churn",
        "scores.next_purchase",
        "tags.customer_tags",
        "tags.tag_history",
        "tags.tag_migrations",
        "tags.catalogue",
        "ops.reconciliation",
        "ops.rejects",
        "ops.checks",
        "ops.model_runs",
        "ops.backtests",
        "ops.drift",
        "ops.drift_references",
    }
    assert expected <= tables
    files = sorted(path.name for path in (published / "exports" / str(AS_OF)).iterdir())
    assert {"customer_tags.csv", "customer_tags.parquet", "customer_tags.xlsx", "company_tags.csv"} <= set(files)
    assert (published / "reports" / str(AS_OF) / "index.html").stat().st_size > 10_000


def test_every_line_is_landed_rejected_or_a_duplicate(published):
    warehouse = read_settings(published).warehouse
    assert (
        value(warehouse, "select count(*) from ops.reconciliation where lines_read <> landed + rejected + duplicates")
        == 0
    )
    assert value(warehouse, "select sum(lines_read) from ops.reconciliation") > 20_000
    rejected = value(warehouse, "select sum(rejected) from ops.reconciliation")
    listed = value(
        warehouse,
        "select count(*) from (select distinct file_id, entity, line from ops.rejects where action = 'rejected')",
    )
    assert rejected == listed > 0


def test_facts_add_up_to_orders_by_another_route(published):
    warehouse = read_settings(published).warehouse
    by_facts = value(warehouse, "select sum(net_spend_amount) from marts.customer_facts")
    by_orders = value(
        warehouse,
        """
        with refunds as (
            select source, order_id, sum(amount) as amount from core.returns
            where kind in ('return', 'refund') and refund_known_at < timestamp '2026-10-31 16:00' group by all
        )
        select sum(net - coalesce(refunds.amount, 0))::decimal(18, 2)
        from core.orders left join refunds using (source, order_id)
        where customer_id is not null and ordered_at < timestamp '2026-10-31 16:00'
        and coalesce(status, '') <> 'pending' and cancelled_at is null
        and not (net > 0 and coalesce(refunds.amount, 0) >= net)
        """,
    )
    assert by_facts == by_orders


def test_the_same_night_twice_and_full_give_the_same_tables(tmp_path, shop):
    data_dir = make_data_dir(tmp_path, shop)
    # the night before trains the models, and is the state that this one goes on from
    night(data_dir, date(2026, 10, 31))
    models = {path.name: path.read_bytes() for path in (data_dir / "models").iterdir()}
    night(data_dir)
    warehouse = read_settings(data_dir).warehouse
    first = contents(warehouse)
    trained = "select trained_on::varchar from ops.model_runs where as_of = '2026-11-01' and model = 'clv'"
    assert value(warehouse, trained) == "2026-10-31"
    assert value(warehouse, "select count(*) from scores.clv") > 500
    night(data_dir)
    assert contents(warehouse) == first
    night(data_dir, full=True)
    assert contents(warehouse) == first
    assert models.items() <= {path.name: path.read_bytes() for path in (data_dir / "models").iterdir()}.items()


def test_model_files_are_whole_and_name_nobody(published):
    settings = read_settings(published)
    with duckdb.connect(str(settings.warehouse), read_only=True) as con:
        versions = con.execute("select version, model_file from ops.model_runs where model_file is not null").fetchall()
        names = con.execute(
            "select customer_id from core.customers union select source_customer_id from core.customer_sources"
        )
        ids = {name for (name,) in names.fetchall()}
    assert len(versions) >= 3
    for version, file in versions:
        assert file == f"models/{version}.json"
        read_model(settings.models, version)
        for path in (published / file, (published / file).with_suffix(".md")):
            words = set(re.findall(r"[\w:@.-]+", path.read_text(encoding="utf-8")))
            # a source's id can be a bare number, and so can a parameter
            assert not {name for name in ids & words if not name.isdigit()}, path


def test_a_published_night_is_the_same_from_another_folder(tmp_path, shop, published):
    data_dir = make_data_dir(tmp_path, shop)
    shutil.copy(read_settings(published).pseudonym_key_file, read_settings(data_dir).pseudonym_key_file)
    night(data_dir)
    assert contents(read_settings(data_dir).warehouse) == contents(read_settings(published).warehouse)


def test_a_failed_night_leaves_yesterday_and_is_on_record(tmp_path, shop):
    data_dir = make_data_dir(tmp_path, shop)
    night(data_dir, date(2026, 10, 31))
    settings = read_settings(data_dir)
    before = settings.warehouse.read_bytes()
    bad = "order_no,customer_id,buyer_email,buyer_phone,created_at,order_status,order_total,items_total\n"
    bad += "".join(f"B{number},,,,yesterday,paid,1,1\n" for number in range(50))
    (data_dir / "inbox" / "orders_bad.csv").write_text(bad)
    assert flows.main(["nightly", "--data-dir", str(data_dir), "--as-of", "2026-11-01"]) == 1
    assert settings.warehouse.read_bytes() == before
    assert (data_dir / "inbox" / "orders_bad.csv").exists()
    assert not list((settings.vault / "scratch").iterdir())
    runs = flows.Ledger(settings.ledger).rows("select status, message from runs order by started_at")
    assert [run["status"] for run in runs] == ["done", "failed"]
    assert "orders_bad.csv" in runs[1]["message"]


def test_an_open_reader_neither_blocks_a_night_nor_sees_half_of_it(tmp_path, shop):
    data_dir = make_data_dir(tmp_path, shop)
    night(data_dir, date(2026, 10, 31))
    warehouse = read_settings(data_dir).warehouse
    script = (
        "import duckdb, sys; con = duckdb.connect(sys.argv[1], read_only=True); print('open', flush=True); sys.stdin.readline();"
        " print(con.execute('select max(as_of)::varchar from marts.customer_facts').fetchall()[0][0], flush=True)"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", script, str(warehouse)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout.readline().strip() == "open"
    night(data_dir, AS_OF)
    output, _ = reader.communicate("\n", timeout=60)
    assert output.strip() == "2026-10-31"
    assert value(warehouse, "select max(as_of)::varchar from marts.customer_facts") == "2026-11-01"


def test_what_happens_after_as_of_changes_nothing_before_it(tmp_path, shop, published):
    data_dir = make_data_dir(tmp_path, shop)
    shutil.copy(read_settings(published).pseudonym_key_file, read_settings(data_dir).pseudonym_key_file)
    with duckdb.connect() as con:
        orders = (
            f"read_csv('{shop}/shop_orders_2026.csv', all_varchar = true, ignore_errors = true, strict_mode = false)"
        )
        con.execute(
            f"""
            copy (
                (select * replace (
                    order_no || 'F' as order_no, '2026-11-03 05:00:00' as created_at,
                    '2026-11-03 05:00:00' as paid_at, '2026-11-03 06:00:00' as updated_at
                ) from {orders} where order_status = 'Completed' and order_no like 'SO%' and created_at > '2026-06' limit 200)
                union all
                -- edits of orders that are known already: cancelled and dearer, but only after as_of
                (select * replace (
                    'Cancelled' as order_status, '2026-11-02 00:00:00' as cancelled_at, '99999' as order_total,
                    '2026-11-02 00:00:00' as updated_at
                ) from {orders} where order_status = 'Completed' and order_no like 'SO%' and created_at > '2026-06' limit 300)
            ) to '{data_dir}/inbox/shop_orders_later.csv' (header)
            """
        )
        # what returns, tickets and lines said changes too, but is known only when this night takes it in
        edits = {
            "shop_refunds_20261031.csv": "refund_amount = '0.01', reason = 'edited'",
            "crm_contacts_20261031.csv": "市 = '拉萨', 性别 = '女', 最后修改时间 = '2026-11-02 08:00:00'",
            "helpdesk_tickets_20261031.csv": "status = 'open', solved_at = null, updated_at = '2026-11-02T00:00:00Z'",
            "shop_order_items_2026.csv": "line_total = '0.01'",
            "crm_companies_20261031.csv": "行业 = '金融', 网址 = 'one.example', 最后修改时间 = '2026-11-02 08:00:00'",
            "crm_opportunities_20261031.csv": "状态 = '赢单', 金额 = '1', 赢率 = '1', 关闭时间 = '2026-11-02 08:00:00',"
            " 最后修改时间 = '2026-11-02 08:00:00'",
        }
        for file, changes in edits.items():
            con.execute(
                f"create or replace table edited as from read_csv('{shop}/{file}', all_varchar = true,"
                " ignore_errors = true, strict_mode = false)"
            )
            con.execute(f"update edited set {changes}")
            con.execute(f"copy (from edited limit 100) to '{data_dir}/inbox/zz_{file}' (header)")
    night(data_dir)
    warehouse = read_settings(data_dir).warehouse
    assert value(warehouse, "select count(*) from core.orders where ordered_on > '2026-11-01'") > 100
    least_replaced = {"orders": 100, "returns": 50, "tickets": 50, "order_items": 50, "opportunities": 20}
    for entity, least in least_replaced.items():
        assert value(warehouse, f"select count(*) from core.{entity}_history") > least, entity
    changed = "core.customers_history where valid_to = date '2026-11-03'"
    assert value(warehouse, f"select count(*) from {changed}") > 50
    after, before = contents(warehouse), contents(read_settings(published).warehouse)
    for table in (
        "marts.customer_facts",
        "marts.contactability",
        "scores.rfm",
        "scores.clv",
        "scores.churn",
        "scores.next_purchase",
        "tags.customer_tags",
        "tags.tag_history",
        "core.company_sources",
        "marts.company_facts",
        "tags.company_tags",
    ):
        assert after[table] == before[table], table


def test_an_earlier_night_is_published_beside_the_newest_and_marks_it_stale(tmp_path, shop):
    data_dir = make_data_dir(tmp_path, shop)
    night(data_dir, AS_OF)
    settings = read_settings(data_dir)
    vault = settings.vault / "vault.duckdb"
    people = [value(vault, f"select sum(hash({table})::hugeint)::varchar from {table}") for table in CONTACTS]
    night(data_dir, date(2026, 9, 1))
    # how to reach whom is told of the newest night's customers
    assert people == [value(vault, f"select sum(hash({table})::hugeint)::varchar from {table}") for table in CONTACTS]
    assert value(settings.warehouse, "select max(as_of)::varchar from marts.customer_facts") == "2026-11-01"
    snapshot = settings.snapshots / "2026-09-01.duckdb"
    assert value(snapshot, "select max(as_of)::varchar from marts.customer_facts") == "2026-09-01"
    nights = flows.Ledger(settings.ledger).rows("select as_of, is_stale from nights order by as_of")
    assert [(row["as_of"], row["is_stale"]) for row in nights] == [("2026-09-01", 0), ("2026-11-01", 1)]
    night(data_dir, AS_OF)
    nights = flows.Ledger(settings.ledger).rows("select as_of, is_stale from nights order by as_of")
    assert [row["is_stale"] for row in nights] == [0, 0]


def test_customer_ids_stay_when_files_come_in_other_portions(tmp_path, shop, published):
    data_dir = make_data_dir(tmp_path, shop)
    night(data_dir)
    with duckdb.connect(str(read_settings(data_dir).warehouse), read_only=True) as con:
        first = dict(
            con.execute("select source || source_customer_id, customer_id from core.customer_sources").fetchall()
        )
    columns = "ticket_id,requester_id,requester_email,requester_phone,via,type,priority,status,subject,description"
    tickets = columns + ",created_at,first_response_at,solved_at,reopens,satisfaction,updated_at\n"
    tickets += "T-new,9999999,somebody.new@example.com,,email,question,normal,open,a,b,2026-10-30T10:00:00Z,,,0,,2026-10-30T10:00:00Z\n"
    (data_dir / "inbox" / "tickets.csv").write_text(tickets)
    night(data_dir)
    with duckdb.connect(str(read_settings(data_dir).warehouse), read_only=True) as con:
        second = dict(
            con.execute("select source || source_customer_id, customer_id from core.customer_sources").fetchall()
        )
    assert {name: second[name] for name in first} == first
    assert len(second) == len(first) + 1


def test_companies_and_their_contacts_are_those_of_the_truth(shop, published):
    truth = shop.parent / "truth"
    with duckdb.connect(str(read_settings(published).warehouse), read_only=True) as con:
        con.execute(
            "create temp table said as select company_number, company_id"
            f" from '{truth}/companies.parquet' join core.company_sources using (source_company_id)"
        )
        apart = "select count(*) from (select {0} from said group by {0} having count(distinct {1}) > 1)"
        assert con.execute(apart.format("company_number", "company_id")).fetchall() == [(0,)]
        assert con.execute(apart.format("company_id", "company_number")).fetchall() == [(0,)]
        # who names a company or writes from its domain is its contact, and nobody else is anybody's
        wrong, right, linked = con.execute(
            f"""
            with records as (
                select distinct person_id, customer_id
                from '{truth}/source_ids.parquet'
                join core.customer_sources using (source, source_customer_id)
                where source = 'crm'
            ),
            employed as (
                select customer_id, company_id, is_stated or is_by_email as is_findable
                from records join '{truth}/employment.parquet' using (person_id) join said using (company_number)
            )
            select
                (select count(*) from core.company_contacts as contacts
                    where customer_id in (select customer_id from records)
                    and not exists (from employed where employed.customer_id = contacts.customer_id
                        and employed.company_id = contacts.company_id)),
                (select count(distinct customer_id) from core.company_contacts semi join employed using (customer_id)),
                (select count(distinct customer_id) from employed where is_findable)
            """
        ).fetchall()[0]
    assert wrong == 0
    assert right >= 0.95 * linked > 20


def test_a_second_run_says_who_holds_the_folder(tmp_path, shop, capsys):
    data_dir = make_data_dir(tmp_path, shop)
    settings = read_settings(data_dir)
    with lock(settings.warehouse.parent / "lock", {"run": "tonight", "process": 4711}):
        assert flows.main(["nightly", "--data-dir", str(data_dir), "--as-of", "2026-11-01"]) == 1
        with pytest.raises(Busy, match="4711"), lock(settings.warehouse.parent / "lock", {}):
            pass
    assert "4711" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "expected"),
    [('langage = "en"', 'unknown setting "langage"; did you mean "language"'), ('seed = "x"', '"seed" must be int')],
)
def test_wrong_settings_exit_2_with_the_mend(tmp_path, settings, expected, capsys):
    (tmp_path / "settings.toml").write_text(settings)
    assert flows.main(["nightly", "--data-dir", str(tmp_path)]) == 2
    assert expected in capsys.readouterr().err


def test_a_schedule_that_is_none_is_told_in_one_line(tmp_path, capsys):
    assert flows.main(["serve", "--data-dir", str(tmp_path), "--cron", "bad"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and said[0].startswith('error: --cron "bad": no schedule; write')


@pytest.mark.parametrize("folder", ["sources", "tags", "audiences"])
def test_a_broken_file_is_named_with_its_folder_and_line(tmp_path, capsys, folder):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "bad.yaml").write_text("layout: bad\n  a: [\n")
    assert flows.main(["nightly", "--data-dir", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path.name}/{folder}/bad.yaml line 2: " in said and said.endswith("; correct it\n")


def test_a_date_to_come_is_refused_unless_allowed(tmp_path, capsys):
    later = date.today() + timedelta(days=40)
    for arguments in (["nightly", "--as-of", str(later)], ["backfill", "--from", "2026-11-01", "--to", str(later)]):
        assert flows.main([*arguments, "--data-dir", str(tmp_path)]) == 2
        said = capsys.readouterr().err
        assert f"{arguments[-2]} {later}: later than tomorrow" in said and "add --allow-future" in said
        assert not (tmp_path / "warehouse").exists()
    # a date that is taken fails for want of data only
    assert flows.main(["nightly", "--as-of", str(later), "--allow-future", "--data-dir", str(tmp_path)]) == 1
    assert "no order data" in capsys.readouterr().err


def test_no_data_at_all_fails_in_one_line(tmp_path, capsys):
    assert flows.main(["nightly", "--data-dir", str(tmp_path / "nowhere")]) == 2
    assert "no such folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert flows.main(["nightly", "--data-dir", str(tmp_path / "empty"), "--as-of", "2026-11-01"]) == 1
    assert "no order data" in capsys.readouterr().err


def test_audiences_leave_out_whoever_did_not_say_yes(tmp_path, shop, published):
    data_dir = tmp_path / "copy"
    shutil.copytree(published, data_dir)
    assert flows.main(["audience", "--data-dir", str(data_dir)]) == 0
    written = sorted((data_dir / "exports" / str(AS_OF) / "audiences").glob("*.csv"))
    assert written
    with duckdb.connect(str(read_settings(data_dir).warehouse), read_only=True) as con:
        refused = con.execute("select customer_id from marts.customer_facts where not is_marketing_allowed").fetchall()
        forbidden = con.execute(
            "select customer_id from marts.contactability where purpose = 'marketing'"
            " group by customer_id having not bool_or(is_allowed)"
        ).fetchall()
        profiled = con.execute(
            "select count(*) from marts.customer_facts semi join scores.rfm using (customer_id) where not is_profiling_allowed"
        ).fetchone()
    assert profiled == (0,)
    refused = {customer_id for (customer_id,) in refused}
    assert refused <= {customer_id for (customer_id,) in forbidden}
    refused |= {customer_id for (customer_id,) in forbidden}
    listed = [line.split(",")[0] for path in written for line in path.read_text(encoding="utf-8-sig").splitlines()[1:]]
    assert len(listed) > 100
    assert len(refused) > 100
    assert not refused & set(listed)


def test_no_personal_data_outside_the_vault(published):
    settings = read_settings(published)
    outside = [settings.warehouse, *settings.snapshots.iterdir()]
    for path in outside:
        with duckdb.connect(str(path), read_only=True) as con:
            columns = con.execute(
                "select schema_name, table_name, column_name from duckdb_columns()"
                " where not internal and data_type = 'VARCHAR' and table_name <> 'catalogue'"
            ).fetchall()
            for schema, table, column in columns:
                found = con.execute(
                    f"select count(*) from {schema}.{table} where not regexp_matches({column}, '^[eph]:[0-9a-f]{{32}}$')"
                    rf" and regexp_matches({column}, '@|(^|\D)1\d{{2}}[ -]?\d{{4}}[ -]?\d{{4}}(\D|$)')"
                ).fetchall()[0][0]
                assert found == 0, f"{schema}.{table}.{column}"
    with duckdb.connect(str(settings.vault / "vault.duckdb"), read_only=True) as con:
        people = con.execute("select name, email, phone from contacts where name is not null limit 200").fetchall()
    assert len(people) == 200
    texts = [settings.ledger.read_bytes()]
    texts += [path.read_bytes() for path in (published / "reports").rglob("*.html")]
    texts += [path.read_bytes() for path in (published / "exports").rglob("*.csv")]
    for person in people:
        for cell in person[1:]:
            assert not cell or not any(cell.encode() in text for text in texts)
    assert oct(settings.vault.stat().st_mode)[-3:] == oct(settings.inbox.stat().st_mode)[-3:] == "700"


def test_a_full_disk_fails_the_night_and_yesterday_stands(tmp_path, shop):
    data_dir = make_data_dir(tmp_path, shop)
    night(data_dir, date(2026, 10, 31))
    before = read_settings(data_dir).warehouse.read_bytes()
    # a limit on the size of any file the process writes is what a full disk is to it; set once the night is under way,
    # so that Prefect's server, a process of its own, is spared
    script = """
import resource, signal, sys
import flows

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
(title, ingest), *later = flows.STEPS

def ingest_on_a_full_disk(night, report):
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000))
    return ingest(night, report)

flows.STEPS = ((title, ingest_on_a_full_disk), *later)
sys.exit(flows.main(["nightly", "--data-dir", sys.argv[1], "--as-of", "2026-11-01"]))
"""
    root = Path(flows.__file__).parent
    done = subprocess.run([sys.executable, "-c", script, str(data_dir)], cwd=root, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "still stands" in done.stderr
    assert read_settings(data_dir).warehouse.read_bytes() == before
    night(data_dir)
    assert (
        value(read_settings(data_dir).warehouse, "select max(as_of)::varchar from marts.customer_facts") == "2026-11-01"
    )


def test_rooms_do_not_import_later_ones():
    order = ["ingest", "transform", "models", "tags", "reports"]
    root = Path(flows.__file__).parent / "pipeline"
    for place, room in enumerate(order):
        later = order[place + 1 :] + ([] if room == "transform" else order[1:place] if room not in ("ingest",) else [])
        for path in (root / room).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"\bprefect\b", text), path
            for other in later:
                assert f"pipeline.{other}" not in text, f"{path} imports {other}"
