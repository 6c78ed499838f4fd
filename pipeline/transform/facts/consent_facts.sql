-- One row per customer with a consent known before as_of. Key: (customer_id, as_of).
-- The latest holds, and among equals the refusal. A refusal of any channel ends what was granted before it; a refusal
-- without a date always holds. Silence is no for marketing and yes for profiling (customer_facts).
with consents as (

    select
        consents.customer_id,
        cut_offs.as_of,
        consents.purpose,
        consents.channel,
        consents.status,
        case
            when consents.captured_at is null and consents.status = 'refused' then cut_offs.as_of_utc
            else coalesce(consents.captured_at, consents.observed_at)
        end as said_at

    from consents_then as consents

    inner join cut_offs
        on coalesce(
            consents.captured_at,
            case when consents.status = 'granted' then consents.observed_at end,
            cut_offs.as_of_utc - interval 1 microsecond
        ) < cut_offs.as_of_utc

    semi join cohort
        on consents.customer_id = cohort.customer_id

),

said_by_channel as (

    select
        customer_id,
        as_of,
        purpose,
        channel,
        max(said_at) filter (where status = 'granted') as granted_at,
        max(said_at) filter (where status = 'refused') as refused_at

    from consents

    group by customer_id, as_of, purpose, channel

),

-- what was said of a channel, or of any, and came last holds for it
marketing_by_customer as (

    select
        customer_id,
        as_of,
        max(granted_at) filter (where channel in ('email', 'any'))
        > coalesce(max(refused_at) filter (where channel in ('email', 'any')), timestamp '0001-01-01')
            as is_email_granted,
        max(granted_at) filter (where channel in ('sms', 'any'))
        > coalesce(max(refused_at) filter (where channel in ('sms', 'any')), timestamp '0001-01-01')
            as is_sms_granted,
        max(granted_at) filter (where channel in ('call', 'any'))
        > coalesce(max(refused_at) filter (where channel in ('call', 'any')), timestamp '0001-01-01')
            as is_call_granted,
        max(granted_at) filter (where channel in ('post', 'any'))
        > coalesce(max(refused_at) filter (where channel in ('post', 'any')), timestamp '0001-01-01')
            as is_post_granted,
        max(granted_at) filter (where channel in ('social', 'any'))
        > coalesce(max(refused_at) filter (where channel in ('social', 'any')), timestamp '0001-01-01')
            as is_social_granted

    from said_by_channel

    where purpose = 'marketing'

    group by customer_id, as_of

),

profiling_by_customer as (

    select
        customer_id,
        as_of,
        max(refused_at) >= coalesce(max(granted_at), timestamp '0001-01-01') as is_profiling_refused

    from said_by_channel

    where purpose = 'profiling'

    group by customer_id, as_of

),

final as (

    select
        coalesce(marketing.customer_id, profiling.customer_id) as customer_id,
        coalesce(marketing.as_of, profiling.as_of) as as_of,
        coalesce(marketing.is_email_granted, false) as is_email_marketing_allowed,
        coalesce(marketing.is_sms_granted, false) as is_sms_marketing_allowed,
        coalesce(marketing.is_call_granted, false) as is_call_marketing_allowed,
        coalesce(marketing.is_post_granted, false) as is_post_marketing_allowed,
        coalesce(marketing.is_social_granted, false) as is_social_marketing_allowed,
        not coalesce(profiling.is_profiling_refused, false) as is_profiling_allowed

    from marketing_by_customer as marketing

    full join profiling_by_customer as profiling
        on marketing.customer_id = profiling.customer_id
        and marketing.as_of = profiling.as_of

)

select * from final
