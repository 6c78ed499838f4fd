"""The records of a file typed and checked against their contract, in one statement."""

from pipeline.ingest.contracts import Contract
from pipeline.ingest.emails import address_sql
from pipeline.ingest.layouts import EntityMap, Field
from pipeline.ingest.names import COLUMNS as NAMES
from pipeline.ingest.names import joined_sql, name_sql, settled_names
from pipeline.ingest.phones import e164_sql
from pipeline.ingest.rates import exchange_rate_sql
from pipeline.ingest.rules import Reading, problems, range_problems, raw_cell, typed_cell, unmasked
from pipeline.ingest.suppressions import MARK
from pipeline.ingest.unmapped import word_sql
from pipeline.warehouse import identifier, literal, value

CUSTOMER_IDS = ("source_customer_id", "referred_by")


def check_rows(con, contract, mapping, reading, available, table, marker=None):
    """Type and check the records of a table: scratch.checked (good_record, typed columns, reject, emptied). Their count.

    good_record is the place in the table, as rows are kept in the file's order: numbering them while they are typed would
    leave that work to one core. marker: the column that tells a line already emptied for somebody suppressed (is_marked).
    """
    con.execute(_checked_sql(contract, mapping, reading, available, table, marker))
    con.execute(
        f"create or replace view scratch.checked as"
        f" select {place_sql(mapping)} as good_record, * {'exclude (good_record) ' if mapping.is_numbered else ''}from scratch.checked_rows"
    )
    return value(con, "select count(*) from scratch.checked_rows")


def place_sql(mapping):
    """SQL for a record's number in scratch.checked_rows, which holds every record in its order unless the mapping says so."""
    return "good_record" if mapping.is_numbered else "rowid + 1"


def _lines_sql(mapping, available, table):
    """The lines of a table that are lines of an entity, blank cells filled from the first line of their group."""
    carried = []
    if mapping.carry_by in available:
        name = f"nullif({identifier(mapping.carry_by)}, '')"
        # lines that name no group are a group each
        group = f"{name}, case when {name} is null then good_record end"
        carried = [
            f"coalesce(nullif({name}, ''), first_value(nullif({name}, '') ignore nulls) over carried) as {name}"
            for name in map(identifier, mapping.carry or mapping.source_columns())
            if name in map(identifier, available - {mapping.carry_by})
        ]
    lines, is_line = f"select * from {table}", []
    if carried:
        lines = (
            f"select * replace ({', '.join(carried)}) from {table} window carried as"
            f" (partition by {group} order by good_record rows between unbounded preceding and unbounded following)"
        )
    if mapping.needs:
        filled = [
            unmasked(identifier(name)) if name in mapping.masked() else f"nullif(trim({identifier(name)}), '')"
            for name in mapping.needs
            if name in available
        ]
        is_line.append(f"coalesce({', '.join(filled)}) is not null" if filled else "false")
    is_line += [
        f"coalesce(trim({identifier(name)}) not in ({', '.join(map(literal, words))}), true)"
        for name, words in mapping.unless.items()
        if name in available
    ]
    return f"select * from ({lines}) where {' and '.join(is_line)}" if is_line else lines


def what_is_none(mapping):
    """Which lines are no lines of an entity, in words."""
    needed = [f"without {' or '.join(mapping.needs)}"] if mapping.needs else []
    return " or ".join([*needed, *(f"whose {name} is {' or '.join(words)}" for name, words in mapping.unless.items())])


