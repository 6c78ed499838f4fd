-- One row per company id whose records went to another, all or some. Key: (changed_on, company_id, other_company_id).
-- current_company_id: which company the id means tonight, so that old exports can be read.
with recursive last_merges as (

    select
        company_id,
        other_company_id

    from vault.company_changes

    where change = 'merged'

    qualify
        row_number() over (
            partition by company_id
            order by changed_on desc, record_count desc, other_company_id asc
        ) = 1

),

-- from each id along its merges, until one that is a company tonight
followed as (

    select distinct
        company_id,
        company_id as reached_id

    from vault.company_changes

    union

    select
        followed.company_id,
        last_merges.other_company_id as reached_id

    from followed

    inner join last_merges
        on followed.reached_id = last_merges.company_id

    anti join company_map
        on followed.reached_id = company_map.company_id

),

living as (

    select
        company_id,
        reached_id

    from followed

    semi join company_map
        on followed.reached_id = company_map.company_id

)

select
    changes.changed_on,
    changes.company_id,
    changes.change,
    changes.other_company_id,
    living.reached_id as current_company_id,
    changes.record_count

from vault.company_changes as changes

left join living
    on changes.company_id = living.company_id
