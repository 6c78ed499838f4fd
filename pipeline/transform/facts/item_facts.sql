-- One row per customer with an order line known at as_of. Key: (customer_id, as_of).
-- Tastes: what share of the money went to the first category, and which comes second. Ties go by name.
with orders_not_counted as (

    select
        source,
        order_id,
        as_of

    from orders_known

    where not is_counted

),

order_items as (

    select
        order_items.customer_id,
        cut_offs.as_of,
        order_items.category,
        order_items.brand,
        order_items.quantity,
        order_items.amount

    from core.order_items as order_items

    inner join cut_offs
        on order_items.ordered_at < cut_offs.as_of_utc

    semi join cohort
        on order_items.customer_id = cohort.customer_id

    anti join orders_not_counted
        on order_items.source = orders_not_counted.source
        and order_items.order_id = orders_not_counted.order_id

),

-- one pass over the lines; all that follows reads this far smaller table
items_summed_to_taste as (

    select
        customer_id,
        as_of,
        category,
        brand,
        sum(quantity) as quantity,
        sum(amount) as amount

    from order_items

    group by customer_id, as_of, category, brand

),

items_summed_to_customer as (

    select
        customer_id,
        as_of,
        sum(quantity)::double as item_count,
        (sum(amount) / nullif(sum(quantity), 0))::decimal(18, 2) as avg_item_price,
        sum(amount) as amount

    from items_summed_to_taste

    group by customer_id, as_of

),

items_summed_to_category as (

    select
        customer_id,
        as_of,
        category,
        sum(amount) as amount

    from items_summed_to_taste

    where category is not null

    group by customer_id, as_of, category

),

categories_ranked as (

    select
        customer_id,
        as_of,
        count(*) as category_count,
        max(row(amount, category), 2) as top_two

    from items_summed_to_category

    group by customer_id, as_of

),

items_summed_to_brand as (

    select
        customer_id,
        as_of,
        brand,
        sum(amount) as amount

    from items_summed_to_taste

    where brand is not null

    group by customer_id, as_of, brand

),

brands_ranked as (

    select
        customer_id,
        as_of,
        max(row(amount, brand)) as top_brand

    from items_summed_to_brand

    group by customer_id, as_of

),

final as (

    select
        items.customer_id,
        items.as_of,
        items.item_count,
        items.avg_item_price,
        coalesce(categories.category_count, 0) as category_count,
        categories.top_two[1][2] as top_category,
        (categories.top_two[1][1] / nullif(items.amount, 0))::double as top_category_share,
        categories.top_two[2][2] as second_category,
        brands.top_brand[2] as top_brand,
        (brands.top_brand[1] / nullif(items.amount, 0))::double as top_brand_share

    from items_summed_to_customer as items

    left join categories_ranked as categories
        on items.customer_id = categories.customer_id
        and items.as_of = categories.as_of

    left join brands_ranked as brands
        on items.customer_id = brands.customer_id
        and items.as_of = brands.as_of

)

select * from final
