-- One row per customer, purpose and channel: what holds as of the cut-off. Key: (customer_id, as_of, purpose, channel).
-- The latest word holds, and among equals the most restrictive; a word on any channel is one on each. Silence is no for
-- marketing and sharing and yes for service and profiling, unless the settings say otherwise (consent_when_silent).
-- A refusal without a date, or on a record's first version known only later, is the latest word of all.
with words as (

    select
        consents.customer_id,
        cut_offs.as_of,
        consents.purpose,
        consents.channel,
        -- by time, then by how restrictive: the greatest holds
        8 * greatest(
            epoch_us(
                least(
                    coalesce(
                        consents.captured_at,
                        case when consents.status = 'granted' then consents.observed_at end,
                        cut_offs.as_of_utc
                    ),
                    cut_offs.as_of_utc
                )
            ),
            0
        )
        + list_position(['granted', 'refused', 'opted_out', 'complained', 'do_not_call'], consents.reason)
            as word_rank

    from consents_then as consents

    inner join cut_offs
        on coalesce(
            consents.valid_from,
            case when consents.status = 'granted' then consents.observed_at end,
            cut_offs.as_of_utc - interval 1 microsecond
        ) < cut_offs.as_of_utc

    semi join cohort
        on consents.customer_id = cohort.customer_id

),

-- a row a customer: a row a use would take twelve times the memory
words_summed_to_customer as (

    select
        customer_id,
        as_of,
        max(word_rank) filter (where purpose = 'service' and channel in ('email', 'any')) as service_email,
        max(word_rank) filter (where purpose = 'service' and channel in ('sms', 'any')) as service_sms,
        max(word_rank) filter (where purpose = 'service' and channel in ('call', 'any')) as service_call,
        max(word_rank) filter (where purpose = 'service' and channel in ('post', 'any')) as service_post,
        max(word_rank) filter (where purpose = 'service' and channel in ('social', 'any')) as service_social,
        max(word_rank) filter (where purpose = 'marketing' and channel in ('email', 'any')) as marketing_email,
        max(word_rank) filter (where purpose = 'marketing' and channel in ('sms', 'any')) as marketing_sms,
        max(word_rank) filter (where purpose = 'marketing' and channel in ('call', 'any')) as marketing_call,
        max(word_rank) filter (where purpose = 'marketing' and channel in ('post', 'any')) as marketing_post,
        max(word_rank) filter (where purpose = 'marketing' and channel in ('social', 'any')) as marketing_social,
        max(word_rank) filter (where purpose = 'profiling') as profiling,
        max(word_rank) filter (where purpose = 'sharing') as sharing

    from words

    group by customer_id, as_of

),

words_that_hold as (

    select
        cohort.customer_id,
        cut_offs.as_of,
        cut_offs.as_of_utc,
        unnest([
            'service',
            'service',
            'service',
            'service',
            'service',
            'marketing',
            'marketing',
            'marketing',
            'marketing',
            'marketing',
            'profiling',
            'sharing'
        ]) as purpose,
        unnest([
            'email',
            'sms',
            'call',
            'post',
            'social',
            'email',
            'sms',
            'call',
            'post',
            'social',
            'any',
            'any'
        ]) as channel,
        unnest([
            words.service_email,
            words.service_sms,
            words.service_call,
            words.service_post,
            words.service_social,
            words.marketing_email,
            words.marketing_sms,
            words.marketing_call,
            words.marketing_post,
            words.marketing_social,
            words.profiling,
            words.sharing
        ]) as word_rank

    from cohort

    cross join cut_offs

    left join words_summed_to_customer as words
        on cohort.customer_id = words.customer_id
        and cut_offs.as_of = words.as_of

),

final as (

    select
        words.customer_id,
        words.as_of,
        words.purpose,
        words.channel,
        case
            when words.word_rank is null then silence.is_allowed
            else words.word_rank % 8 = 1
        end as is_allowed,
        coalesce(
            ['granted', 'refused', 'opted_out', 'complained', 'do_not_call'][words.word_rank % 8],
            'silence'
        ) as reason,
        nullif(make_timestamp(words.word_rank // 8), words.as_of_utc) as since

    from words_that_hold as words

    inner join consent_when_silent as silence
        on words.purpose = silence.purpose

)

select * from final
