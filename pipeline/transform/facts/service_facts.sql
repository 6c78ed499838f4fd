-- One row per customer with a ticket opened before as_of. Key: (customer_id, as_of).
-- A reply, a solution or a rating counts once it was known; a rating dates from the solution, else the last change.
with tickets_as_known as (

    select
        versions.*,
        cut_offs.as_of,
        cut_offs.as_of_utc

    from tickets_then as versions

    inner join cut_offs
        on (versions.valid_from is null or versions.valid_from < cut_offs.as_of_utc)
        and (versions.valid_to is null or versions.valid_to >= cut_offs.as_of_utc)

),

tickets as (

    select
        tickets.customer_id,
        tickets.as_of,
        tickets.kind,
        tickets.opened_at,
        tickets.opened_at >= tickets.as_of_utc - interval 90 day as is_recent,
        case when tickets.first_reply_at < tickets.as_of_utc then tickets.first_reply_at end as first_reply_at,
        case
            when tickets.solved_at < tickets.as_of_utc then tickets.solved_at
            when tickets.status in ('solved', 'closed') and tickets.known_at < tickets.as_of_utc then tickets.known_at
        end as solved_at,
        case when coalesce(tickets.solved_at, tickets.known_at) < tickets.as_of_utc then tickets.csat end as csat

    from tickets_as_known as tickets

    semi join cohort
        on tickets.customer_id = cohort.customer_id

    where tickets.opened_at < tickets.as_of_utc

)

select
    customer_id,
    as_of,
    count(*) as ticket_count,
    count(*) filter (where is_recent) as ticket_count_90d,
    count(*) filter (where kind = 'complaint') as complaint_count,
    count(*) filter (where kind = 'complaint' and is_recent) as complaint_count_90d,
    count(*) filter (where solved_at is null) as open_ticket_count,
    max(opened_at) as last_ticket_at,
    round(avg(date_diff('minute', opened_at, first_reply_at)) / 60, 4) as avg_first_reply_hours,
    round(avg(csat)::double, 6) as avg_csat

from tickets

group by customer_id, as_of
