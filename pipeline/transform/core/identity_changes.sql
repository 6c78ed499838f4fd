-- One row per id whose records went to another id, all or some. Key: (changed_on, customer_id, other_customer_id).
-- current_customer_id: whom the id means tonight, so that old exports can be read.
with recursive last_merges as (

    select
        customer_id,
        other_customer_id

    from vault.identity_changes

    where change = 'merged'

    qualify
        row_number() over (
            partition by customer_id
            order by changed_on desc, record_count desc, other_customer_id asc
        ) = 1

),

-- from each id along its merges, until one that is a customer tonight
followed as (

    select distinct
        customer_id,
        customer_id as reached_id

    from vault.identity_changes

    union

    select
        followed.customer_id,
        last_merges.other_customer_id as reached_id

    from followed

    inner join last_merges
        on followed.reached_id = last_merges.customer_id

    anti join customer_map
        on followed.reached_id = customer_map.customer_id

),

living as (

    select
        customer_id,
        reached_id

    from followed

    semi join customer_map
        on followed.reached_id = customer_map.customer_id

)

select
    changes.changed_on,
    changes.customer_id,
    changes.change,
    changes.other_customer_id,
    living.reached_id as current_customer_id,
    changes.record_count,
    changes.reason,
    changes.run_id

from vault.identity_changes as changes

left join living
    on changes.customer_id = living.customer_id
