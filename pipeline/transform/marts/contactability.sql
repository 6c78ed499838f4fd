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

-- a bounce says nothing of what the customer wants: it holds until something shows that the channel works again
signs_of_life as (

    select
        interactions.customer_id,
        coalesce(signals.channel, interactions.channel, 'email') as channel,
        case when signals.effect = 'bounced' then coalesce(interactions.occurred_at, cut_offs.as_of_utc) end
            as bounced_at,
        case when signals.effect = 'reached' then interactions.occurred_at end as reached_at

    from interactions

    inner join core.contact_signals as signals
        on interactions.kind is not distinct from signals.kind
        and interactions.outcome is not distinct from signals.outcome

    inner join cut_offs
        on coalesce(interactions.occurred_at < cut_offs.as_of_utc, true)

    where
        signals.effect = 'bounced'
        or (signals.effect = 'reached' and interactions.channel is not null)

    union all

    select
        consents.customer_id,
        consents.channel,
        null as bounced_at,
        consents.captured_at as reached_at

    from core.consents as consents

    inner join cut_offs
        on consents.valid_from < cut_offs.as_of_utc

    where consents.status = 'granted'

),

bounces as (

    select
        signs.customer_id,
        signs.channel,
        nullif(max(signs.bounced_at), any_value(cut_offs.as_of_utc)) as bounced_at

    from signs_of_life as signs

    cross join cut_offs

    group by signs.customer_id, signs.channel

    having max(signs.bounced_at) >= coalesce(max(signs.reached_at), timestamp '0001-01-01')

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

held as (

    select
        consents.*,
        coalesce(facts.is_deleted, false) as is_deleted,
        case consents.channel
            when 'email' then kinds.has_email and not coalesce(addresses.has_email, false)
            when 'sms' then kinds.has_phone and not coalesce(addresses.has_phone, false)
            when 'call' then kinds.has_phone and not coalesce(addresses.has_phone, false)
            when 'post' then kinds.has_address and not coalesce(addresses.has_address, false)
            when 'social' then kinds.has_social and not coalesce(addresses.has_social, false)
        end as has_no_address

    from consents_held as consents

    cross join address_kinds as kinds

    inner join marts.customer_facts as facts
        on consents.customer_id = facts.customer_id

    left join addresses
        on consents.customer_id = addresses.customer_id

),

judged as (

    select
        held.*,
        case
            when held.is_deleted then 'deleted'
            when not held.is_allowed then held.reason
            when held.has_no_address then 'no_address'
            when bounces.customer_id is not null then 'bounced'
            when coalesce(of_channel.customer_id, of_any.customer_id) is not null then 'contact_limit'
        end as forbidden_by,
        bounces.bounced_at,
        greatest(of_channel.last_contact_at, of_any.last_contact_at) as last_contact_at

    from held

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
