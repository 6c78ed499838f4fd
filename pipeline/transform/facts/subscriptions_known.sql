-- One row per subscription of who is in scope, as it was known at the cut-off. Key: (source, subscription_id, as_of).
-- The terms (plan, amount) date from the beginning; the status, and an end that is yet to come, only from when the
-- version that says them became known. Whose status says that it ended, without a date, ended when that became known;
-- where it was never known otherwise nobody knows when it ended, and it is left out.
-- lapses_at: 14 days after its end. Until then it may still be renewed, and whose it was has not left yet.
with subscriptions_as_known as (

    select
        versions.*,
        cut_offs.as_of,
        cut_offs.as_of_utc,
        versions.known_at < cut_offs.as_of_utc as is_dated,
        case
            when versions.ended_at is not null then versions.ended_at
            when versions.is_ended then versions.known_at
        end as last_ended_at

    from (
        select
            *,
            coalesce(
                lower(status) in ('expired', 'cancelled', 'canceled', 'ended', 'terminated', 'closed', 'lapsed'), false
            ) as is_ended

        from subscriptions_in_scope
    ) as versions

    inner join cut_offs
        on versions.started_at < cut_offs.as_of_utc
        and (versions.valid_from is null or versions.valid_from < cut_offs.as_of_utc)
        and (versions.valid_to is null or versions.valid_to >= cut_offs.as_of_utc)

    where not (versions.is_ended and versions.ended_at is null and versions.valid_from is null)

)

select
    source,
    subscription_id,
    customer_id,
    company_id,
    as_of,
    plan,
    amount,
    case when is_dated then status end as status,
    started_at,
    case when last_ended_at < as_of_utc or is_dated then last_ended_at end as ended_at,
    case when last_ended_at < as_of_utc or is_dated then last_ended_at + interval 14 day end as lapses_at

from subscriptions_as_known
