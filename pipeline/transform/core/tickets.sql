-- One row per version of a support ticket. Key: (source, ticket_id, valid_to).
select
    tickets.source,
    tickets.ticket_id,
    customer_map.customer_id,
    coalesce(company_map.company_id, contacts.company_id) as company_id,
    tickets.channel,
    tickets.kind,
    tickets.priority,
    tickets.status,
    tickets.opened_at,
    tickets.first_reply_at,
    tickets.solved_at,
    tickets.reopened_count,
    tickets.csat,
    tickets.known_at,
    tickets.custom,
    tickets.valid_from,
    tickets.valid_to,
    tickets.file_id

from stg_tickets_versions as tickets

left join customer_map
    on tickets.source = customer_map.source
    and tickets.customer_key = customer_map.customer_key

left join company_map
    on tickets.source = company_map.source
    and tickets.source_company_id = company_map.source_company_id

left join core.company_contacts as contacts
    on customer_map.customer_id = contacts.customer_id
    and (contacts.valid_from is null or tickets.opened_at >= contacts.valid_from)
    and (contacts.valid_to is null or tickets.opened_at < contacts.valid_to)
