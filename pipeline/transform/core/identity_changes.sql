-- One row per id whose records went to another id, all or some. Key: (changed_on, customer_id, other_customer_id).
-- current_customer_id: whom the id means tonight, so that old exports can be read.
with records as (

    select
        customer_id,
        'C' || lpad(number::varchar, 9, '0') as first_given_id

    from customer_map

)

select
    changes.changed_on,
    changes.customer_id,
    changes.change,
    changes.other_customer_id,
    records.customer_id as current_customer_id,
    changes.record_count,
    changes.reason,
    changes.run_id

from vault.identity_changes as changes

left join records
    on changes.customer_id = records.first_given_id
