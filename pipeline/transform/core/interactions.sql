-- One row per contact between customer and company. Key: (source, interaction_id).
-- company_id: the company that it states itself. A contact without a time of its own has the first day of its campaign.
select
    interactions.source,
    interactions.interaction_id,
    interactions.customer_key as source_customer_id,
    customer_map.customer_id,
    company_map.company_id,
    interactions.channel,
    interactions.direction,
    interactions.kind,
    interactions.campaign_id,
    coalesce(
        interactions.occurred_at,
        timezone('UTC', timezone(night.business_timezone, campaigns.start_on::timestamp))
    ) as occurred_at,
    interactions.duration_s,
    interactions.outcome,
    interactions.custom,
    interactions.file_id

from stg_interactions as interactions

cross join night

left join customer_map
    on interactions.source = customer_map.source
    and interactions.customer_key = customer_map.customer_key

left join company_map
    on interactions.source = company_map.source
    and interactions.source_company_id = company_map.source_company_id

left join core.campaigns as campaigns
    on interactions.source = campaigns.source
    and interactions.campaign_id = campaigns.campaign_id
