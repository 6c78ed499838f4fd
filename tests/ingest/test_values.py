"""Values as exports write them: phones, amounts and dates that hypothesis makes up, and what spreadsheets do to cells."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import duckdb
import phonenumbers
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.ingest.contracts import ContractError, load_contracts
from pipeline.ingest.layouts import Field
from pipeline.ingest.phones import e164_sql, read_phone, region_of
from pipeline.ingest.places import city_code, country_code, province_code, regions
from pipeline.ingest.rates import define_rates, read_rates
from pipeline.ingest.rules import Reading
from pipeline.settings import read_settings
from tests.builders import NIGHT, ingest_connection
from tests.ingest.test_rules import read

GERMANY = Reading("Europe/Berlin", "EUR", "EUR", "49", decimal=",")
# DuckDB answers in its own time, and the machine may be busy
MANY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def con():
    con = ingest_connection()
    con.execute("set variable observed_at = ?", (NIGHT,))
    con.execute("set variable file_id = 'f1'")
    yield con
    con.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(0571) 8765-4321", "+8657187654321"),
        ("021-62345678转801", "+862162345678"),
        ("０１３８００１３８０００", "+8613800138000"),
        ("＋86 138 0013 8000", "+8613800138000"),
        ("1.3800138E10", "+8613800138000"),
        ("13800138000.0", "+8613800138000"),
        ("13800138000;13900139000", "+8613800138000"),
        ('="13800138000"', "+8613800138000"),
        ("'13800138000", "+8613800138000"),
        ("手机：13800138000", "+8613800138000"),
        ("+44 20 7946 0958", "+442079460958"),
        ("23800138000", None),
        ("1.38E+10", None),
        ("1380013 mama", None),
    ],
)
def test_phones_as_exports_write_them(con, text, expected):
    assert read(con, "phone", text) == (expected, [] if expected else ["not_a_phone"])


@pytest.mark.parametrize("text", ["186******05", "138****8000", "138xxxx8000", "+86 138＊＊＊＊8000"])
def test_a_masked_phone_is_nobodys(con, text):
    assert read(con, "phone", text) == (None, ["masked_phone"])


def test_a_rows_country_reads_its_national_numbers():
    assert read_phone("(415) 555-2671", "CN", "United States") == "+14155552671"
    # the same digits are a number of Dandong, where no country says otherwise
    assert read_phone("(415) 555-2671", "CN", None) == "+864155552671"


def by_phonenumbers(text, region):
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    return phonenumbers.format_number(number, 0) if phonenumbers.is_valid_number(number) else None


@pytest.mark.parametrize("code", ["86", "1", "49"])
def test_the_sql_of_phones_is_phonenumbers(con, code):
    region = region_of(code)
    shapes = phonenumbers.PhoneMetadata.metadata_for_region(region, None)
    numbers = st.one_of(
        st.from_regex(f"(?:{shapes.mobile.national_number_pattern})", fullmatch=True, alphabet="0123456789"),
        st.from_regex(f"(?:{shapes.fixed_line.national_number_pattern})", fullmatch=True, alphabet="0123456789"),
        st.text("0123456789", min_size=3, max_size=14),
    )
    prefixes = st.sampled_from(["", "+", "0", "00", code, f"+{code}", f"00{code}", f"+{code} ", "0-", f"{code} "])
    con.execute("create or replace table scratch.phones (cell varchar)")

    @settings(MANY, max_examples=40)
    @given(st.lists(st.tuples(prefixes, numbers).map("".join), min_size=20, max_size=60))
    def check(texts):
        listed = ", ".join(f"('{text}')" for text in texts)
        found = con.execute(f"select cell, {e164_sql('cell', code)} from (values {listed}) as t (cell)").fetchall()
        assert found == [(text, by_phonenumbers(text, region)) for text, _ in found]

    check()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mailto:Li.Lei@Example.com", "li.lei@example.com"),
        ("Li Lei <li.lei@example.com>", "li.lei@example.com"),
        ("li.lei＠example.com", "li.lei@example.com"),
        ("\u00a0li.lei@example.com\u3000", "li.lei@example.com"),
        ("info@bücher.de", "info@xn--bcher-kva.de"),
        ("li@", None),
        ("ann@x..com", None),
        (".ann@x.com", None),
        ("ann@-x.com", None),
        ("Ann <ann@x-.com>", None),
        ("Ann@Mail.x-y.com", "ann@mail.x-y.com"),
        # some mobile operators gave such addresses out
        ("a..n.@docomo.ne.jp", "a..n.@docomo.ne.jp"),
    ],
)
def test_emails_as_exports_write_them(con, text, expected):
    assert read(con, "email", text) == (expected, [] if expected else ["not_a_email"])


def test_a_masked_address_is_nobodys(con):
    assert read(con, "email", "l***@qq.com") == (None, ["masked_email"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('="00123"', "00123"),
        ("'00123", "00123"),
        ("\t00123", "00123"),
        ("\u3000A1\u00a0", "A1"),
        ("'s-Hertogenbosch", "'s-Hertogenbosch"),
        ("=A1+B1", "=A1+B1"),
        ("''", "''"),
    ],
)
def test_what_a_spreadsheet_puts_around_an_id(con, text, expected):
    assert read(con, "id", text) == (expected, [])


def test_free_text_loses_nothing_but_a_whole_formula_of_text(con):
    assert read(con, "text", '="123"')[0] == "123"
    for text in ('="1" & "2"', "'quoted", "\tindented ", "＝ｆｕｌｌ"):
        assert read(con, "text", text)[0] == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(123.45)", "-123.45"),
        ("123.45-", "-123.45"),
        ("CNY 1,234.50", "1234.50"),
        ("1,234.50 RMB", "1234.50"),
        ("１２３．４５", "123.45"),
        ("￥１，２３４", "1234"),
        ("1\u00a0234.50", "1234.50"),
        ("(-5)", None),
        ("-5-", None),
        ("1,23", None),
        ("5%", None),
    ],
)
def test_amounts_as_exports_write_them(con, text, expected):
    assert read(con, "money", text)[0] == (Decimal(expected) if expected else None)


@pytest.mark.parametrize(
    ("text", "expected"), [("1.234,56", "1234.56"), ("1.234", "1234"), ("0,5", "0.5"), ("1,234.5", None)]
)
def test_a_decimal_comma_only_where_it_is_stated(con, text, expected):
    assert read(con, "money", text, GERMANY)[0] == (Decimal(expected) if expected else None)


@MANY
@given(st.decimals(-(10**9), 10**9, places=2, allow_nan=False))
def test_amounts_come_back_however_they_are_written(con, amount):
    size = abs(amount)
    ways = [f"{amount}", f"{amount:,}", f"￥{amount:,}", f"{amount}元"]
    ways += [f"({size:,})", f"{size}-"] if amount < 0 else []
    for text in ways:
        assert read(con, "money", text) == (amount, [])


@MANY
@given(st.text(max_size=20), st.sampled_from(["money", "decimal", "integer", "date", "timestamp", "phone", "email"]))
def test_no_text_stops_a_file_and_what_is_no_value_is_told(con, text, kind):
    value, rules = read(con, kind, text.replace("\x00", ""))
    assert value is None or rules == []


@MANY
@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)))
def test_dates_come_back_however_they_are_written(con, day):
    for text in (
        f"{day}",
        f"{day:%Y/%m/%d}",
        f"{day.year}年{day.month}月{day.day}日",
        f"{day} 00:00:00",
        f"{day:%Y%m%d}",
    ):
        assert read(con, "date", text) == (day, [])


@MANY
@given(st.datetimes(datetime(1992, 1, 1), datetime(2026, 1, 1)).map(lambda moment: moment.replace(microsecond=0)))
def test_times_come_back_however_they_are_written(con, moment):
    utc = moment - timedelta(hours=8)
    for text in (f"{moment}", f"{moment}.000", f"{moment.isoformat()}+08:00", f"{utc.isoformat()}Z", f"{moment} +0800"):
        assert read(con, "timestamp", text) == (utc, [])


@pytest.mark.parametrize("text", ["2024年3月1日 9点5分", "2024年3月1日9时05分", "2024/3/1 9:05"])
def test_times_in_chinese_words_and_without_leading_zeros(con, text):
    assert read(con, "timestamp", text) == (datetime(2024, 3, 1, 1, 5), [])


@pytest.mark.parametrize("text", ["1/2/2024", "01-02-2024 10:00", "1.2.24"])
def test_the_order_of_day_and_month_is_never_guessed(con, text):
    for kind in ("date", "timestamp"):
        assert read(con, kind, text) == (None, ["order_of_date_not_stated"])
    assert read(con, "date", "1/2/2024", field=Field(column=("cell",), formats=("%d/%m/%Y",)))[0] == date(2024, 2, 1)
    assert read(con, "date", "1/2/2024", field=Field(column=("cell",), formats=("%m/%d/%Y",)))[0] == date(2024, 1, 2)


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("excel", "45352.378472222", datetime(2024, 3, 1, 1, 5)),
        ("excel", "59", None),
        ("epoch_s", "1709255100", datetime(2024, 3, 1, 1, 5)),
        ("epoch_ms", "1709255100000", datetime(2024, 3, 1, 1, 5)),
        ("epoch_s", "soon", None),
    ],
)
def test_numbers_are_times_only_where_a_layout_says_so(con, form, text, expected):
    assert read(con, "timestamp", text, field=Field(column=("cell",), formats=(form,)))[0] == expected
    assert read(con, "timestamp", text)[0] is None


def test_a_local_time_that_the_clocks_left_out_or_gave_twice(con):
    # 02:30 did not exist on 2024-03-31, and was at 00:30 and at 01:30 UTC on 2024-10-27: the second counts
    assert read(con, "timestamp", "2024-03-31 02:30:00", GERMANY)[0] == datetime(2024, 3, 31, 1, 30)
    assert read(con, "timestamp", "2024-10-27 02:30:00", GERMANY)[0] == datetime(2024, 10, 27, 1, 30)
    berlin = datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    assert read(con, "timestamp", "2024-07-01 12:00", GERMANY)[0] == berlin.astimezone(ZoneInfo("UTC")).replace(
        tzinfo=None
    )


def test_genders_need_no_map(con):
    gender = load_contracts()["customers"].columns["gender"]
    for words, meaning in (
        (("男", "先生", "M", "Mr."), "male"),
        (("女士", "f", "Mrs"), "female"),
        (("保密", "unknown"), None),
    ):
        for word in words:
            found = read(con, "category", word, values=gender.values, words=gender.words)
            assert found == (meaning, [])


# places


def test_every_place_has_its_parent_and_none_is_missing():
    listed = {(kind, code): parent for code, kind, *_, parent in regions().rows()}
    cities = [code for kind, code in listed if kind == "city"]
    # 333 prefectures, 4 municipalities, 32 counties and cities that a province governs itself
    assert len(cities) == 333 + 4 + 32
    assert sum(code.startswith("CN-") for kind, code in listed if kind == "province") == 34
    for (kind, code), parent in listed.items():
        assert kind == "country" or ("province", parent) in listed or ("country", parent) in listed, code


@pytest.mark.parametrize(
    ("province", "city", "expected"),
    [
        ("浙江省", "杭州市", ("CN-ZJ", "330100")),
        ("浙江", "杭州", ("CN-ZJ", "330100")),
        ("Zhejiang", "Hangzhou", ("CN-ZJ", "330100")),
        ("广西壮族自治区", "桂林", ("CN-GX", "450300")),
        ("宁夏", "银川市", ("CN-NX", "640100")),
        ("Inner Mongolia", "Hohhot", ("CN-NM", "150100")),
        ("上海市", "上海市", ("CN-SH", "310100")),
        ("香港特别行政区", "香港", ("CN-HK", None)),
        ("江苏省", "Suzhou", ("CN-JS", "320500")),
        ("安徽省", "Suzhou", ("CN-AH", "341300")),
        (None, "Suzhou", (None, None)),
        ("某省", "某市", (None, None)),
    ],
)
def test_chinese_places(province, city, expected):
    code = province_code(province, "CN")
    assert (code, city_code(city, code, "CN")) == expected


def test_countries_and_states():
    names = ("中国", "China", "USA", "德国", "Taiwan", "香港", "UK", "Atlantis")
    assert [country_code(name) for name in names] == ["CN", "CN", "US", "DE", "TW", "HK", "GB", None]
    assert (province_code("California", "US"), province_code("CA", "US"), province_code("Bayern", "DE")) == (
        "US-CA",
        "US-CA",
        "DE-BY",
    )


# rates


def rates(folder, text):
    (folder / "rates.csv").write_text(text, encoding="utf-8")
    return read_rates(read_settings(folder, {}))


def test_a_rate_holds_for_seven_days_and_never_backwards(tmp_path):
    con = duckdb.connect()
    found = rates(tmp_path, "date,currency,rate\n2026-03-06,USD,7.2\n2026-03-10,USD,7.25\n2026-03-20,USD,7.3\n")
    define_rates(con, found, "Asia/Shanghai")

    def on(currency, moment):
        return con.execute("select exchange_rate_on(?, ?::timestamp)", (currency, moment)).fetchall()[0][0]

    # 16:00 UTC is midnight in the business time zone
    assert [on("USD", f"2026-03-{day} 16:00:00") for day in ("04", "05", "08", "09", "16", "17")] == [
        None,
        "7.2",
        "7.2",
        "7.25",
        "7.25",
        None,
    ]
    assert on("USD", "2026-03-09 15:59:59") == "7.2"
    assert (on("EUR", "2026-03-06 12:00:00"), on("USD", None), on(None, "2026-03-06")) == (None, None, None)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("2026-13-01,USD,7", 'rates.csv line 3: date "2026-13-01"'),
        ("2026-03-07,dollar,7", 'rates.csv line 3: currency "DOLLAR"'),
        ("2026-03-07,CNY,1", "rates.csv line 3: CNY is the reporting currency"),
        ("2026-03-07,USD,0", 'rates.csv line 3: rate "0"'),
        ("2026-03-07,USD", 'rates.csv line 3: rate ""'),
        ("2026-03-06,USD,7.3", "rates.csv line 3: another rate of USD"),
    ],
)
def test_a_bad_line_of_rates_is_named(tmp_path, line, told):
    with pytest.raises(ContractError) as caught:
        rates(tmp_path, f"date,currency,rate\n2026-03-06,USD,7.2\n{line}\n")
    assert told in str(caught.value) and "\n" not in str(caught.value)
