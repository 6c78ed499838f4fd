-- One row per time that a customer was a company's contact. Key: (customer_id, valid_from).
-- At any moment a customer has one company: a stated one goes before that of an e-mail's domain, the later word before
-- the earlier (ties: by source and id). valid_from null: nothing tells since when.
with claims as (

    select
        *,
        coalesce(valid_from, '-infinity'::timestamp) as begins_at,
        coalesce(valid_to, 'infinity'::timestamp) as ends_at

    from company_claims

),

moments as (

    select
        customer_id,
        begins_at as moment

    from claims

    union

    select
        customer_id,
        ends_at as moment

    from claims

),

held_from_moment as (

    select
        moments.customer_id,
        moments.moment,
        claims.company_id,
        claims.linked_by

    from moments

    left join claims
        on moments.customer_id = claims.customer_id
        and moments.moment >= claims.begins_at
        and moments.moment < claims.ends_at

    qualify
        row_number() over (
            partition by moments.customer_id, moments.moment
            order by
                claims.claim_rank asc,
                claims.begins_at desc,
                claims.source asc,
                claims.customer_key asc,
                claims.company_id asc
        ) = 1

),

changes as (

    select *

    from held_from_moment

    qualify
        row_number() over (partition by customer_id order by moment) = 1
        or (company_id, linked_by)
        is distinct from lag((company_id, linked_by)) over (partition by customer_id order by moment)

),

intervals as (

    select
        customer_id,
        company_id,
        linked_by,
        nullif(moment, '-infinity'::timestamp) as valid_from,
        nullif(lead(moment) over (partition by customer_id order by moment), 'infinity'::timestamp) as valid_to

    from changes

)

select * from intervals
where company_id is not null
order by customer_id, valid_from
