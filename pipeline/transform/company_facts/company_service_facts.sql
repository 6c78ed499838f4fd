-- One row per company with a ticket opened before as_of. Key: (company_id, as_of).
select
    company_id,
    as_of,
    count(*) as ticket_count,
    count(*) filter (where is_recent) as ticket_count_90d,
    count(*) filter (where kind = 'complaint') as complaint_count,
    count(*) filter (where kind = 'complaint' and is_recent) as complaint_count_90d,
    count(*) filter (where solved_at is null) as open_ticket_count,
    max(opened_at) as last_ticket_at

from company_tickets_known

group by company_id, as_of
