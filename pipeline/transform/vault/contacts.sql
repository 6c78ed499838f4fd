-- One row per customer: how to reach the person. Key: (customer_id). Stands in the vault alone.
-- Each value is that of the source record which its survivorship rule chooses, without any the last that an order or
-- the like mentioned.
with references_ranked as (

    select
        *,
        row_number() over (order by seen_at nulls first, source, customer_key, email, phone) as seen_rank

    from customer_references

),

mentioned as (

    select
        customer_map.customer_id,
        arg_max(customer_references.email, customer_references.seen_rank) as email,
        arg_max(customer_references.phone, customer_references.seen_rank) as phone

    from references_ranked as customer_references

    inner join customer_map
        on customer_references.source = customer_map.source
        and customer_references.customer_key = customer_map.customer_key

    group by customer_map.customer_id

),

described as (

    select * from golden_records

    where valid_to is null

),

final as (

    select
        mentioned.customer_id,
        described.name,
        described.birth_date,
        described.company,
        described.address,
        described.postal_code,
        coalesce(described.email, mentioned.email) as email,
        coalesce(described.phone, mentioned.phone) as phone,
        described.wechat,
        described.surname,
        described.given_name,
        described.national_id,
        described.social_account

    from mentioned

    left join described
        on mentioned.customer_id = described.customer_id

)

select * from final
order by customer_id
