"""What each source record shows of its customer, and which identifiers are nobody's."""

from datetime import datetime

from pipeline.warehouse import identifier, literal, value

# when a record of the entity shows its customer; a customer's own record: see _collect_descriptions
EVIDENCE = {
    "consents": "captured_at",
    "orders": "ordered_at",
    "subscriptions": "started_at",
    "tickets": "opened_at",
    "interactions": "occurred_at",
    "feedback": "created_at",
    "opportunities": "coalesce(created_at, updated_at, observed_at)",
}
# what any record can show, beside a customer's own
SHOWN_ANYWHERE = ("email", "phone")


def collect_references(con, contracts: dict, rules: dict, max_records: int, as_of_utc: datetime) -> int:
    """What every record shows of its customer, and which identifiers are nobody's. To be called before staging.

    Makes work.described (customers' own records, a row a version), work.customer_references (source, customer_key, email,
    phone, seen_at; seen_at null: always), work.blocked_identifiers (kind, identifier, why), and the macro customer_key_of
    by which the staged views keep a blocked identifier from naming a customer. con knows the macro keyed.
    Returns the number of blocked identifiers.
    """
    _collect_descriptions(con, rules)
    _collect_references(con, contracts)
    _block_identifiers(con, rules, max_records, as_of_utc)
    blocked = value(con, "select count(*) from blocked_identifiers")
    if blocked:
        # an order that shows only a blocked identifier names nobody; its second identifier may
        con.execute(
            """
            create or replace temp macro customer_key_of(customer_key, email, phone) as
            case
                when starts_with(customer_key, 'e:')
                    and email in (select identifier from work.blocked_identifiers where kind = 'email')
                    then case
                        when phone not in (select identifier from work.blocked_identifiers where kind = 'phone')
                            then 'p:' || keyed(phone)
                    end
                when starts_with(customer_key, 'p:')
                    and phone in (select identifier from work.blocked_identifiers where kind = 'phone')
                    then null
                else customer_key
            end
            """
        )
        con.execute(
            """
            create or replace table work.customer_references as
            select source, customer_key_of(customer_key, email, phone) as customer_key, email, phone, seen_at
            from customer_references
            where customer_key_of(customer_key, email, phone) is not null
            """
        )
    return blocked


def _collect_descriptions(con, rules):
    """A record's first version counts from its registration, a later one from when it became known."""
    used = {column for rule in rules["identifiers"] for column in (*rule.columns, rule.unless_differs) if column}
    columns = ", ".join(identifier(name) for name in sorted(used | set(SHOWN_ANYWHERE)))
    con.execute(
        f"""
        create or replace table work.described as
        select
            source,
            customer_key,
            {columns},
            coalesce(updated_at, observed_at) as known_at,
            case
                when row_number() over versions = 1 then coalesce(registered_at, updated_at)
                else coalesce(updated_at, observed_at)
            end as seen_at
        from landed_customers
        window versions as (
            partition by source, customer_key order by coalesce(updated_at, observed_at), observed_at, file_record
        )
        """
    )


def _collect_references(con, contracts):
    parts = ["select source, customer_key, email, phone, min(seen_at) as seen_at from described group by all"]
    for entity, seen_at in EVIDENCE.items():
        columns = contracts[entity].columns
        shown = ", ".join(name if name in columns else f"null::varchar as {name}" for name in SHOWN_ANYWHERE)
        parts.append(
            f"select source, customer_key, {shown}, min({seen_at}) as seen_at"
            f" from landed_{entity} where customer_key is not null group by all"
        )
    con.execute(f"create or replace table work.customer_references as {' union all '.join(parts)}")


def _block_identifiers(con, rules, max_records, as_of_utc):
    """Placeholders and role addresses by pattern, and what more records share than one person has."""
    known = f"(seen_at is null or seen_at < {literal(as_of_utc)}::timestamp)"
    parts = []
    for kind in SHOWN_ANYWHERE:
        parts += [
            f"select '{kind}' as kind, {kind} as identifier, 'listed' as why from customer_references"
            f" where regexp_full_match({kind}, {literal('|'.join(patterns))}) group by {kind}"
            for patterns in [rules["blocked"].get(kind)]
            if patterns
        ]
        parts.append(
            f"select '{kind}' as kind, {kind} as identifier, 'shared' as why from customer_references"
            f" where {kind} is not null and {known} group by {kind}"
            f" having count(distinct (source, customer_key)) > {int(max_records)}"
        )
    # one guest's address with many telephones is an office's, not a person's
    parts.append(
        "select 'email' as kind, email as identifier, 'shared' as why from customer_references"
        f" where starts_with(customer_key, 'e:') and {known} group by email"
        f" having count(distinct phone) > {int(max_records)}"
    )
    con.execute(
        "create or replace table work.blocked_identifiers as"
        f" select kind, identifier, min(why) as why from ({' union all '.join(parts)}) group by kind, identifier"
    )
