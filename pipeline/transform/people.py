"""Customers' own records as matching.py compares them: one row a record, texts made alike."""

from datetime import datetime

from pipeline.warehouse import literal

# of several vendors some write whole names and some their parts: the parts of a whole name are its first and last
# word, or, without a blank, its first character (of four characters two) and the rest, as Chinese names go
PARTS = """
    case
        when surname is not null or given_name is not null then {part}
        when contains(name, ' ') then {of_words}
        when length(name) between 2 and 4 and regexp_full_match(name, '\\p{{Han}}+') then {of_characters}
    end as {part}
"""


def describe_people(con, as_of_utc: datetime) -> None:
    """work.people: node, component, seen_at and what a record said of its person, as last known before as_of_utc.

    Reads landed_customers, work.nodes (node, source, customer_key), work.labels (node, label) and
    work.blocked_identifiers (kind, identifier). seen_at null: always.
    """
    plain = ", ".join(
        rf"nullif(trim(regexp_replace(lower(strip_accents({name})), '[^\p{{L}}\p{{N}}]+', ' ', 'g')), '') as {name}"
        for name in ("name", "surname", "given_name", "address", "city", "district", "province")
    )
    codes = ", ".join(
        rf"nullif(regexp_replace(lower({name}), '[^\p{{L}}\p{{N}}]', '', 'g'), '') as {name}"
        for name in ("postal_code", "national_id", "wechat", "social_account")
    )
    unblocked = ", ".join(
        f"case when {kind} not in (select identifier from work.blocked_identifiers where kind = '{kind}') then {kind} end"
        f" as {kind}"
        for kind in ("email", "phone")
    )
    surname = PARTS.format(
        part="surname",
        of_words="regexp_extract(name, '[^ ]+$')",
        of_characters="name[1:case when length(name) = 4 then 2 else 1 end]",
    )
    given_name = PARTS.format(
        part="given_name",
        of_words="regexp_extract(name, '^[^ ]+')",
        of_characters="name[case when length(name) = 4 then 3 else 2 end:]",
    )
    con.execute(
        f"""
        create or replace table work.people as
        with versions as (
            select
                *,
                coalesce(updated_at, observed_at) as known_at,
                case
                    when row_number() over oldest_first = 1 then coalesce(registered_at, updated_at)
                    else coalesce(updated_at, observed_at)
                end as seen_at
            from landed_customers
            window oldest_first as (
                partition by source, customer_key
                order by coalesce(updated_at, observed_at), observed_at, file_record
            )
        ),

        last_known as (
            select *
            from versions
            where seen_at is null or seen_at < {literal(as_of_utc)}::timestamp
            qualify row_number() over (
                partition by source, customer_key order by known_at desc, observed_at desc, file_record desc
            ) = 1
        ),

        made_alike as (
            select source, customer_key, seen_at, gender, birth_date, {plain}, {codes}, {unblocked}
            from last_known
        )

        select
            nodes.node,
            labels.label as component,
            made_alike.* exclude (source, customer_key, surname, given_name),
            {surname},
            {given_name}
        from made_alike
        inner join nodes using (source, customer_key)
        inner join labels using (node)
        """
    )
