-- One row per consent given or refused, wherever it was said. Key: (source, origin, consent_id).
-- origin: stated, record_flag or interaction. captured_at orders the words; valid_from: from when one counts. Where
-- they are not told, doubt forbids: on a record the first grant is as early, the first refusal as late as can be; a
-- refusal without valid_from always counts, a grant from observed_at.
with stated as (

    select
        source,
        'stated' as origin,
        consent_id,
        customer_key,
        purpose,
        channel,
        status,
        status as reason,
        captured_at,
        captured_at as valid_from,
        observed_at,
        file_id

    from stg_consents

),

record_versions as (

    select
        source,
        customer_key,
        registered_at,
        known_at,
        valid_from,
        observed_at,
        file_id,
        email_marketing_allowed,
        sms_marketing_allowed,
        call_marketing_allowed,
        post_marketing_allowed,
        social_marketing_allowed,
        marketing_allowed,
        profiling_allowed,
        sharing_allowed,
        -- a version that leaves a flag empty says nothing, and ends nothing
        lag(email_marketing_allowed ignore nulls) over versions as was_email_marketing_allowed,
        lag(sms_marketing_allowed ignore nulls) over versions as was_sms_marketing_allowed,
        lag(call_marketing_allowed ignore nulls) over versions as was_call_marketing_allowed,
        lag(post_marketing_allowed ignore nulls) over versions as was_post_marketing_allowed,
        lag(social_marketing_allowed ignore nulls) over versions as was_social_marketing_allowed,
        lag(marketing_allowed ignore nulls) over versions as was_marketing_allowed,
        lag(profiling_allowed ignore nulls) over versions as was_profiling_allowed,
        lag(sharing_allowed ignore nulls) over versions as was_sharing_allowed,
        row_number() over versions as place

    from stg_customers_versions

    where
        coalesce(
            email_marketing_allowed,
            sms_marketing_allowed,
            call_marketing_allowed,
            post_marketing_allowed,
            social_marketing_allowed,
            marketing_allowed,
            profiling_allowed,
            sharing_allowed
        ) is not null

    window versions as (
        partition by source, customer_key
        order by valid_from nulls first, valid_to nulls last, observed_at, file_id
    )

),

flags as (

    select
        source,
        customer_key,
        registered_at,
        known_at,
        valid_from,
        observed_at,
        file_id,
        place,
        unnest(['marketing', 'marketing', 'marketing', 'marketing', 'marketing', 'marketing', 'profiling', 'sharing'])
            as purpose,
        unnest(['email', 'sms', 'call', 'post', 'social', 'any', 'any', 'any']) as channel,
        unnest([
            email_marketing_allowed,
            sms_marketing_allowed,
            call_marketing_allowed,
            post_marketing_allowed,
            social_marketing_allowed,
            marketing_allowed,
            profiling_allowed,
            sharing_allowed
        ]) as is_allowed,
        unnest([
            was_email_marketing_allowed,
            was_sms_marketing_allowed,
            was_call_marketing_allowed,
            was_post_marketing_allowed,
            was_social_marketing_allowed,
            was_marketing_allowed,
            was_profiling_allowed,
            was_sharing_allowed
        ]) as was_allowed

    from record_versions

),

-- a word is the beginning of a run of equal flags: who edits a record later does not say it again
flag_words as (

    select
        source,
        'record_flag' as origin,
        customer_key || ':' || purpose || ':' || channel || ':' || place as consent_id,
        customer_key,
        purpose,
        channel,
        case when is_allowed then 'granted' else 'refused' end as status,
        status as reason,
        case when is_allowed and was_allowed is null then least(registered_at, known_at) else known_at end
            as captured_at,
        -- the first version of a record extends backwards; a grant does not count before it was known
        case when is_allowed or valid_from is not null then known_at else registered_at end as valid_from,
        observed_at,
        file_id

    from flags

    where is_allowed <> was_allowed or (is_allowed is not null and was_allowed is null)

),

signals as (

    select
        interactions.*,
        signals.effect as reason,
        case
            when signals.channel is not null then signals.channel
            when interactions.channel in ('email', 'sms', 'call', 'post', 'social') then interactions.channel
            else 'any'
        end as refused_channel

    from core.interactions as interactions

    inner join core.contact_signals as signals
        on interactions.kind is not distinct from signals.kind
        and interactions.outcome is not distinct from signals.outcome

    where signals.effect in ('opted_out', 'complained', 'do_not_call')

),

signal_words as (

    select distinct
        source,
        'interaction' as origin,
        interaction_id || ':' || reason || ':' || refused_channel as consent_id,
        source_customer_id as customer_key,
        'marketing' as purpose,
        refused_channel as channel,
        'refused' as status,
        reason,
        occurred_at as captured_at,
        occurred_at as valid_from,
        null as observed_at,
        file_id

    from signals

),

final as (

    select
        words.source,
        words.origin,
        words.consent_id,
        words.customer_key as source_customer_id,
        customer_map.customer_id,
        words.purpose,
        words.channel,
        words.status,
        words.reason,
        words.captured_at,
        words.valid_from,
        words.observed_at,
        words.file_id

    from (
        select * from stated
        union all
        select * from flag_words
        union all
        select * from signal_words
    ) as words

    left join customer_map
        on words.source = customer_map.source
        and words.customer_key = customer_map.customer_key

)

select * from final
