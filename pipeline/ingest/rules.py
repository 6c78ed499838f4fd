"""A contract's types and rules as SQL over text cells: one definition for the quarantine and for the suites."""

import re
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
ABUTTING = re.compile(r"%-?[a-zA-Z]%")
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


def raw_cell(field: Field, column: Column, available: set[str]) -> str:
    """The text of a contract column, blanks as null, words mapped. Spaces and tabs around it go, except from free text.

    Of a sum it is the first part that is not blank: null only where all of them are. Of a sum that lacks a column: null.
    """
    if field.add or field.subtract:
        parts = [_trimmed(identifier(name)) for name in field.columns()]
        return f"coalesce({', '.join(parts)})" if available.issuperset(field.columns()) else "null::varchar"
    if field.from_record:
        return "getvariable('file_id') || ':' || good_record"
    if field.constant is not None:
        return literal(field.constant)
    if field.column is None or field.column not in available:
        return "null::varchar"
    cell = identifier(field.column)
    if column.type == "text":
        return f"nullif({cell}, '')"
    text = _trimmed(cell)
    if field.values:
        words = " ".join(f"when {literal(word)} then {literal(meaning)}" for word, meaning in field.values.items())
        # a word mapped to '' says nothing, such as the 0 of a column "has opted out"
        text = f"nullif(case {text} {words} else {text} end, '')"
    if column.type == "phone":
        return rf"regexp_replace({text}, '[\s().\-]', '', 'g')"
    return f"lower({text})" if column.values else text


def typed_cell(field: Field, column: Column, reading: Reading, cell: str) -> str:
    """The typed value of a cell, null where the text is no value of the type.

    Decimals and amounts are rounded to four places; nothing else is altered. In a sum a blank part counts as 0, and one
    that is no amount makes the whole null.
    """
    if field.add or field.subtract:
        parts = [(_trimmed(identifier(name)), "+") for name in field.add]
        parts += [(_trimmed(identifier(name)), "-") for name in field.subtract]
        terms = [f"{sign} case when {part} is null then 0 else {_money(part, reading)} end" for part, sign in parts]
        return f"case when {cell} is not null then {' '.join(terms)} end"
    match column.type:
        case "category" if column.values:
            allowed = ", ".join(literal(value) for value in column.values)
            return f"case when {cell} in ({allowed}) then {cell} end"
        case "id" | "text" | "category":
            return cell
        case "currency":
            return f"case when upper({cell}) = {literal(reading.reporting_currency)} then upper({cell}) end"
        case "integer":
            whole = rf"regexp_matches({cell}, '^[+-]?\d+(\.0*)?$')"
            return f"case when {whole} then try_cast(split_part({cell}, '.', 1) as bigint) end"
        case "decimal":
            return _number(cell)
        case "money":
            return _money(cell, reading)
        case "date":
            return f"({_moment(cell, field.formats or DATE_FORMATS)})::date"
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


def _trimmed(cell):
    """Spaces go; and the tabs that some exports put beside a long number so that a spreadsheet leaves it alone."""
    return f"nullif(case when contains({cell}, chr(9)) then trim({cell}, chr(9) || ' ') else trim({cell}) end, '')"


def _number(cell):
    """Not with try_cast alone: it takes 1_000 for 1000."""
    return f"case when not contains({cell}, '_') then try_cast({cell} as decimal(18, 4)) end"


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
        f"coalesce({_number(cell)},"
        f" case when regexp_matches({cell}, {literal(shape)}) or regexp_matches({cell}, {literal(plain_shape)})"
        f" then try_cast({bare} as decimal(18, 4)) end)"
    )


def _moment(cell, formats):
    """try_strptime, without what it guesses.

    It takes the words infinity and epoch for 1900, the year of 26-01-05 for 26, and 2026115 by %Y%m%d for 5 November: a
    format that begins with %Y needs a digit in third place, any other a year of four digits (with %y: a digit), and
    where numbers abut the text must be what the format writes.
    """
    spaced = [form for form in formats if not ABUTTING.search(form)]
    parsed = [f"try_strptime({cell}, {_list(spaced)})"] if spaced else []
    for form in formats:
        if form not in spaced:
            moment = f"try_strptime({cell}, {literal(form)})"
            parsed.append(f"case when strftime({moment}, {literal(form)}) = {cell} then {moment} end")
    if all(form.startswith("%Y") for form in formats):
        guard = f"substr({cell}, 3, 1) between '0' and '9'"
    else:
        digits = r"\d" if any("%y" in form for form in formats) else r"\d{4}"
        guard = f"regexp_matches({cell}, '{digits}')"
    return f"case when {guard} then {parsed[0] if len(parsed) == 1 else 'coalesce(' + ', '.join(parsed) + ')'} end"


def _timestamp(cell, formats, timezone):
    """UTC: a format with an offset or a Z says its own zone, any other is local to the source."""
    absolute = [form for form in formats if "%z" in form]
    zulu = [form for form in formats if form.endswith("Z")]
    local = [form for form in formats if form not in absolute and form not in zulu]
    parsed = []
    if local:
        moment = _moment(cell, local)
        parsed.append(moment if timezone == "UTC" else f"timezone('UTC', timezone({literal(timezone)}, {moment}))")
    if zulu:
        parsed.append(_moment(cell, zulu))
    parsed += [f"timezone('UTC', {_moment(cell, [form])})" for form in absolute]
    return f"coalesce({', '.join(parsed)})" if len(parsed) > 1 else parsed[0]


def _phone(cell, country_code):
    """E.164: an international number as it stands, a national one with the country code of the settings."""
    return (
        rf"case when not regexp_matches({cell}, '^(\+|00)?\d{{6,15}}$') then null"
        f" when starts_with({cell}, '+') then {cell}"
        f" when starts_with({cell}, '00') then '+' || substr({cell}, 3)"
        f" when starts_with({cell}, '{country_code}') and length({cell}) > 11 then '+' || {cell}"
        f" else '+{country_code}' || ltrim({cell}, '0') end"
    )
