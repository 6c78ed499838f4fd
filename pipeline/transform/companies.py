"""Which source records are one company, and which customers are whose contacts.

Records are linked by the rules in identity.yaml (key companies). Ids are kept from night to night in the vault as those of
customers are: a record's number is given once, a merge keeps the older id, after a split the larger part keeps it.
"""

from pathlib import Path

from pipeline.ingest.contracts import ContractError
from pipeline.transform.components import connect_components
from pipeline.transform.identity_rules import load_rules
from pipeline.warehouse import has_table, literal, value

STATE = ("company_map", "company_records", "last_company_number")

# when a record of the entity first shows its company
EVIDENCE = {
    "companies": "coalesce(created_at, updated_at)",
    "customers": "coalesce(registered_at, updated_at)",
    "orders": "ordered_at",
    "subscriptions": "started_at",
    "tickets": "opened_at",
    "opportunities": "created_at",
}

# a web address as people write it (scheme, www, port, path, or an e-mail address there) as its host alone
HOST = r"""
    regexp_extract(
        lower(text), '^\s*(?:[a-z]+://)?(?:[^/?#\s]*@)?(?:www\.)?((?:[^\s./:?#@]+\.)+[^\s./:?#@]+)\.?(?:[:/?#].*)?\s*$', 1
    )
"""
# the columns that rules may name, as they are compared
COMPARED = {
    "registration_id": "regexp_replace(upper(registration_id), '[^0-9A-Z]', '', 'g')",
    "domain": "host_of(domain)",
    "name": r"regexp_replace(lower(nfc_normalize(name)), '[^\p{L}\p{N}]', '', 'g')",
    "country": "lower(trim(country))",
    "province": "lower(trim(province))",
    "city": "lower(trim(city))",
}


def load_company_rules(user_folder: Path) -> dict:
    """The key companies of identity.yaml, or of the user's rules.yaml in its place. Raises IdentityError or ContractError."""
    rules = load_rules(user_folder)["companies"]
    check_company_rules(rules, "rules.yaml")
    return rules


def check_company_rules(rules, where: str) -> None:
    """Raises ContractError, naming the place and the mend, unless the rules are as identity.yaml shows them."""
    if not isinstance(rules, dict) or set(rules) != {"links", "blocked"}:
        raise ContractError(f"{where}: companies: write links and blocked, as identity.yaml does")
    if not isinstance(rules["links"], list) or not isinstance(rules["blocked"], dict):
        raise ContractError(f"{where}: companies: links is a list of rules, blocked a list of values for each column")
    for place, rule in enumerate(rules["links"], start=1):
        named = f"{where}: companies: links: rule {place}"
        if not isinstance(rule, dict) or not {"columns", "max_records"} <= set(rule) <= {
            "columns",
            "max_records",
            "unless_differs",
        }:
            raise ContractError(f"{named}: write columns and max_records, and unless_differs where it is wanted")
        if not isinstance(rule["max_records"], int) or rule["max_records"] < 2:
            raise ContractError(f"{named}: max_records: {rule['max_records']!r}; write a whole number, 2 or more")
        for field in ("columns", "unless_differs"):
            columns = rule.get(field, ["name"])
            if not isinstance(columns, list) or not columns or not set(columns) <= set(COMPARED):
                raise ContractError(f"{named}: {field}: {columns!r}; write a list of {', '.join(COMPARED)}")
    for column, values in rules["blocked"].items():
        if column not in COMPARED or not isinstance(values, list):
            raise ContractError(
                f"{where}: companies: blocked: {column}: write a list under one of {', '.join(COMPARED)}"
            )


def carry_companies(con, previous: str) -> None:
    """Take over the companies' ids of the vault attached as `previous`; a vault without any has none."""
    for table in STATE:
        if has_table(con, previous, "main", table):
            con.execute(f"create table vault.{table} as select * from {previous}.{table}")


