-- One row per review, survey answer or suggestion. Key: (source, feedback_id).
select
    feedback.source,
    feedback.feedback_id,
    customer_map.customer_id,
    feedback.kind,
    feedback.score,
    feedback.scale_max,
    feedback.order_id,
    feedback.sku,
    feedback.created_at,
    feedback.custom,
    feedback.file_id

from stg_feedback as feedback

left join customer_map
    on feedback.source = customer_map.source
    and feedback.customer_key = customer_map.customer_key
