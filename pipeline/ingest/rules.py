"""A contract's types and rules as SQL over text cells: one definition for the quarantine and for the suites."""

from dataclasses import dataclass

from pipeline.ingest.contracts import Column
from pipeline.ingest.sources import Field
from pipeline.warehouse import identifier, literal

TIMESTAMP_FORMATS = (
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y-%m-%d %H:%M:%S %z",
)
DATE_FORMATS = ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d")
CURRENCY_SIGNS = {"CNY": "￥¥元", "JPY": "￥¥円", "USD": "$", "EUR": "€", "GBP": "£"}
TRUE_WORDS = ("true", "yes", "y", "1", "是")
FALSE_WORDS = ("false", "no", "n", "0", "否")
EMAIL = r"^[^@\s,;]+@[^@\s,;]+\.[^@\s.,;]+$"


@dataclass(frozen=True)
class Reading:
    """What a file's cells mean beyond its columns: zone of local times, currency of bare amounts, country of phones."""

    timezone: str
    currency: str
    reporting_currency: str
    phone_country_code: str


def raw_cell(field: Field, column: Column, reading: Reading, available: set[str]) -> str:
    """The text of a contract column, blanks as null; spaces around it go, except from free text."""
    if field.from_record:
        return "getvariable('file_id') || ':' || good_record"
    if field.constant is not None:
        return literal(field.constant)
    if field.column is None or field.column not in available:
        return "null::varchar"
    cell = identifier(field.column)
    return f"nullif({cell}, '')" if column.type == "text" else f"nullif(trim({cell}), '')"


def typed_cell(field: Field, column: Column, reading: Reading, cell: str) -> str:
    """The typed value of a cell, null where the text is no value of the type."""
    if field.add or field.subtract:
        parts = [(name, "+") for name in field.add] + [(name, "-") for name in field.subtract]
        numbers = [(_money(f"nullif(trim({identifier(name)}), '')", reading), sign) for name, sign in parts]
        return " ".join(f"{sign} coalesce({number}, 0)" for number, sign in numbers)
    if field.values:
        words = " ".join(f"when {literal(word)} then {literal(meaning)}" for word, meaning in field.values.items())
        cell = f"case {cell} {words} else {cell} end"
    match column.type:
        case "category" if column.values:
            allowed = ", ".join(literal(value) for value in column.values)
            return f"case when lower({cell}) in ({allowed}) then lower({cell}) end"
        case "id" | "text" | "category":
            return cell
        case "currency":
            return f"case when upper({cell}) = {literal(reading.reporting_currency)} then upper({cell}) end"
        case "integer":
            number = f"try_cast({cell} as decimal(18, 4))"
            return f"case when {number} = trunc({number}) then {number}::bigint end"
        case "decimal":
            return f"try_cast({cell} as decimal(18, 4))"
        case "money":
            return _money(cell, reading)
        case "date":
            return f"try_strptime({cell}, {_list(field.formats or DATE_FORMATS)})::date"
        case "timestamp":
            return _timestamp(cell, field.formats or TIMESTAMP_FORMATS, reading.timezone)
        case "boolean":
            return (
                f"case when lower({cell}) in {TRUE_WORDS} then true when lower({cell}) in {FALSE_WORDS} then false end"
            )
        case "email":
            return f"case when regexp_matches({cell}, {literal(EMAIL)}) then lower({cell}) end"
        case "phone":
            return _phone(cell, reading.phone_country_code)


def problems(column: Column, cell: str, typed: str) -> dict[str, str]:
    """Rule name -> SQL condition under which a row breaks it. cell: the text, typed: the typed value."""
    unreadable = {"category": "unknown_value", "currency": "no_exchange_rate"}.get(column.type, f"not_a_{column.type}")
    found = {unreadable: f"{cell} is not null and {typed} is null"}
    if column.required:
        found["missing"] = f"{cell} is null"
    return found | range_problems(column, typed)


def range_problems(column: Column, typed: str) -> dict[str, str]:
    """The rules that a typed value can break by itself: below_min, above_max, in_future."""
    found = {}
    if column.min is not None:
        found["below_min"] = f"{typed} < {_constant(column, column.min)}"
    if column.max is not None:
        found["above_max"] = f"{typed} > {_constant(column, column.max)}"
    if column.not_in_future:
        found["in_future"] = f"{typed} > getvariable('observed_at')::timestamp + interval 1 day"
    return found


def _constant(column, constant):
    return f"{literal(str(constant))}::{column.sql_type}"


def _list(texts):
    return "[" + ", ".join(literal(text) for text in texts) + "]"


def _money(cell, reading):
    """Plain numbers first; then thousands separators and the sign of the file's own currency."""
    signs = CURRENCY_SIGNS.get(reading.currency, "")
    marks = literal(rf"[{signs},\s]")
    bare = f"regexp_replace({cell}, {marks}, '', 'g')"
    shape = (
        rf"^-?[{signs}]?\s*-?\d{{1,3}}(,\d{{3}})*(\.\d+)?\s*[{signs}]?$" if signs else r"^-?\d{1,3}(,\d{3})*(\.\d+)?$"
    )
    plain_shape = rf"^-?[{signs}]?\s*-?\d+(\.\d+)?\s*[{signs}]?$" if signs else shape
    return (
        f"coalesce(try_cast({cell} as decimal(18, 4)),"
        f" case when regexp_matches({cell}, {literal(shape)}) or regexp_matches({cell}, {literal(plain_shape)})"
        f" then try_cast({bare} as decimal(18, 4)) end)"
    )


def _timestamp(cell, formats, timezone):
    """UTC: a format with an offset or a Z says its own zone, any other is local to the source."""
    absolute = [form for form in formats if "%z" in form]
    zulu = [form for form in formats if form.endswith("Z")]
    local = [form for form in formats if form not in absolute and form not in zulu]
    parsed = []
    if local:
        moment = f"try_strptime({cell}, {_list(local)})"
        parsed.append(moment if timezone == "UTC" else f"timezone('UTC', timezone({literal(timezone)}, {moment}))")
    if zulu:
        parsed.append(f"try_strptime({cell}, {_list(zulu)})")
    parsed += [f"timezone('UTC', try_strptime({cell}, {literal(form)}))" for form in absolute]
    return f"coalesce({', '.join(parsed)})" if len(parsed) > 1 else parsed[0]


def _phone(cell, country_code):
    """E.164: an international number as it stands, a national one with the country code of the settings."""
    digits = rf"regexp_replace({cell}, '[\s().\-]', '', 'g')"
    return (
        rf"case when not regexp_matches({digits}, '^(\+|00)?\d{{6,15}}$') then null"
        f" when starts_with({digits}, '+') then {digits}"
        f" when starts_with({digits}, '00') then '+' || substr({digits}, 3)"
        f" when starts_with({digits}, '{country_code}') and length({digits}) > 11 then '+' || {digits}"
        f" else '+{country_code}' || ltrim({digits}, '0') end"
    )
