-- One row per customer: how to reach the person. Key: (customer_id). Stands in the vault alone.
-- Each value is the most recently known among the customer's source records (ties: by source and id).
with described as (

    select
        customer_map.customer_id,
        row_number() over (order by customers.known_at, customers.source, customers.customer_key) as version_rank,
        customers.name,
        customers.birth_date,
        customers.company,
        customers.address,
        customers.postal_code,
        customers.email,
        customers.phone,
        customers.wechat

    from stg_customers as customers

    inner join customer_map
        on customers.source = customer_map.source
        and customers.customer_key = customer_map.customer_key

),

references_ranked as (

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

described_by_customer as (

    select
        customer_id,
        arg_max(name, version_rank) as name,
        arg_max(birth_date, version_rank) as birth_date,
        arg_max(company, version_rank) as company,
        arg_max(address, version_rank) as address,
        arg_max(postal_code, version_rank) as postal_code,
        arg_max(email, version_rank) as email,
        arg_max(phone, version_rank) as phone,
        arg_max(wechat, version_rank) as wechat

    from described

    group by customer_id

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
        described.wechat

    from mentioned

    left join described_by_customer as described
        on mentioned.customer_id = described.customer_id

)

select * from final
order by customer_id
