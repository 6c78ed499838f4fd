-- One row per ticket of who is in scope, as it was known at the cut-off. Key: (source, ticket_id, as_of).
-- A reply, a solution or a rating counts once it was known; a rating dates from the solution, else the last change.
with tickets_as_known as (

    select
        versions.*,
        cut_offs.as_of,
        cut_offs.as_of_utc

    from tickets_in_scope as versions

    inner join cut_offs
        on versions.opened_at < cut_offs.as_of_utc
        and (versions.valid_from is null or versions.valid_from < cut_offs.as_of_utc)
        and (versions.valid_to is null or versions.valid_to >= cut_offs.as_of_utc)

)

select
    source,
    ticket_id,
    customer_id,
    company_id,
    as_of,
    kind,
    opened_at,
    opened_at >= as_of_utc - interval 90 day as is_recent,
    case when first_reply_at < as_of_utc then first_reply_at end as first_reply_at,
    case
        when solved_at < as_of_utc then solved_at
        when status in ('solved', 'closed') and known_at < as_of_utc then known_at
    end as solved_at,
    case when coalesce(solved_at, known_at) < as_of_utc then csat end as csat

from tickets_as_known
