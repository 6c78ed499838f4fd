-- One row per customer who gave feedback before as_of. Key: (customer_id, as_of).
-- Scores as a share of their scale; low feedback is a score of two fifths or less.
with feedback as (

    select
        feedback.customer_id,
        cut_offs.as_of,
        feedback.source,
        feedback.feedback_id,
        feedback.kind,
        feedback.score,
        (feedback.score / feedback.scale_max)::double as score_share,
        feedback.created_at,
        feedback.created_at >= cut_offs.as_of_utc - interval 180 day as is_recent

    from feedback_then as feedback

    inner join cut_offs
        on feedback.created_at < cut_offs.as_of_utc

    semi join cohort
        on feedback.customer_id = cohort.customer_id

)

select
    customer_id,
    as_of,
    count(*) as feedback_count,
    round(avg(score_share::decimal(9, 6))::double, 6) as avg_feedback_share,
    arg_max(score, row(created_at, source, feedback_id)) filter (where kind = 'nps')::double as last_nps,
    count(*) filter (where is_recent and (score_share <= 0.4 or kind = 'complaint')) as low_feedback_count_180d

from feedback

group by customer_id, as_of
