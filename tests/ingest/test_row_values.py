"""What a row's values need beside their own cell: exchange rates, names from their parts, words that no map knows."""

from decimal import Decimal

import polars as pl
import pytest
import yaml

from pipeline.ingest.outcomes import OrderDataStopped
from pipeline.ingest.rates import define_rates, read_rates
from tests.builders import Intake, broken, customer_file, make_customer_layout, make_customer_line, make_order_layout
from tests.ingest.test_land import land

ORDERS = "订单号,客户,下单时间,实付,币种,状态\n"


@pytest.fixture
def intake(tmp_path):
    intake = Intake(tmp_path)
    layout = make_order_layout(match={"columns": ["订单号", "币种"]})
    layout["entities"]["orders"]["columns"] = {
        "order_id": "订单号",
        "source_customer_id": "客户",
        "ordered_at": "下单时间",
        "net": "实付",
        "currency": "币种",
        "status": {"column": "状态", "values": {"已付": "paid"}},
        "payment_method": {"column": "状态", "values": {"已付": "card"}},
    }
    intake.write_layout(layout)
    yield intake
    intake.con.close()


def set_rates(intake, text):
    """rates.csv as a new night's connection reads it."""
    (intake.settings.data_dir / "rates.csv").write_text("date,currency,rate\n" + text, encoding="utf-8")
    intake.con.remove_function("exchange_rate_on")
    define_rates(intake.con, read_rates(intake.settings), intake.settings.business_timezone)


def test_an_order_without_a_rate_waits_in_quarantine_until_there_is_one(intake):
    lines = [f"O{place},C1,2026-03-02 10:00:00,10.00,CNY,已付" for place in range(60)]
    # 00:30 on the 9th in Shanghai is still the 8th in UTC: the business day counts
    lines.append("U1,C1,2026-03-09 00:30:00,100.00,USD,已付")
    intake.drop("orders.csv", ORDERS + "\n".join(lines) + "\n")
    [landing] = intake.night()["orders.csv"].landings
    assert (landing.landed, landing.rejected) == (60, 1)
    assert landing.rejects.select("column_name", "rule").rows() == [("currency", "no_exchange_rate")]
    assert "orders: no exchange rate for USD on 2026-03-09" in landing.notes
    assert intake.night()["again: orders.csv"].status == "kept"

    set_rates(intake, "2026-03-08,USD,7.1\n2026-03-09,USD,7.25\n")
    [landing] = intake.night()["again: orders.csv"].landings
    assert (landing.landed, landing.rejected) == (61, 0)
    row = intake.landed(landing)[-1]
    assert (row["order_id"], row["currency"], row["net"]) == ("U1", "USD", Decimal(100))
    assert row["exchange_rate"] == Decimal("7.25")
    assert {row["exchange_rate"] for row in intake.landed(landing)[:-1]} == {Decimal(1)}
    assert intake.night()["again: orders.csv"].status == "kept"


def test_a_file_left_in_the_inbox_for_want_of_rates_is_read_again_once_they_are_there(intake):
    columns = {"payment_id": "pid", "order_id": "oid", "amount": "amt", "paid_at": "at"}
    entities = {"payments": {"columns": columns}}
    intake.write_layout(
        {"layout": "pay", "source": "s", "currency": "USD", "match": {"columns": ["pid"]}, "entities": entities}
    )
    intake.drop("pay.csv", "pid,oid,amt,at\n1,1,5,2026-03-06\n2,1,5,2026-03-07\n")
    outcome = intake.night()["pay.csv"]
    assert outcome.status == "failed"
    assert outcome.message.endswith("(date,currency,rate) (there is none for USD on 2026-03-06 to 2026-03-07)")
    set_rates(intake, "2026-03-06,USD,7.2\n")
    assert intake.night()["pay.csv"].status == "landed"


