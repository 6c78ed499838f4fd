-- One row per customer with a subscription begun before as_of. Key: (customer_id, as_of).
-- The contract is the subscription begun last among those that run or ended less than 14 days ago.
-- A renewal begins within 30 days of the end of an earlier one, before or after.
with subscriptions as (

    select
        subscriptions.*,
        cut_offs.as_of_utc,
        coalesce(subscriptions.ended_at >= cut_offs.as_of_utc, true) as is_running,
        coalesce(subscriptions.lapses_at >= cut_offs.as_of_utc, true) as is_contract,
        timezone(night.business_timezone, timezone('UTC', subscriptions.started_at))::date as started_on,
        timezone(night.business_timezone, timezone('UTC', subscriptions.ended_at))::date as ended_on

    from subscriptions_known as subscriptions

    inner join cut_offs
        on subscriptions.as_of = cut_offs.as_of

    cross join night

),

renewals as (

    select
        later.customer_id,
        later.as_of,
        count(distinct later.source || '|' || later.subscription_id) as renewal_count

    from subscriptions as later

    inner join subscriptions as earlier
        on later.customer_id = earlier.customer_id
        and later.as_of = earlier.as_of
        and earlier.started_at < later.started_at
        and later.started_at between earlier.ended_at - interval 30 day and earlier.ended_at + interval 30 day

    group by later.customer_id, later.as_of

),

subscriptions_summed_to_customer as (

    select
        customer_id,
        as_of,
        count(*) filter (where is_running) as active_subscription_count,
        count(*) as subscription_count,
        min(started_on) as first_subscribed_on,
        arg_max(
            {
                'plan': plan,
                'status': status,
                'amount': amount,
                'started_on': started_on,
                'ended_on': ended_on,
                'is_running': is_running
            },
            row(started_at, source, subscription_id)
        ) filter (where is_contract) as contract

    from subscriptions

    group by customer_id, as_of

)

select
    customers.customer_id,
    customers.as_of,
    customers.active_subscription_count,
    customers.subscription_count,
    coalesce(renewals.renewal_count, 0) as renewal_count,
    customers.as_of - customers.first_subscribed_on as subscriber_days,
    customers.contract is not null as has_contract,
    customers.contract.plan as contract_plan,
    customers.contract.status as contract_status,
    customers.contract.amount as contract_amount,
    customers.as_of - customers.contract.started_on as contract_age_days,
    case when customers.contract.is_running then customers.contract.ended_on - customers.as_of end
        as contract_days_to_end,
    case when not customers.contract.is_running then customers.as_of - customers.contract.ended_on end
        as contract_days_since_end

from subscriptions_summed_to_customer as customers

left join renewals
    on customers.customer_id = renewals.customer_id
    and customers.as_of = renewals.as_of
