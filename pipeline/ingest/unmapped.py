"""Words that no value map knows, with their counts; none that may be personal."""

from pipeline.warehouse import frame, identifier, literal

# of a word that no value map knows: what is not shown, as it may be no word of a list but somebody's
LONGEST_WORD, MOST_DIGITS, MOST_WORDS = 40, 5, 10


def word_sql(column, field, cell, typed):
    """SQL for a word that no value map knows, null for any other; '' for one that may be personal. None: not looked at."""
    meanings = sorted(set(field.values.values()) - {""})
    # a map that only empties words, such as -None-, leaves all others as they are meant to be
    if column.personal or not (column.values or meanings):
        return None
    if column.type == "category" and not column.values:
        unknown = f"{cell} not in ({', '.join(map(literal, meanings))})"
    else:
        unknown = f"{cell} is not null and {typed} is null"
    digits = f"length(regexp_replace({cell}, '[^0-9]', '', 'g'))"
    is_sayable = f"length({cell}) <= {LONGEST_WORD} and not contains({cell}, '@') and {digits} < {MOST_DIGITS}"
    return f"case when {unknown} then case when {is_sayable} then {cell} else '' end end"


def unmapped_words(con, contract, mapping, available):
    """The words of scratch.checked that no value map knows, by column: the ten most frequent, and the count of the rest as ''."""
    found = []
    for name, field in mapping.columns.items():
        if field.missing_from(available) or word_sql(contract.columns[name], field, "", "") is None:
            continue
        word = identifier(f"word_{name}")
        rows = frame(
            con,
            f"""
            with counted as (
                select {word} as word, count(*) as row_count
                from scratch.checked
                where {word} is not null and reject not like '%|suppressed%'
                group by word
            ),

            ranked as (
                select
                    row_count,
                    case when row_number() over (order by word = '', row_count desc, word) <= {MOST_WORDS} then word else '' end
                        as word
                from counted
            )

            select {literal(name)} as column_name, word, sum(row_count)::bigint as row_count
            from ranked
            group by word
            order by word = '', row_count desc, word
            """,
        )
        found += rows.to_dicts()
    return tuple(found)