def resolve_companies(con, rules: dict) -> dict[str, int]:
    """Fill vault.company_map and company_records, carrying the ids and numbers that they hold already.

    Makes of this night: work.company_map (source, source_company_id, company_id, first_evidence_at, linked_by),
    work.company_domains (domain, company_id: domains that are one company's own), work.company_claims (who is said to be
    whose contact, for core.company_contacts) and the macro host_of. Needs the staged views, customer_references and
    customer_map. What became known at as_of or later links nothing. Returns counts.
    """
    con.execute(f"create or replace temp macro host_of(text) as nullif({HOST}, '')")
    _number_records(con)
    _show_identifiers(con, rules["blocked"])
    blocked = _link_records(con, rules["links"])
    con.execute("create or replace table work.company_nodes as select number as node from company_records")
    connect_components(con, "company_nodes", "company_links", "work.company_labels")
    _assign_ids(con)
    _claim_contacts(con)
    counts = con.execute("select count(*), count(distinct company_id) from company_map").fetchall()[0]
    return {"company_records": counts[0], "companies": counts[1], "blocked_company_identifiers": blocked}


def _number_records(con):
    """work.company_records of tonight (source, source_company_id, number, first_evidence_at); new ones get a number."""
    con.execute(
        "create table if not exists vault.company_map (source varchar, source_company_id varchar, company_id varchar)"
    )
    con.execute(
        "create table if not exists vault.company_records"
        " (source varchar, source_company_id varchar, number bigint, first_evidence_at timestamp)"
    )
    # a number that a merge or a split used up is never given again
    con.execute("create table if not exists vault.last_company_number as select 0::bigint as number")
    named = " union all ".join(
        f"select source, source_company_id, min({seen_at}) as seen_at from landed_{entity}"
        " where source_company_id is not null group by all"
        for entity, seen_at in EVIDENCE.items()
    )
    con.execute(
        f"""
        create or replace table work.company_records as
        with named as (
            select source, source_company_id, min(seen_at) as first_evidence_at
            from ({named}) as company_references
            group by source, source_company_id
        ),

        added as (
            select
                source,
                source_company_id,
                row_number() over (order by first_evidence_at nulls last, source, source_company_id)
                + (select number from vault.last_company_number) as number
            from named
            anti join vault.company_records as known using (source, source_company_id)
        )

        select
            named.source,
            named.source_company_id,
            coalesce(known.number, added.number) as number,
            named.first_evidence_at
        from named
        left join vault.company_records as known using (source, source_company_id)
        left join added using (source, source_company_id)
        """
    )
    con.execute(
        """
        create or replace table vault.company_records as
        select source, source_company_id, number, first_evidence_at from company_records
        union all
        select known.source, known.source_company_id, known.number, known.first_evidence_at
        from vault.company_records as known
        anti join company_records as tonight using (source, source_company_id)
        order by number
        """
    )
    _raise_last_number(con, "select max(number) from company_records")


def _raise_last_number(con, highest):
    con.execute(f"update vault.last_company_number set number = greatest(number, ({highest}))")


def _show_identifiers(con, blocked):
    """work.shown_companies: what each record said of its company before as_of, last, as it is compared.

    Only the last word links: a number mended in its source undoes what the wrong one had joined.
    """
    columns = []
    for name, sql in COMPARED.items():
        given = ", ".join(literal(entry) for entry in blocked.get(name, []))
        kept = f"case when {sql} not in ({given}) then {sql} end" if given else sql
        columns.append(f"nullif({kept}, '') as {name}")
    con.execute(
        f"""
        create or replace table work.shown_companies as
        with versions as (
            select source, source_company_id, {", ".join(columns)}
            from stg_companies_versions
            cross join night
            where
                (valid_from is null or valid_from < night.as_of_utc)
                and (valid_to is null or valid_to >= night.as_of_utc)
                and (created_at is null or created_at < night.as_of_utc)
        )

        select company_records.number, versions.* exclude (source, source_company_id)
        from versions
        inner join company_records using (source, source_company_id)
        """
    )


def _link_records(con, links):
    """work.company_links (node, other_node, linked_by). Returns how many values were blocked for their count."""
    con.execute("create or replace table work.company_links (node bigint, other_node bigint, linked_by varchar)")
    blocked = 0
    for rule in links:
        columns = ", ".join(rule["columns"])
        filled = " and ".join(f"{column} is not null" for column in rule["columns"])
        differs = [f"count(distinct {column}) > 1" for column in rule.get("unless_differs", [])]
        con.execute(
            f"""
            create or replace table work.company_groups as
            select
                list(number order by number) as members,
                {" or ".join([f"count(*) > {rule['max_records']}", *differs])} as is_blocked
            from shown_companies
            where {filled}
            group by {columns}
            having count(*) > 1
            """
        )
        blocked += value(con, "select count(*) from company_groups where is_blocked")
        con.execute(
            f"""
            insert into work.company_links
            select members[1], unnest(members[2:]), {literal("+".join(rule["columns"]))}
            from company_groups
            where not is_blocked
            """
        )
    return blocked


