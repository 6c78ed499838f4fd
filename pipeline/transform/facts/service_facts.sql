-- One row per customer with a ticket opened before as_of. Key: (customer_id, as_of).
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

from tickets_known

group by customer_id, as_of
