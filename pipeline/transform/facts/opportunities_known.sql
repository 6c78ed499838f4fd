-- One row per opportunity of who is in scope, as known at the cut-off. Key: (source, opportunity_id, as_of).
-- Won, lost or invalid it is from when it closed, else from when that became known; before, it was open, and what the
-- record of the closed one says of its chance is not known yet.
with opportunities_as_known as (

    select
        versions.*,
        cut_offs.as_of,
        cut_offs.as_of_utc,
        coalesce(versions.closed_at, versions.known_at) as settled_at,
        coalesce(versions.status, case when versions.closed_at is null then 'open' else 'closed' end) as last_status

    from opportunities_in_scope as versions

    inner join cut_offs
        on versions.created_at < cut_offs.as_of_utc
        and (versions.valid_from is null or versions.valid_from < cut_offs.as_of_utc)
        and (versions.valid_to is null or versions.valid_to >= cut_offs.as_of_utc)

),

settled as (

    select
        *,
        last_status <> 'open' and settled_at < as_of_utc as is_settled

    from opportunities_as_known

)

select
    source,
    opportunity_id,
    customer_id,
    company_id,
    as_of,
    case when last_status = 'open' then stage end as stage,
    not is_settled as is_open,
    is_settled and last_status = 'won' as is_won,
    is_settled and last_status = 'lost' as is_lost,
    coalesce(amount, 0) as amount,
    case when last_status = 'open' then probability end as probability,
    created_at,
    expected_close_at,
    case when is_settled then settled_at end as settled_at

from settled
