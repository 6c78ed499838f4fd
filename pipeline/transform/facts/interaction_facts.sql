-- One row per customer with a contact before as_of. Key: (customer_id, as_of).
-- A response is a message of ours that was opened, clicked, answered or redeemed.
with interactions as (

    select
        interactions.customer_id,
        cut_offs.as_of,
        interactions.channel,
        interactions.direction,
        interactions.campaign_id,
        interactions.occurred_at,
        interactions.occurred_at >= cut_offs.as_of_utc - interval 90 day as is_recent,
        interactions.kind in ('opened', 'clicked', 'replied', 'redeemed', 'coupon_redeemed') as is_response

    from interactions_then as interactions

    inner join cut_offs
        on interactions.occurred_at < cut_offs.as_of_utc

    semi join cohort
        on interactions.customer_id = cohort.customer_id

),

interactions_summed_to_customer as (

    select
        customer_id,
        as_of,
        count(*) as interaction_count,
        count(*) filter (where is_recent) as interaction_count_90d,
        count(*) filter (where is_recent and direction = 'inbound') as inbound_count_90d,
        count(*) filter (where is_recent and direction = 'outbound') as outbound_count_90d,
        count(*) filter (where is_recent and is_response) as response_count_90d,
        max(occurred_at) as last_interaction_at,
        count(distinct campaign_id) as campaign_count

    from interactions

    group by customer_id, as_of

),

channels_ranked as (

    select
        customer_id,
        as_of,
        arg_max(channel, row(channel_count, channel)) as top_interaction_channel

    from (
        select
            customer_id,
            as_of,
            channel,
            count(*) as channel_count

        from interactions

        where channel is not null

        group by customer_id, as_of, channel
    ) as channels

    group by customer_id, as_of

)

select
    interactions.*,
    least(interactions.response_count_90d / nullif(interactions.outbound_count_90d, 0), 1) as response_share_90d,
    channels.top_interaction_channel

from interactions_summed_to_customer as interactions

left join channels_ranked as channels
    on interactions.customer_id = channels.customer_id
    and interactions.as_of = channels.as_of