def test_words_that_no_map_knows_are_counted_and_none_that_may_be_personal_is_shown(intake):
    words = ["已付", "已妥投", "已妥投", "13800138000", "a@b.cn", "长" * 41]
    lines = [f"O{place},C1,2026-03-02 10:00:00,1,CNY,{word}" for place, word in enumerate(words)]
    intake.drop("orders.csv", ORDERS + "\n".join(lines) + "\n")
    [landing] = intake.night()["orders.csv"].landings
    expected = [("已妥投", 2), ("", 3)]
    assert list(landing.words) == [
        {"column_name": column, "word": word, "row_count": count}
        for column in ("payment_method", "status")
        for word, count in expected
    ]
    assert [row["payment_method"] for row in intake.landed(landing)][:2] == ["card", "已妥投"]
    stored = intake.ledger.rows("select column_name, word, row_count from unmapped_words order by rowid")
    assert stored == list(landing.words)


@pytest.mark.parametrize("is_kept", [True, False])
def test_the_words_of_somebody_forgotten_are_forgotten_too(intake, is_kept):
    lines = ["O1,C1,2026-03-02 10:00:00,1,CNY,王小明的店", "O2,C2,2026-03-02 10:00:00,1,CNY,已妥投"]
    intake.drop("orders.csv", ORDERS + "\n".join(lines) + "\n")
    intake.night()
    if not is_kept:
        (raw,) = (intake.settings.vault / "raw").rglob("orders.csv")
        raw.unlink()
    intake.suppress(customer="shop|C1")
    intake.clean()
    words = {row["word"] for row in intake.ledger.rows("select word from unmapped_words")}
    assert words == ({"已妥投"} if is_kept else set())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("欧阳修", ("欧阳修", "欧阳", "修")),
        ("李雷先生", ("李雷", "李", "雷")),
        ("Dr. Ann Lee", ("Ann Lee", None, None)),
        ("Ｌｉ Lei", ("Li Lei", None, None)),
        ("王 小明", ("王小明", "王", "小明")),
        ("欧阳　修", ("欧阳修", "欧阳", "修")),
        # nothing tells which of them is the surname
        ("小明 王", ("小明 王", None, None)),
        ("阿凡提买买提", ("阿凡提买买提", None, None)),
    ],
)
def test_the_parts_of_a_whole_name(tmp_path, name, expected):
    text = customer_file(make_customer_line(姓名=name))
    [row] = land(tmp_path, make_customer_layout(), text)["customers"].rows
    assert (row["name"], row["surname"], row["given_name"]) == expected


@pytest.mark.parametrize(
    ("surname", "given_name", "expected"),
    [("李", "雷", "李雷"), ("Lee", "Ann", "Ann Lee"), ("Lee", "", "Lee"), ("", "", None)],
)
def test_a_whole_name_from_its_parts(tmp_path, surname, given_name, expected):
    layout = make_customer_layout()
    columns = layout["entities"]["customers"]["columns"]
    del columns["name"]
    columns |= {"surname": "姓名", "given_name": "性别"}
    del columns["gender"]
    text = customer_file(make_customer_line(姓名=surname, 性别=given_name))
    [row] = land(tmp_path, layout, text)["customers"].rows
    assert (row["name"], row["surname"], row["given_name"]) == (expected, surname or None, given_name or None)


def test_landed_names_hold_their_type(tmp_path):
    landing = land(tmp_path, make_customer_layout(), customer_file(make_customer_line()))["customers"].landing
    schema = pl.read_parquet_schema(landing.path)
    assert {schema[name] for name in ("name", "surname", "given_name")} == {pl.String}


@pytest.mark.parametrize(
    ("name", "surname", "given_name", "expected"),
    [
        ("", "诸葛", "孔明", ("诸葛孔明", "诸葛", "孔明")),
        ("孔明 诸葛", "诸葛", "孔明", ("诸葛孔明", "诸葛", "孔明")),
        ("诸葛 孔明", "诸葛", "孔明", ("诸葛孔明", "诸葛", "孔明")),
        ("卧龙先生", "诸葛", "孔明", ("卧龙", "诸葛", "孔明")),
        ("Lee Ann", "Lee", "Ann", ("Lee Ann", "Lee", "Ann")),
        ("", "Lee", "Ann", ("Ann Lee", "Lee", "Ann")),
        ("李雷", "", "", ("李雷", "李", "雷")),
        ("", "", "", (None, None, None)),
    ],
)
def test_a_whole_name_and_its_parts_tell_what_the_other_lacks(tmp_path, name, surname, given_name, expected):
    layout = make_customer_layout()
    layout["entities"]["customers"]["columns"] |= {"surname": "性别", "given_name": "积分"}
    for unused in ("gender", "loyalty_points"):
        del layout["entities"]["customers"]["columns"][unused]
    text = customer_file(make_customer_line(姓名=name, 性别=surname, 积分=given_name))
    [row] = land(tmp_path, layout, text)["customers"].rows
    assert (row["name"], row["surname"], row["given_name"]) == expected


