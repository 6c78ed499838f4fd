"""Which source records are one company, and which customers are whose contacts.

Records are linked by the rules in identity.yaml (company_rules) and keep their ids from night to night (company_ids).
"""

from pipeline.transform.company_ids import keep_company_ids, log_company_changes, number_companies
from pipeline.transform.components import connect_components
from pipeline.warehouse import literal, value

# when a record of the entity first shows its company
EVIDENCE = {
    "companies": "coalesce(created_at, updated_at)",
    "customers": "coalesce(registered_at, updated_at)",
    "orders": "ordered_at",
    "subscriptions": "started_at",
    "tickets": "opened_at",
    "opportunities": "coalesce(created_at, updated_at, observed_at)",
    "interactions": "occurred_at",
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


def resolve_companies(con, rules: dict, is_newest: bool = True) -> dict[str, int]:
    """Which records are one company, by the rules' links; ids and numbers as the vault holds them: see company_ids.

    Makes work.company_map (source, source_company_id, company_id, first_evidence_at, linked_by),
    work.company_domains (domain, company_id: domains that are one company's own), work.company_claims (who is said to be
    whose contact, for core.company_contacts) and the macro host_of. Needs the staged views, customer_references and
    customer_map. What became known at as_of or later links nothing. is_newest: no later night is published; only then do
    splits move numbers. Returns counts.
    """
    con.execute(f"create or replace temp macro host_of(text) as nullif({HOST}, '')")
    _name_companies(con)
    number_companies(con)
    _show_identifiers(con, rules["blocked"])
    blocked = _link_records(con, rules["links"])
    con.execute("create or replace table work.company_nodes as select node from company_records")
    connect_components(con, "company_nodes", "company_links", "work.company_labels")
    if is_newest:
        keep_company_ids(con)
    _map_records(con)
    if is_newest:
        log_company_changes(con)
    _claim_contacts(con)
    counts = con.execute("select count(*), count(distinct company_id) from company_map").fetchall()[0]
    return {"company_records": counts[0], "companies": counts[1], "blocked_company_identifiers": blocked}


def _name_companies(con):
    """work.named_companies: every record of a company that any entity names, and when first (null: always)."""
    named = " union all ".join(
        f"select source, source_company_id, min({seen_at}) as seen_at, bool_or(({seen_at}) is null) as is_always"
        f" from landed_{entity} where source_company_id is not null group by all"
        for entity, seen_at in EVIDENCE.items()
    )
    con.execute(
        f"""
        create or replace table work.named_companies as
        select
            source,
            source_company_id,
            case when not bool_or(is_always) then min(seen_at) end as first_evidence_at
        from ({named}) as company_references
        group by source, source_company_id
        """
    )


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

        select company_records.node, versions.* exclude (source, source_company_id)
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
                list(node order by node) as members,
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


def _map_records(con):
    """work.company_map, and work.company_domains: the domains that are one company's own."""
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
            'K' || lpad(min(company_records.number) over (partition by labels.label)::varchar, 9, '0') as company_id,
            company_records.first_evidence_at,
            coalesce(linked.linked_by, 'own id') as linked_by
        from company_records
        inner join company_labels as labels using (node)
        left join linked using (node)
        """
    )
    con.execute(
        """
        create or replace table work.company_domains as
        select shown.domain, min(company_map.company_id) as company_id
        from shown_companies as shown
        inner join company_records using (node)
        inner join company_map using (source, source_company_id)
        where shown.domain is not null
        group by shown.domain
        having count(distinct company_map.company_id) = 1
        """
    )


def _claim_contacts(con):
    """work.company_claims: customer_id, company_id, linked_by, claim_rank (1 before 2), source, customer_key, and when.

    The address of an e-mail is read here, where personal data may be; only the company goes on. A record that a customer
    file describes claims what that file says, from its registration on where that is told; before that, and where no file
    describes it, it claims by the addresses that it ever showed, from the first time on.
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
        with described_from as (
            select
                source,
                customer_key,
                case when not bool_or(seen_at is null) then min(seen_at) else '-infinity'::timestamp end as described_at
            from described
            group by source, customer_key
        ),

        addresses as (
            select
                source,
                customer_key,
                split_part(email, '@', 2) as domain,
                coalesce(valid_from, registered_at) as valid_from,
                valid_to
            from stg_customers_versions
            where email is not null
            union all
            select
                shown.source,
                shown.customer_key,
                split_part(shown.email, '@', 2) as domain,
                shown.seen_at as valid_from,
                described_from.described_at as valid_to
            from customer_references as shown
            left join described_from using (source, customer_key)
            where
                shown.email is not null
                and coalesce(coalesce(shown.seen_at, '-infinity') < described_from.described_at, true)
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
