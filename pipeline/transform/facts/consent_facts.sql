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

    from core.consents as consents

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

refused_for_any_channel as (

    select
        customer_id,
        as_of,
        purpose,
        max(refused_at) as refused_at

    from said_by_channel

    where channel = 'any'

    group by customer_id, as_of, purpose

),

final as (

    select
        said.customer_id,
        said.as_of,
        coalesce(bool_or(
            said.granted_at > coalesce(said.refused_at, timestamp '0001-01-01')
            and said.granted_at > coalesce(refused.refused_at, timestamp '0001-01-01')
        ) filter (where said.purpose = 'marketing'), false) as is_marketing_allowed,
        not coalesce(bool_or(
            said.refused_at >= coalesce(said.granted_at, timestamp '0001-01-01')
        ) filter (where said.purpose = 'profiling'), false) as is_profiling_allowed

    from said_by_channel as said

    left join refused_for_any_channel as refused
        on said.customer_id = refused.customer_id
        and said.as_of = refused.as_of
        and said.purpose = refused.purpose

    group by said.customer_id, said.as_of

)

select * from final
