-- One row per contact between customer and company. Key: (source, interaction_id).
-- company_id: the company that it states itself. A contact of ours without a time of its own has the first day of its
-- campaign; what a customer did (a coupon redeemed, a message opened) dates from when it was first known. Of a campaign
-- that nobody describes neither has a time: an opt-out without one always holds.
with first_known as (

    select
        source,
        interaction_id,
        min(observed_at) as first_known_at

    from landed_interactions

    where occurred_at is null

    group by source, interaction_id

)

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
    case
        when interactions.occurred_at is not null then interactions.occurred_at
        when campaigns.start_on is null then null
        when
            interactions.direction = 'outbound'
            and coalesce(lower(interactions.kind), 'sent')
            not in ('opened', 'clicked', 'replied', 'redeemed', 'coupon_redeemed')
            or interactions.direction is null
            and coalesce(lower(interactions.kind), 'sent')
            in ('sent', 'delivered', 'email', 'sms', 'call', 'post')
            then timezone('UTC', timezone(night.business_timezone, campaigns.start_on::timestamp))
        else first_known.first_known_at
    end as occurred_at,
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

left join first_known
    on interactions.source = first_known.source
    and interactions.interaction_id = first_known.interaction_id

left join core.campaigns as campaigns
    on interactions.source = campaigns.source
    and interactions.campaign_id = campaigns.campaign_id
