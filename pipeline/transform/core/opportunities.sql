-- One row per version of a sales opportunity. Key: (source, opportunity_id, valid_to).
-- amount is in the reporting currency, at the rate of the day it was created.
-- created_at: of one that does not tell, from when it was first known.
-- company_id: the company that it states, else its person's company when it was created.
with opportunities as (

    select
        * replace (
            coalesce(created_at, min(known_at) over (partition by source, opportunity_id)) as created_at
        )

    from stg_opportunities_versions

)

select
    opportunities.source,
    opportunities.opportunity_id,
    customer_map.customer_id,
    coalesce(company_map.company_id, contacts.company_id) as company_id,
    opportunities.stage,
    opportunities.status,
    in_reporting_currency(opportunities.amount, opportunities.exchange_rate) as amount,
    opportunities.amount as amount_exported,
    opportunities.currency,
    opportunities.exchange_rate,
    opportunities.probability,
    opportunities.created_at,
    opportunities.expected_close_at,
    opportunities.closed_at,
    opportunities.owner,
    opportunities.lead_source,
    opportunities.known_at,
    opportunities.custom,
    opportunities.valid_from,
    opportunities.valid_to,
    opportunities.file_id

from opportunities

left join customer_map
    on opportunities.source = customer_map.source
    and opportunities.customer_key = customer_map.customer_key

left join company_map
    on opportunities.source = company_map.source
    and opportunities.source_company_id = company_map.source_company_id

left join core.company_contacts as contacts
    on customer_map.customer_id = contacts.customer_id
    and (contacts.valid_from is null or opportunities.created_at >= contacts.valid_from)
    and (contacts.valid_to is null or opportunities.created_at < contacts.valid_to)
