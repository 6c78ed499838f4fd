"""A contract's types and rules as SQL over text cells: one definition for the quarantine and for the suites."""

from dataclasses import dataclass

from pipeline.ingest.amounts import decimal_sql, integer_sql, money_sql
from pipeline.ingest.cells import free_text, narrow, trimmed
from pipeline.ingest.contracts import Column
from pipeline.ingest.emails import address_sql, define_emails
from pipeline.ingest.layouts import Field
from pipeline.ingest.moments import date_sql, timestamp_sql, unordered_sql
from pipeline.ingest.phones import MASKED, define_phones, e164_sql
from pipeline.ingest.words import all_words, contract_words, is_one_of, mapped
from pipeline.warehouse import identifier, literal

TRUE_WORDS = ("true", "yes", "y", "1", "是")
CURRENCY_WORDS = {
    "CNY": ("RMB", "人民币", "元", "￥", "¥"),
    "USD": ("美元", "美金", "US$"),
    "HKD": ("港币", "港元", "HK$"),
    "EUR": ("欧元", "€"),
    "GBP": ("英镑", "£"),
    "JPY": ("日元", "円"),
}
NO_FIELD = Field()
FALSE_WORDS = ("false", "no", "n", "0", "否")
# as Excel writes what it rounded; R writes 1e+05 for 100000, which loses nothing
DAMAGED = r"\d(\.\d+)?E\+\d+"


@dataclass(frozen=True)
class Reading:
    """What a file's cells mean beyond its columns: zone of local times, currency of bare amounts, country of phones.

    email_columns, phone_columns: the file's columns that any of its entities reads as such.
    """

    timezone: str
    currency: str
    reporting_currency: str
    phone_country_code: str
    decimal: str = "."
    states_currency: bool = False
    email_columns: frozenset[str] = frozenset()
    phone_columns: frozenset[str] = frozenset()


def define_readers(con) -> None:
    """What the SQL of this module calls on a connection: read_phone, read_email."""
    define_phones(con)
    define_emails(con)


def raw_cell(field: Field, column: Column, available: set[str], within: str | None = None) -> str:
    """The text of a contract column, blanks as null, words mapped. Spaces and tabs around it go, except from free text.

    Of a sum it is the first part that is not blank: null only where all of them are. Of a sum that lacks a column: null.
    within: the SQL text among whose equals the place of a line is counted, for a field that says so.
    """
    if field.missing_from(available):
        return "null::varchar"
    text = _cell_text(field, column, available, within)
    if field.when:
        held = " and ".join(is_one_of(trimmed(identifier(name)), words) for name, words in field.when.items())
        return f"case when {held} then {text} end"
    return text


def _cell_text(field, column, available, within):
    if field.multiply:
        return _product_text(field)
    if field.add or field.subtract:
        return f"coalesce({', '.join(trimmed(identifier(name)) for name in field.add + field.subtract)})"
    if field.from_record:
        return "getvariable('file_id') || ':' || good_record"
    if field.within is not None:
        return f"row_number() over (partition by {within} order by good_record)::varchar"
    if field.constant is not None:
        return literal(field.constant)
    if not field.column and not field.join:
        return "null::varchar"
    text = _source_text(field, column, available)
    if column.type == "text":
        return text
    # a word mapped to '' says nothing, such as the 0 of a column "has opted out"
    if column.values and field.form in (None, "unmasked"):
        return f"nullif({mapped(text, all_words(field.values, column))}, '')"
    if field.values:
        text = f"nullif({mapped(text, field.values)}, '')"
    text = _in_form(text, field.form)
    return f"nullif({mapped(text, contract_words(column))}, '')" if column.values else text


def _source_text(field, column, available):
    """The text in the columns of an export: the first that is not blank, or what is not blank of several, joined."""
    cells = [identifier(name) for name in field.column + field.join if name in available]
    is_free = column.type == "text" and not field.join
    texts = [free_text(cell) if is_free else trimmed(cell) for cell in cells]
    if field.form == "unmasked":
        texts = [unmasked(cell) for cell in cells]
    if field.join:
        return f"nullif(concat_ws({literal(field.joint)}, {', '.join(texts)}), '')"
    if is_free and len(cells) > 1:
        texts = [f"case when {trimmed(cell)} is not null then {cell} end" for cell in cells]
    text = texts[0] if len(texts) == 1 else f"coalesce({', '.join(texts)})"
    if field.word is not None:
        return rf"string_split_regex({text}, '\s+')[{field.word}]"
    # a time to which nothing can be added is no time
    return (
        f"case when {trimmed(identifier(field.plus_minutes))} is not null then {text} end"
        if field.plus_minutes
        else text
    )


def _in_form(text, form):
    match form:
        case "salesforce_id":
            return _salesforce_id(text)
        case "first_listed":
            return f"nullif(trim(split_part({text}, ';', 1)), '')"
        case "clock":
            return _clock_seconds(text)
        case "opt_out":
            # who did not opt out has not opted in
            word = f"lower({text})"
            return f"case when {word} in {TRUE_WORDS} then 'false' when {word} not in {FALSE_WORDS} then {text} end"
        case "keyed":
            return f"keyed({text})"
        case _:
            return text


def unmasked(cell: str) -> str:
    """SQL for a cell in which nothing is hidden by a *; null where something is: many people share 138****0001."""
    return f"case when not regexp_matches({cell}, {literal(MASKED)}) then {trimmed(cell)} end"


