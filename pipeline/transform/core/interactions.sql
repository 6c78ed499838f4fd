-- One row per contact between customer and company. Key: (source, interaction_id).
-- A contact without a time of its own has the first day of its campaign.
select
    interactions.source,
    interactions.interaction_id,
    interactions.customer_key as source_customer_id,
    customer_map.customer_id,
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
    interactions.file_id

from stg_interactions as interactions

cross join night

left join customer_map
    on interactions.source = customer_map.source
    and interactions.customer_key = customer_map.customer_key

left join core.campaigns as campaigns
    on interactions.source = campaigns.source
    and interactions.campaign_id = campaigns.campaign_id
