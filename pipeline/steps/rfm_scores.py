"""RFM of a night: cut-points of an earlier night while they are held, and a word when data leave a segment out of reach."""

import json

from pipeline.models.rfm import read_rfm_segments, run_rfm

MEASURES = {"recency_days": ("recency", "最近购买"), "frequency": ("frequency", "频次"), "monetary": ("spend", "金额")}


def run_rfm_of_night(night, tonight):
    """What run_rfm gives for tonight's facts. Warns of segments out of reach on the night when they come to be, not on each."""
    settings = night.settings
    kept, was = _last_run(night)
    result = run_rfm(
        tonight,
        night.as_of,
        kept,
        settings.rfm_hold_days,
        settings.rfm_window_days,
        settings.reporting_currency,
    )
    metrics = json.loads(result[1]["metrics"])
    unreachable = metrics.get("unreachable_segments", [])
    if set(unreachable) - set(was.get("unreachable_segments", [])):
        outside = 1 - metrics["in_window_count"] / len(result[0])
        night.warn(*word_unreachable(unreachable, metrics["skipped_scores"], settings.rfm_window_days, outside))
    return result


def word_unreachable(unreachable, skipped, window_days=0, outside_share=0.0):
    """(English, Chinese) warning.

    unreachable: names of segments; skipped: {measure: the scores that nobody has}; outside_share: of the customers without
    an order in the window, 0..1.
    """
    names_zh = {segment["name"]: segment["zh"] for segment in read_rfm_segments()}
    listed = [(*MEASURES[measure], scores) for measure, scores in skipped.items() if scores]
    why = [f"no {name} score {', '.join(map(str, scores))}, as too many values are equal" for name, _, scores in listed]
    why_zh = [f"{name}得分 {'、'.join(map(str, scores))} 因数值相同者过多而空缺" for _, name, scores in listed]
    if window_days and outside_share:
        why.append(f"{outside_share:.0%} of customers have no order in the {window_days} days of the window")
        why_zh.append(f"{outside_share:.0%} 的客户在 {window_days} 天窗口内没有订单")
    return (
        f"rfm: nobody can be in {', '.join(unreachable)}: {'; '.join(why)}; another rfm_window_days may tell them apart",
        f"RFM：没有客户能进入{'、'.join(names_zh[name] for name in unreachable)}：{'；'.join(why_zh)}；"
        "可尝试调整 rfm_window_days 加以区分",
    )


def _last_run(night):
    """(params, metrics) of the RFM in use before tonight; two empty dicts where there is none."""
    rows = []
    if night.previous:
        rows = night.con.execute(
            "select params, metrics from previous.ops.model_runs where model = 'rfm' and status = 'used' and as_of < ?"
            " order by as_of desc limit 1",
            (night.as_of,),
        ).fetchall()
    return tuple(json.loads(text) for text in rows[0]) if rows else ({}, {})
