-- One row per link. Key: (source, source_customer_id, other_source, other_source_customer_id, linked_by).
-- A record and the first record that showed the same. linked_at null: known without a date, so always.
select
    customer_map.customer_id,
    nodes.source,
    nodes.customer_key as source_customer_id,
    others.source as other_source,
    others.customer_key as other_source_customer_id,
    links.linked_by,
    links.linked_at,
    links.weight,
    links.explanation

from links

inner join nodes
    on links.node = nodes.node

inner join nodes as others
    on links.other_node = others.node

inner join customer_map
    on nodes.source = customer_map.source
    and nodes.customer_key = customer_map.customer_key
