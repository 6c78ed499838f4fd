-- One row per kind and outcome of interactions that refuse or bar contact. Key: (kind, outcome, effect, channel).
-- And those that show that a channel works (reached). The words stand here and nowhere else, in small letters, with _
-- for all that is no letter or digit. channel: what the word speaks of; null for the interaction's own. A bounce that
-- is not called soft is taken to be a hard one.
with signals as (

    select
        word,
        effect,
        channel

    from (
        values
        ('unsubscribed', 'opted_out', null),
        ('unsubscribe', 'opted_out', null),
        ('opted_out', 'opted_out', null),
        ('opt_out', 'opted_out', null),
        ('stop', 'opted_out', null),
        ('do_not_contact', 'opted_out', 'any'),
        ('do_not_email', 'opted_out', 'email'),
        ('do_not_text', 'opted_out', 'sms'),
        ('do_not_mail', 'opted_out', 'post'),
        ('do_not_call', 'do_not_call', 'call'),
        ('marked_as_spam', 'complained', null),
        ('spam', 'complained', null),
        ('spam_complaint', 'complained', null),
        ('spam_report', 'complained', null),
        ('bounced', 'bounced', null),
        ('bounce', 'bounced', null),
        ('hard_bounced', 'bounced', null),
        ('hard_bounce', 'bounced', null),
        ('invalid_address', 'bounced', null),
        ('invalid_number', 'bounced', null),
        ('wrong_number', 'bounced', null),
        ('delivered', 'reached', null),
        ('opened', 'reached', null),
        ('clicked', 'reached', null),
        ('replied', 'reached', null),
        ('answered', 'reached', null)
    ) as words (word, effect, channel)

),

pairs as (

    select distinct
        kind,
        outcome

    from core.interactions

),

words_used as (

    select
        kind,
        outcome,
        trim(regexp_replace(lower(kind), '[^a-z0-9]+', '_', 'g'), '_') as kind_word,
        trim(regexp_replace(lower(outcome), '[^a-z0-9]+', '_', 'g'), '_') as outcome_word

    from pairs

)

select
    words_used.kind,
    words_used.outcome,
    signals.effect,
    signals.channel,
    bool_or(signals.word = words_used.kind_word) as is_kind

from words_used

inner join signals
    on words_used.kind_word = signals.word
    or words_used.outcome_word = signals.word

group by words_used.kind, words_used.outcome, signals.effect, signals.channel