def _assign_ids(con):
    """A component keeps the oldest id of which it holds the larger part, else it is called by its smallest number."""
    con.execute(
        """
        create or replace table work.company_components as
        with claims as (
            select carried.company_id, labels.label, count(*) as record_count
            from vault.company_map as carried
            inner join company_records using (source, source_company_id)
            inner join company_labels as labels on company_records.number = labels.node
            group by carried.company_id, labels.label
        ),

        owners as (
            select company_id, label
            from claims
            qualify row_number() over (partition by company_id order by record_count desc, label) = 1
        ),

        kept as (
            select label, min(company_id) as company_id from owners group by label
        ),

        without as (
            select distinct label, 'K' || lpad(label::varchar, 9, '0') as company_id
            from company_labels
            where label not in (select label from kept)
        ),

        -- the smaller part of a split, whose own number the larger part goes by
        taken as (
            select label, row_number() over (order by label) as place
            from without
            where company_id in (select company_id from vault.company_map)
        )

        select label, company_id from kept
        union all
        select label, company_id from without where label not in (select label from taken)
        union all
        select label, 'K' || lpad((place + (select number from vault.last_company_number))::varchar, 9, '0')
        from taken
        """
    )
    _raise_last_number(con, "select max(substr(company_id, 2)::bigint) from company_components")
    con.execute(
        """
        create or replace table work.company_map as
        with linked as (
            select node, string_agg(distinct linked_by, ', ' order by linked_by) as linked_by
            from (
                select node, linked_by from company_links
                union all
                select other_node, linked_by from company_links
            ) as ends
            group by node
        )

        select
            company_records.source,
            company_records.source_company_id,
            components.company_id,
            company_records.first_evidence_at,
            coalesce(linked.linked_by, 'own id') as linked_by
        from company_records
        inner join company_labels as labels on company_records.number = labels.node
        inner join company_components as components using (label)
        left join linked on company_records.number = linked.node
        """
    )
    con.execute(
        """
        create or replace table vault.company_map as
        select source, source_company_id, company_id from company_map
        union all
        select carried.source, carried.source_company_id, carried.company_id
        from vault.company_map as carried
        anti join company_map as tonight using (source, source_company_id)
        order by company_id, source, source_company_id
        """
    )
    con.execute(
        """
        create or replace table work.company_domains as
        select shown.domain, min(company_map.company_id) as company_id
        from shown_companies as shown
        inner join company_records using (number)
        inner join company_map using (source, source_company_id)
        where shown.domain is not null
        group by shown.domain
        having count(distinct company_map.company_id) = 1
        """
    )


def _claim_contacts(con):
    """work.company_claims: customer_id, company_id, linked_by, claim_rank (1 before 2), source, customer_key, and when.

    The address of an e-mail is read here, where personal data may be; only the company goes on. A record that a customer
    file describes claims what that file says, from its registration on where that is told; any other record claims by the
    addresses that it ever showed, from the first time on.
    """
    con.execute(
        """
        create or replace table work.company_claims as
        select
            customer_map.customer_id,
            company_map.company_id,
            'stated' as linked_by,
            1 as claim_rank,
            versions.source,
            versions.customer_key,
            coalesce(versions.valid_from, versions.registered_at) as valid_from,
            versions.valid_to
        from stg_customers_versions as versions
        inner join customer_map using (source, customer_key)
        inner join company_map using (source, source_company_id)
        """
    )
    if value(con, "select count(*) from company_domains") == 0:
        return
    con.execute(
        """
        insert into work.company_claims
        with addresses as (
            select
                source,
                customer_key,
                split_part(email, '@', 2) as domain,
                coalesce(valid_from, registered_at) as valid_from,
                valid_to
            from stg_customers_versions
            where email is not null
            union all
            select source, customer_key, split_part(email, '@', 2) as domain, seen_at as valid_from, null as valid_to
            from customer_references
            anti join stg_customers using (source, customer_key)
            where email is not null
        )

        select
            customer_map.customer_id,
            company_domains.company_id,
            'e-mail domain' as linked_by,
            2 as claim_rank,
            addresses.source,
            addresses.customer_key,
            addresses.valid_from,
            addresses.valid_to
        from addresses
        inner join company_domains using (domain)
        inner join customer_map using (source, customer_key)
        """
    )
