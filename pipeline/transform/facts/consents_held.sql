-- One row per customer, purpose and channel: what holds as of the cut-off. Key: (customer_id, as_of, purpose, channel).
-- The latest word holds, and among equals the most restrictive; a word on any channel is one on each. Silence is no for
-- marketing and sharing and yes for service and profiling, unless the settings say otherwise (consent_when_silent).
-- A refusal without a date, or on a record's first version known only later, is the latest word of all.
with uses as (

    select
        purpose,
        channel

    from (
        values
        ('service', 'email'),
        ('service', 'sms'),
        ('service', 'call'),
        ('service', 'post'),
        ('service', 'social'),
        ('marketing', 'email'),
        ('marketing', 'sms'),
        ('marketing', 'call'),
        ('marketing', 'post'),
        ('marketing', 'social'),
        ('profiling', 'any'),
        ('sharing', 'any')
    ) as uses (purpose, channel)

),

words as (

    select
        consents.customer_id,
        cut_offs.as_of,
        consents.purpose,
        consents.channel,
        -- by time, then by how restrictive: the greatest holds
        8 * greatest(
            epoch_us(
                least(coalesce(consents.captured_at, consents.valid_from, cut_offs.as_of_utc), cut_offs.as_of_utc)
            ),
            0
        )
        + list_position(['granted', 'refused', 'opted_out', 'complained', 'do_not_call'], consents.reason)
            as word_rank

    from consents_then as consents

    inner join cut_offs
        on coalesce(consents.valid_from < cut_offs.as_of_utc, true)

    semi join cohort
        on consents.customer_id = cohort.customer_id

),

words_that_hold as (

    select
        words.customer_id,
        words.as_of,
        uses.purpose,
        uses.channel,
        max(words.word_rank) as word_rank

    from words

    inner join uses
        on words.purpose = uses.purpose
        and (words.channel = uses.channel or words.channel = 'any' or uses.channel = 'any')

    group by words.customer_id, words.as_of, uses.purpose, uses.channel

),

final as (

    select
        cohort.customer_id,
        cut_offs.as_of,
        uses.purpose,
        uses.channel,
        case
            when words.word_rank is null then silence.is_allowed
            else words.word_rank % 8 = 1
        end as is_allowed,
        coalesce(
            ['granted', 'refused', 'opted_out', 'complained', 'do_not_call'][words.word_rank % 8],
            'silence'
        ) as reason,
        nullif(make_timestamp(words.word_rank // 8), cut_offs.as_of_utc) as since

    from cohort

    cross join cut_offs

    cross join uses

    inner join consent_when_silent as silence
        on uses.purpose = silence.purpose

    left join words_that_hold as words
        on cohort.customer_id = words.customer_id
        and cut_offs.as_of = words.as_of
        and uses.purpose = words.purpose
        and uses.channel = words.channel

)

select * from final
