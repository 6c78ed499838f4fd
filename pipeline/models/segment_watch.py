"""What is said of segments that jump: pairs of texts (English, Chinese), and whether a new model moves too many."""

import json


def watch_fit(jump, limit, hold):
    """(is_over, warnings, words for the message). jump: of segment_matching.measure_jump; limit: share of customers.

    Over the limit is a model that changes the segment of more than this share of all customers, or of the customers of
    one segment.
    """
    left = {number: share for number, share in jump["left_shares"].items() if share > limit}
    if jump["changed_share"] <= limit and not left:
        return False, [], f"; {_percent(jump['changed_share'])} of customers changed segment by it"
    english = f"the new model changes the segment of {_percent(jump['changed_share'])} of customers"
    chinese = f"新模型使{_percent(jump['changed_share'], '')}的客户改变分群"
    if left:
        english += ", of " + ", ".join(f"{_percent(share)} in segment {number}" for number, share in left.items())
        chinese += "，其中" + "、".join(f"分群{number}的{_percent(share, '')}" for number, share in left.items())
    english += f" (segment_jump_limit {_percent(limit)})"
    chinese += f"（segment_jump_limit 上限{_percent(limit, '')}）"
    if hold:
        english += "; held back, scored with the model before; to accept it, set hold_segment_jumps = false for a night"
        chinese += "；已暂缓，仍用先前的模型；若要采用新模型，请将 hold_segment_jumps 设为 false 一晚"
    else:
        english += "; used all the same (hold_segment_jumps = true would hold it back)"
        chinese += "；仍予采用（hold_segment_jumps = true 可暂缓）"
    return True, [[english, chinese]], f"; {english}"


def watch_shares(shares, model, limit):
    """Warnings on segments that hold far more or fewer of the customers than when the model was fitted.

    shares: {id: share of tonight's customers}. model: the one in use before, whose segments carry their share of then. It
    is not the model that moved these: new customers, or facts that stopped coming.
    """
    warnings = []
    for segment in model["segments"]:
        now, then = shares.get(segment["id"]), segment["share"]
        # a segment that the new model has not at all is told by watch_fit
        if now is not None and abs(now - then) > limit:
            warnings.append(
                [
                    f"segment {segment['id']} ({segment['name']}) has {_percent(now)} of the customers,"
                    f" {_percent(then)} when the model before was fitted",
                    f"分群{segment['id']}（{segment['name_zh']}）现占客户{_percent(now, '')}，"
                    f"先前的模型训练时占{_percent(then, '')}",
                ]
            )
    return warnings


def read_warnings(run):
    """The warnings of a model_run dict as pairs (English, Chinese)."""
    return [tuple(pair) for pair in json.loads(run["metrics"]).get("warnings", [])]


def _percent(share, gap=" "):
    return f"{100 * share:.1f}{gap}%"
