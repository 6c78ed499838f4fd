-- One row per product, as last known. Key: (source, sku).
select
    source,
    sku,
    name,
    category,
    brand,
    list_price,
    unit_cost,
    custom,
    file_id

from stg_products
