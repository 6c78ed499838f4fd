-- One row per customer who was a company's contact at as_of. Key: (customer_id, as_of).
select
    contacts.customer_id,
    cut_offs.as_of,
    contacts.company_id

from core.company_contacts as contacts

inner join cut_offs
    on (contacts.valid_from is null or contacts.valid_from < cut_offs.as_of_utc)
    and (contacts.valid_to is null or contacts.valid_to >= cut_offs.as_of_utc)