def _product_text(field):
    """The first factor where none is blank: a product is known only as a whole."""
    first, *others = (trimmed(identifier(name)) for name in field.multiply)
    return f"case when {' and '.join(f'{other} is not null' for other in others) or 'true'} then {first} end"


def _clock_seconds(text):
    """5:30 and 0:05:30 as 330; any other text as it stands."""
    seconds = " + ".join(
        f"{unit} * coalesce(try_cast(split_part({text}, ':', -{place}) as bigint), 0)"
        for place, unit in ((1, 1), (2, 60), (3, 3600))
    )
    shape = literal(r"(\d+:)?\d+:\d{2}")
    return f"case when regexp_full_match({text}, {shape}) then ({seconds})::varchar else {text} end"


def _salesforce_id(text):
    """A record's id of 15 characters, in which case tells, as the 18 that need no case: three for what is a capital."""
    bits = [
        " + ".join(
            f"case when {text}[{place + bit + 1}] between 'A' and 'Z' then {1 << bit} else 0 end" for bit in range(5)
        )
        for place in (0, 5, 10)
    ]
    check = " || ".join(f"'ABCDEFGHIJKLMNOPQRSTUVWXYZ012345'[1 + {sum_}]" for sum_ in bits)
    return f"case when regexp_full_match({text}, '[0-9A-Za-z]{{15}}') then {text} || {check} else {text} end"


def typed_cell(
    field: Field, column: Column, reading: Reading, cell: str, country: str = "null", currency: str | None = None
) -> str:
    """The typed value of a cell, null where the text is no value of the type.

    Decimals and amounts are rounded to four places; nothing else is altered. In a sum a blank part counts as 0, and one
    that is no amount makes the whole null, as does a blank factor. country: SQL for the country that the row names, as
    written, for its phones. currency: SQL for the currency that the row states, for the signs of its amounts.
    """
    if field.parts():
        return f"case when {cell} is not null then {_total(field, reading, currency)} end"
    match column.type:
        case "category" if column.values:
            allowed = ", ".join(literal(value) for value in column.values)
            return f"case when {cell} in ({allowed}) then {cell} end"
        case "id" | "text" | "category":
            return cell
        case "currency":
            return (
                f"case when regexp_full_match({cell}, '[A-Za-z]{{3}}') then upper({cell}) {_currency_words(cell)} end"
            )
        case "integer":
            return integer_sql(cell, reading.decimal)
        case "decimal" if field.divide_by != 1:
            return (
                f"(case when not contains({cell}, '_') then try_cast(rtrim({cell}, '% ') as decimal(18, 8)) end"
                f" / {field.divide_by})::decimal(18, 4)"
            )
        case "decimal":
            return decimal_sql(cell, reading.decimal)
        case "money":
            return money_sql(cell, reading.currency, reading.decimal, currency)
        case "date":
            return date_sql(cell, field.formats)
        case "timestamp":
            moment = timestamp_sql(cell, field.formats, reading.timezone)
            if field.plus_minutes:
                minutes = f"try_cast({trimmed(identifier(field.plus_minutes))} as double)"
                return f"{moment} + to_microseconds(({minutes} * 60000000)::bigint)"
            return moment
        case "boolean":
            # in full-width letters only where the usual ones say nothing
            return f"coalesce({_truth(f'lower({cell})')}, {_truth(narrow(f'lower({cell})'))})"
        case "email":
            return address_sql(cell)
        case "phone":
            return e164_sql(cell, reading.phone_country_code, country)


def _total(field, reading, currency):
    """SQL for the product of a field, what is added to it, less what is subtracted."""

    def amount(name):
        return money_sql(trimmed(identifier(name)), reading.currency, reading.decimal, currency)

    def part(name):
        return f"case when {trimmed(identifier(name))} is null then 0 else {amount(name)} end"

    product = [f"({' * '.join(map(amount, field.multiply))})::decimal(18, 4)"] if field.multiply else []
    terms = [*(f"+ {part(name)}" for name in field.add), *(f"- {part(name)}" for name in field.subtract)]
    return " ".join(product + terms)


def _truth(word):
    return f"case when {word} in {TRUE_WORDS} then true when {word} in {FALSE_WORDS} then false end"


def _currency_words(cell):
    return " ".join(
        f"when upper({cell}) in ({', '.join(map(literal, words))}) then {literal(code)}"
        for code, words in CURRENCY_WORDS.items()
    )


def problems(column: Column, cell: str, typed: str, field: Field = NO_FIELD) -> dict[str, str]:
    """Rule name -> SQL condition under which a row breaks it. cell: the text, typed: the typed value.

    A masked phone or address (186******05), an id that a spreadsheet has rounded (2.10812E+18), and a date whose order no
    format states, have rules of their own.
    """
    unreadable = {"category": "unknown_value"}.get(column.type, f"not_a_{column.type}")
    broken = f"{cell} is not null and {typed} is null"
    apart = {}
    if column.type == "phone":
        apart["masked_phone"] = f"regexp_matches({cell}, {literal(MASKED)})"
    if column.type == "email":
        apart["masked_email"] = f"contains({cell}, '*')"
    if column.type in ("date", "timestamp") and not field.formats:
        apart["order_of_date_not_stated"] = unordered_sql(cell)
    found = {unreadable: f"{broken}{''.join(f' and not {shown}' for shown in apart.values())}"}
    found |= {rule: f"{broken} and {shown}" for rule, shown in apart.items()}
    if column.type == "id":
        # few ids hold the sign that is looked for first
        found["damaged_number"] = f"contains({cell}, '+') and regexp_full_match({cell}, {literal(DAMAGED)})"
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