def _checked_sql(
    contract: Contract, mapping: EntityMap, reading: Reading, available: set[str], table: str, marker: str | None = None
) -> str:
    """scratch.checked_rows: typed columns, `reject` and `emptied` (`column|rule;...` or ''), one row a record, in order."""
    cells, typed, kept, rejecting, emptying = [], [], [], [], []
    summed = {}
    country = "raw_cells.cell_country" if "country" in mapping.columns else "null"
    stated = _stated_currency(contract, mapping, reading)
    for name, field in mapping.columns.items():
        column = contract.columns[name]
        cell, typed_name = identifier(f"cell_{name}"), identifier(f"typed_{name}")
        # a sum that lacks a column is not known
        field = field if not field.missing_from(available) else Field()
        summed |= dict.fromkeys(map(identifier, field.parts() + field.minutes()))
        within = mapping.columns.get(field.within)
        grouped = raw_cell(within, contract.columns[field.within], available) if within else None
        text = raw_cell(field, column, available, grouped)
        # of several lines that are one record only one need state it
        if column.type == "currency" and not mapping.fold and not _follows_its_order(contract, reading):
            text = f"coalesce({text}, {literal(reading.currency)})"
        cells.append(f"{text} as {cell}")
        source_cell = f"raw_cells.{cell}"
        value_sql = typed_cell(field, column, reading, source_cell, country, stated)
        if contract.entity == "customers" and name in NAMES:
            value_sql = joined_sql(name_sql(value_sql)) if name == "name" else name_sql(value_sql)
        if name in CUSTOMER_IDS:
            value_sql = _normal_id(mapping, reading, value_sql)
        typed.append(f"{value_sql} as {typed_name}")
        later = rules_of_record(contract, column, field) if mapping.fold else {}
        found = problems(column, cell, typed_name, field)
        if has_no_rate(contract, column, reading):
            found["no_exchange_rate"] = f"{typed_name} is not null"
        broken = {rule: sql for rule, sql in found.items() if rule not in later}
        word = word_sql(column, field, cell, typed_name)
        if word:
            kept.append(f"{word} as {identifier(f'word_{name}')}")
        if column.on_error == "reject":
            rejecting += [(f"{name}|{rule}", condition) for rule, condition in broken.items()]
            kept.append(f"{typed_name} as {identifier(name)}")
        else:
            emptying += [(f"{name}|{rule}", condition) for rule, condition in broken.items()]
            outside = " or ".join(f"coalesce({condition}, false)" for rule, condition in broken.items())
            kept.append(f"case when not ({outside}) then {typed_name} end as {identifier(name)}")
    ruled = [(f"|{rule}", f"not coalesce({spec['condition']}, false)") for rule, spec in contract.rules.items()]
    unmapped = [
        f"null::{column.sql_type} as {identifier(name)}"
        for name, column in contract.columns.items()
        if name not in mapping.columns and name != "currency"
    ]
    if "currency" in contract.columns and not mapping.fold:
        rate, lacking = exchange_rate(contract, mapping, reading)
        kept.append(f"{rate} as exchange_rate")
        rejecting.append(("currency|no_exchange_rate", lacking))
    if "currency" in contract.columns and "currency" not in mapping.columns:
        unmapped.append(f"{_bare_currency(contract, reading)} as currency")
    if contract.entity == "customers":
        kept, unmapped = _with_names(kept, unmapped, mapping)
    mark = [f"coalesce({identifier(marker)} = {literal(MARK)}, false) as is_marked"] if marker else []
    also = (["is_marked"] if marker else []) + (["good_record"] if mapping.is_numbered else []) + ["custom"]
    custom = [f"{literal(name)}, nullif({identifier(name)}, '')" for name in mapping.keep if name in available]
    mark.append(f"json_object({', '.join(custom)})::varchar as custom" if custom else "null::varchar as custom")
    mark += ["good_record"] if mapping.is_numbered else []
    return f"""
        create or replace table scratch.checked_rows as
        with raw_cells as (
            select {", ".join([*cells, *summed, *mark])} from ({_lines_sql(mapping, available, table)})
        ),

        typed as (
            select {", ".join([*(identifier(f"cell_{name}") for name in mapping.columns), *typed, *also])}
            from raw_cells
        ),

        kept as (
            select
                {", ".join([*kept, *unmapped, *also])},
                {problem_list(rejecting)} as reject_cells,
                {problem_list(emptying)} as emptied
            from typed
        )

        select
            * exclude (reject_cells),
            1 as line_count,
            concat_ws(';', nullif(reject_cells, ''), nullif({problem_list(ruled)}, '')) as reject
        from kept
    """


