-- One row per customer known at as_of, channel and purpose. Key: (customer_id, channel, purpose).
-- Whether the customer may be contacted, and can be.
-- The first that forbids is the reason: deleted, the consent that holds, no address, a bounce, the contact limit.
with interactions as (

    select
        customer_id,
        case when channel in ('email', 'sms', 'call', 'post', 'social') then channel end as channel,
        direction,
        kind,
        outcome,
        occurred_at

    from core.interactions

    where customer_id is not null

),

bounces_summed_to_channel as (

    select
        interactions.customer_id,
        coalesce(signals.channel, interactions.channel, 'email') as channel,
        max(coalesce(interactions.occurred_at, timestamp '9999-01-01')) as bounced_at

    from interactions

    inner join core.contact_signals as signals
        on interactions.kind is not distinct from signals.kind
        and interactions.outcome is not distinct from signals.outcome
        and signals.effect = 'bounced'

    inner join cut_offs
        on coalesce(interactions.occurred_at < cut_offs.as_of_utc, true)

    group by interactions.customer_id, coalesce(signals.channel, interactions.channel, 'email')

),

-- whoever took a message since, or agreed to this very channel, has an address there that works
signs_of_life as (

    select
        interactions.customer_id,
        interactions.channel,
        interactions.occurred_at

    from interactions

    inner join core.contact_signals as signals
        on interactions.kind is not distinct from signals.kind
        and interactions.outcome is not distinct from signals.outcome
        and signals.effect = 'reached'

    inner join cut_offs
        on interactions.occurred_at < cut_offs.as_of_utc

    semi join bounces_summed_to_channel as bounces
        on interactions.customer_id = bounces.customer_id

    union all

    select
        consents.customer_id,
        consents.channel,
        coalesce(consents.captured_at, consents.observed_at) as occurred_at

    from core.consents as consents

    inner join cut_offs
        on coalesce(consents.valid_from, consents.observed_at) < cut_offs.as_of_utc

    semi join bounces_summed_to_channel as bounces
        on consents.customer_id = bounces.customer_id

    where consents.status = 'granted'

),

-- a bounce says nothing of what the customer wants: it holds until something shows that the channel works again
bounces as (

    select
        customer_id,
        channel,
        nullif(bounced_at, timestamp '9999-01-01') as bounced_at

    from bounces_summed_to_channel

    anti join signs_of_life
        on signs_of_life.customer_id = bounces_summed_to_channel.customer_id
        and signs_of_life.channel = bounces_summed_to_channel.channel
        and signs_of_life.occurred_at > bounces_summed_to_channel.bounced_at

),

-- opened, bounced and the like report of a message, and are no further one
reports_of_messages as (

    select distinct kind from core.contact_signals
    where is_kind

),

contacts_summed_to_limit as (

    select
        interactions.customer_id,
        limits.channel,
        max(interactions.occurred_at) as last_contact_at

    from interactions

    inner join contact_limits as limits
        on limits.channel = 'any' or interactions.channel = limits.channel

    inner join cut_offs
        on interactions.occurred_at < cut_offs.as_of_utc
        and interactions.occurred_at >= cut_offs.as_of_utc - to_days(limits.days)

    where
        interactions.direction = 'outbound'
        and coalesce(interactions.kind not in (select kind from reports_of_messages), true)

    group by interactions.customer_id, limits.channel, limits.max_contacts

    having count(*) >= limits.max_contacts

),

-- where no source tells anybody's address of a kind, other tools hold them, and nobody is without
address_kinds as (

    select
        bool_or(has_email) as has_email,
        bool_or(has_phone) as has_phone,
        bool_or(has_address) as has_address,
        bool_or(has_social) as has_social

    from addresses

),

-- a row a customer, so that the long table is joined once
customers as (

    select
        facts.customer_id,
        coalesce(facts.is_deleted, false) as is_deleted,
        kinds.has_email and not coalesce(addresses.has_email, false) as lacks_email,
        kinds.has_phone and not coalesce(addresses.has_phone, false) as lacks_phone,
        kinds.has_address and not coalesce(addresses.has_address, false) as lacks_address,
        kinds.has_social and not coalesce(addresses.has_social, false) as lacks_social

    from marts.customer_facts as facts

    cross join address_kinds as kinds

    left join addresses
        on facts.customer_id = addresses.customer_id

),

judged as (

    select
        held.*,
        case
            when customers.is_deleted then 'deleted'
            when not held.is_allowed then held.reason
            when
                held.channel = 'email' and customers.lacks_email
                or held.channel in ('sms', 'call') and customers.lacks_phone
                or held.channel = 'post' and customers.lacks_address
                or held.channel = 'social' and customers.lacks_social
                then 'no_address'
            when bounces.customer_id is not null then 'bounced'
            when coalesce(of_channel.customer_id, of_any.customer_id) is not null then 'contact_limit'
        end as forbidden_by,
        bounces.bounced_at,
        greatest(of_channel.last_contact_at, of_any.last_contact_at) as last_contact_at

    from consents_held as held

    inner join customers
        on held.customer_id = customers.customer_id

    left join bounces
        on held.customer_id = bounces.customer_id
        and held.channel = bounces.channel

    left join contacts_summed_to_limit as of_channel
        on held.customer_id = of_channel.customer_id
        and held.channel = of_channel.channel
        and held.purpose = 'marketing'

    left join contacts_summed_to_limit as of_any
        on held.customer_id = of_any.customer_id
        and of_any.channel = 'any'
        and held.purpose = 'marketing'

),

final as (

    select
        customer_id,
        as_of,
        channel,
        purpose,
        forbidden_by is null as is_allowed,
        coalesce(forbidden_by, reason) as reason,
        case forbidden_by
            when 'deleted' then null
            when 'no_address' then null
            when 'bounced' then bounced_at
            when 'contact_limit' then last_contact_at
            else since
        end as since

    from judged

)

select * from final