def test_a_file_without_the_column_of_whole_names_tells_them_from_the_parts(tmp_path):
    layout = make_customer_layout()
    columns = layout["entities"]["customers"]["columns"]
    columns |= {"name": "全名", "surname": "姓名", "given_name": "性别"}
    del columns["gender"]
    [row] = land(tmp_path, layout, customer_file(make_customer_line(姓名="诸葛", 性别="孔明")))["customers"].rows
    assert (row["name"], row["surname"], row["given_name"]) == ("诸葛孔明", "诸葛", "孔明")


@pytest.mark.parametrize(
    ("currency", "amount", "expected"),
    [
        ("USD", "$1,000.50", "1000.5"),
        ("USD", "US$-5", "-5"),
        ("USD", "(USD 5)", "-5"),
        ("USD", "1,000.50", "1000.5"),
        ("USD", "１，０００．５", "1000.5"),
        ("USD", "￥100", None),
        ("USD", "100元", None),
        ("CNY", "￥100元", "100"),
        ("CNY", "$100", None),
        ("", "￥100", "100"),
        ("", "$100", None),
        ("CHF", "CHF 5", "5"),
        ("CHF", "€5", None),
    ],
)
@pytest.mark.parametrize("is_sum", [False, True])
def test_the_sign_beside_an_amount_is_of_the_rows_own_currency(intake, currency, amount, expected, is_sum):
    if is_sum:
        layout = yaml.safe_load((intake.settings.data_dir / "sources" / "my_orders.yaml").read_text())
        layout["entities"]["orders"]["columns"]["net"] = {"add": ["实付"]}
        intake.write_layout(layout)
    set_rates(intake, "2026-03-02,USD,7\n2026-03-02,CHF,9\n")
    good = "O1,C1,2026-03-02 10:00:00,1,CNY,已付\n"
    intake.drop("orders.csv", f'{ORDERS}{good}O2,C1,2026-03-02 10:00:00,"{amount}",{currency},已付\n')
    [landing] = intake.night()["orders.csv"].landings
    told = [row["net"] for row in intake.landed(landing)[1:]]
    assert told == ([Decimal(expected)] if expected else [])
    assert broken(intake.rejects(landing)) == ([] if expected else [(3, "net", "not_a_money", "rejected")])


@pytest.mark.parametrize("text", ["2.10812E+18", "6E+17", "1E+11"])
def test_an_id_that_a_spreadsheet_has_rounded_is_no_id(intake, text):
    lines = [f"O{place},C1,2026-03-02 10:00:00,1,CNY,已付" for place in range(60)]
    lines += [f"{text},C1,2026-03-02 10:00:00,1,CNY,已付", f"U1,{text},2026-03-02 10:00:00,1,CNY,已付"]
    intake.drop("orders.csv", ORDERS + "\n".join(lines) + "\n")
    [landing] = intake.night()["orders.csv"].landings
    assert broken(intake.rejects(landing)) == [
        (62, "order_id", "damaged_number", "rejected"),
        (63, "source_customer_id", "damaged_number", "emptied"),
    ]
    assert intake.landed(landing)[-1]["source_customer_id"] is None


def test_many_rounded_ids_stop_order_data_with_what_helps(intake):
    line = "2.10812E+18,C1,2026-03-02 10:00:00,1,CNY,已付\n"
    intake.drop("orders.csv", ORDERS + line * 2)
    with pytest.raises(OrderDataStopped, match="order_id damaged_number.*export again, with the column as text"):
        intake.night()


@pytest.mark.parametrize("text", ["1e+05", "1E5", "A+1", "+8613800138000", "E+3", "12.5E+3x"])
def test_ids_with_letters_and_signs_stay(intake, text):
    intake.drop("orders.csv", f"{ORDERS}{text},C1,2026-03-02 10:00:00,1,CNY,已付\n")
    [landing] = intake.night()["orders.csv"].landings
    assert [row["order_id"] for row in intake.landed(landing)] == [text]