def _with_names(kept, unmapped, mapping):
    """The columns of names: what is not told of whole name and parts comes from the other."""
    mapped = [name for name in NAMES if name in mapping.columns]
    told = settled_names({name: identifier(f"typed_{name}") for name in mapped})
    quoted = {identifier(name): sql for name, sql in told.items()}
    rest = [column for column in kept + unmapped if column.rsplit(" as ", 1)[1] not in quoted]
    return rest, [f"{sql} as {name}" for name, sql in quoted.items()]


def _normal_id(mapping, reading, text):
    """SQL for a customer's id: where its file shows it as an e-mail address or phone too, as that is normalised.

    Without the country of the line, which one entity of a file may tell and another not.
    """
    own = mapping.columns.get("source_customer_id")
    sources = set(own.column) if own else set()
    address = number = text
    if sources & reading.email_columns:
        address = f"coalesce({address_sql(text)}, {text})"
    if sources & reading.phone_columns:
        number = f"coalesce({e164_sql(text, reading.phone_country_code)}, {text})"
    return text if address == number else f"case when contains({text}, '@') then {address} else {number} end"


def _follows_its_order(contract, reading):
    """Whether amounts beside which no currency stands are in that of their order."""
    return contract.follows_order and not reading.states_currency


def _bare_currency(contract, reading):
    """SQL for the currency of amounts beside which no column states one; null: that of their order."""
    return "null::varchar" if _follows_its_order(contract, reading) else literal(reading.currency)


def _stated_currency(contract, mapping, reading):
    """SQL for the currency that a line states beside its amounts; None where no column does."""
    field = mapping.columns.get("currency")
    if field is None or "currency" not in contract.columns:
        return None
    return typed_cell(field, contract.columns["currency"], reading, "raw_cells.cell_currency")


def has_no_rate(contract: Contract, column, reading: Reading) -> bool:
    """Whether amounts of a file in another currency would be taken for the reporting one: their records tell no currency."""
    is_amount = column.type == "money" and "currency" not in contract.columns
    return is_amount and reading.currency != reading.reporting_currency


def exchange_rate(contract, mapping, reading):
    """SQL for the rate of a row to the reporting currency, and for whether the row needs one that is not known.

    What follows an order and has no time of its own takes the rate of its order later.
    """
    currency = identifier("typed_currency") if "currency" in mapping.columns else _bare_currency(contract, reading)
    moment = identifier(f"typed_{contract.event_time}") if contract.event_time in mapping.columns else "null::timestamp"
    return _rate(currency, moment, reading)


def folded_rate(contract, mapping, reading):
    """SQL over the lines of a folded record: its currency, its rate, and whether it needs one that is not known."""

    def first(name):
        return f"arg_min({identifier(name)}, good_record)"

    currency, bare = first("currency"), _bare_currency(contract, reading)
    if "currency" not in mapping.columns:
        currency = bare
    elif not _follows_its_order(contract, reading):
        currency = f"coalesce({currency}, {bare})"
    moment = first(contract.event_time) if contract.event_time in mapping.columns else "null::timestamp"
    return currency, *_rate(currency, moment, reading)


def _rate(currency, moment, reading):
    if currency == literal(reading.reporting_currency):
        return "1::decimal(18, 8)", "false"
    rate = exchange_rate_sql(currency, moment, reading.reporting_currency)
    return rate, f"{currency} is not null and {moment} is not null and {rate} is null"


def problem_list(found):
    """SQL text listing `column|rule` of every broken rule, '' when none is."""
    if not found:
        return "''"
    cases = ", ".join(f"case when {condition} then {literal(label)} end" for label, condition in found)
    # the text is made only for the few rows that need one
    return f"case when {' or '.join(condition for _, condition in found)} then concat_ws(';', {cases}) else '' end"


def rules_of_record(contract, column, field):
    """Rule name -> SQL over the lines of a folded record: what a single line need not keep to.

    A value may stand on one line of several, and a sum may be in range where a part of it is not.
    """
    quoted, found = identifier(column.name), {}
    if column.required and column.name not in contract.key:
        found["missing"] = f"max(reject) = '' and count({quoted}) = 0"
    if field.fold == "sum" and column.on_error == "reject":
        found |= range_problems(column, f"sum({quoted})")
    return found
