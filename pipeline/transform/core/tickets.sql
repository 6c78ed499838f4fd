-- One row per version of a support ticket. Key: (source, ticket_id, valid_to).
select
    tickets.source,
    tickets.ticket_id,
    customer_map.customer_id,
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
    tickets.valid_from,
    tickets.valid_to,
    tickets.file_id

from stg_tickets_versions as tickets

left join customer_map
    on tickets.source = customer_map.source
    and tickets.customer_key = customer_map.customer_key
