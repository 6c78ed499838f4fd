-- One row per version of an order line. Key: (source, order_id, line, valid_to).
-- Category, brand and cost come from the line, else from the product list.
-- An orphan (no such order) has no customer and no time.
with order_items as (

    select * from stg_order_items_versions

),

final as (

    select
        order_items.source,
        order_items.order_id,
        order_items.line,
        orders.customer_id,
        orders.ordered_at,
        order_items.sku,
        order_items.name,
        coalesce(order_items.category, products.category) as category,
        coalesce(order_items.brand, products.brand) as brand,
        order_items.quantity,
        order_items.unit_price,
        order_items.discount,
        order_items.amount,
        coalesce(order_items.unit_cost, products.unit_cost) as unit_cost,
        order_items.valid_from,
        order_items.valid_to,
        order_items.file_id

    from order_items

    left join core.orders as orders
        on order_items.source = orders.source
        and order_items.order_id = orders.order_id

    left join core.products as products
        on order_items.source = products.source
        and order_items.sku = products.sku

)

select * from final
