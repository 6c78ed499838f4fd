"""Several lines as one record, and keys that stand more than once: versions, duplicates, conflicts."""

from pipeline.ingest.checked_rows import folded_rate, problem_list, rules_of_record
from pipeline.warehouse import identifier


def folded_sql(contract, mapping, reading):
    """scratch.folded: one row a key, from the lines of scratch.checked; values that differ reject the record."""
    key = [identifier(name) for name in contract.key]
    columns, differing = [], []
    currency = None
    if "currency" in contract.columns:
        # a line states the currency, another the day: the rate is that of the whole record
        currency, rate, lacking = folded_rate(contract, mapping, reading)
        columns.append(f"{rate} as exchange_rate")
        differing.append(("currency|no_exchange_rate", f"max(reject) = '' and {lacking}"))
    for name, column in contract.columns.items():
        if name in contract.key:
            continue
        quoted, field = identifier(name), mapping.columns.get(name)
        if field and field.fold == "sum":
            columns.append(f"sum({quoted})::{column.sql_type} as {quoted}")
        else:
            first = currency if name == "currency" else f"arg_min({quoted}, good_record)"
            columns.append(f"{first} as {quoted}")
            if field and (column.required or name in ("source_customer_id", "currency")):
                differing.append((f"{name}|differs_between_lines", f"min({quoted}) <> max({quoted})"))
        if field:
            differing += [(f"{name}|{rule}", sql) for rule, sql in rules_of_record(contract, column, field).items()]
    return f"""
        create or replace table scratch.folded as
        select
            {", ".join(key)},
            {", ".join(columns)},
            min(good_record) as good_record,
            count(*) as line_count,
            arg_min(custom, good_record) as custom,
            '' as emptied,
            concat_ws(';', nullif(max(reject), ''), nullif({problem_list(differing)}, '')) as reject
        from scratch.checked
        group by {", ".join(key)}
    """


def settle_repeated_keys(con, contract, fold):
    """scratch.left_out (good_record, rule): rejected records, duplicates of another, and keys in conflict.

    A key that stands again with the same content is a duplicate; with other content it is a version when the record
    tells its own modified time, and else a conflict: all its rows are rejected.
    """
    table = "folded" if fold else "checked"
    con.execute(
        f"create or replace table scratch.left_out as"
        f" select good_record, 'rejected' as rule from scratch.{table} where reject <> ''"
    )
    if fold:
        return
    key = ", ".join(identifier(name) for name in contract.key)
    version = f"{key}, updated_at" if "updated_at" in contract.columns else key
    content = ", ".join([*map(identifier, contract.columns), "custom"])
    con.execute(
        f"""
        insert into scratch.left_out
        with repeated as (
            select hash({key}) as key_hash from scratch.checked where reject = '' group by key_hash having count(*) > 1
        ),

        candidates as (
            select good_record, {version}, hash({content}) as content_hash
            from scratch.checked
            where reject = '' and hash({key}) in (select key_hash from repeated)
        ),

        judged as (
            select
                good_record,
                min(content_hash) over same_version <> max(content_hash) over same_version as is_in_conflict,
                row_number() over (partition by {version}, content_hash order by good_record) as place
            from candidates
            window same_version as (partition by {version})
        )

        select good_record, case when is_in_conflict then 'conflict' else 'duplicate' end as rule
        from judged
        where is_in_conflict or place > 1
        """
    )
