-- One row per sales opportunity, as last known. Key: (source, opportunity_id).
select
    opportunities.source,
    opportunities.opportunity_id,
    customer_map.customer_id,
    opportunities.stage,
    opportunities.status,
    opportunities.amount,
    opportunities.currency,
    opportunities.probability,
    opportunities.created_at,
    opportunities.expected_close_at,
    opportunities.closed_at,
    opportunities.owner,
    opportunities.lead_source,
    opportunities.file_id

from stg_opportunities as opportunities

left join customer_map
    on opportunities.source = customer_map.source
    and opportunities.customer_key = customer_map.customer_key
