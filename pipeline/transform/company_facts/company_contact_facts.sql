-- One row per company with a contact at as_of. Key: (company_id, as_of).
-- A contact is a customer who was known before as_of and whose company it was then.
select
    contacts.company_id,
    cut_offs.as_of,
    count(*) as contact_count

from core.company_contacts as contacts

inner join cut_offs
    on (contacts.valid_from is null or contacts.valid_from < cut_offs.as_of_utc)
    and (contacts.valid_to is null or contacts.valid_to >= cut_offs.as_of_utc)

inner join core.customers as customers
    on contacts.customer_id = customers.customer_id
    and coalesce(customers.first_seen_at < cut_offs.as_of_utc, true)

group by contacts.company_id, cut_offs.as_of
