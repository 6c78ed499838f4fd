"""Names for segments, from what is unusual about them: the features farthest from the average customer."""

# (how often, how lately) -> who they are; 1 above the average customer, -1 below, 0 near. Lately: -1 is recent
WHO = {
    (1, -1): ("Regulars", "活跃常客"),
    (1, 0): ("Frequent buyers", "高频客户"),
    (1, 1): ("Lapsed regulars", "沉睡常客"),
    (0, -1): ("Recent buyers", "近期客户"),
    (0, 0): ("Buyers", "客户"),
    (0, 1): ("Lapsed buyers", "久未下单客户"),
    (-1, -1): ("Recent occasional buyers", "近期低频客户"),
    (-1, 0): ("Occasional buyers", "低频客户"),
    (-1, 1): ("Lapsed occasional buyers", "久未下单的低频客户"),
}
# feature -> words when high, words when low, after "with" in English and before 的 in Chinese
WITH = {
    "avg_order_amount": (("big baskets", "高客单"), ("small baskets", "低客单")),
    "discount_share": (("big discounts", "爱优惠"), ("few discounts", "少用优惠")),
    "return_share": (("many returns", "常退货"), ("few returns", "少退货")),
    "online_order_share": (("many online orders", "偏线上"), ("many store orders", "偏门店")),
}
# in standard deviations of all customers: for a trait, and for what they are called first
UNUSUAL = 0.35
UNUSUAL_WHO = 0.5
# below which a kept name is no longer true
OUTGROWN = 0.1


def name_segments(segments, feature_names):
    """Give every segment without a name its name, name_zh and named_for, in place; all names differ.

    segments: dicts with id, centroid (standard deviations from the average customer, in the order of
    feature_names) and, if they keep one, name. Who they are, with the one trait that stands out most; with more
    traits where that name is taken; last, the id. named_for: {feature: 1 above or -1 below the average customer}, what
    the name says.
    """
    taken = {name for segment in segments if "name" in segment for name in (segment["name"], segment["name_zh"])}
    for segment in segments:
        if "name" in segment:
            continue
        sides = _find_sides(segment["centroid"], feature_names)
        traits = [name for name in sides if name in WITH]
        for count in range(min(1, len(traits)), len(traits) + 1):
            name, name_zh = _join(sides, traits[:count])
            if not {name, name_zh} & taken:
                break
        if {name, name_zh} & taken:
            name, name_zh = f"{name} {segment['id']}", f"{name_zh}{segment['id']}"
        segment["name"], segment["name_zh"] = name, name_zh
        segment["named_for"] = {trait: side for trait, side in sides.items() if trait not in traits[count:]}
        taken |= {name, name_zh}


def find_outgrown(segments, feature_names):
    """Ids of segments whose kept name says what their centroid no longer shows, not even by .1 standard deviations."""
    outgrown = []
    for segment in segments:
        values = dict(zip(feature_names, segment["centroid"], strict=True))
        # a name of an earlier version does not say what it was given for
        if any(values.get(name, 0.0) * side < OUTGROWN for name, side in segment.get("named_for", {}).items()):
            outgrown.append(segment["id"])
    return outgrown


def _find_sides(centroid, feature_names):
    """{feature: 1 or -1} of what is unusual, the strongest first."""
    strongest_first = sorted(zip(feature_names, centroid, strict=True), key=lambda pair: (-abs(pair[1]), pair[0]))
    return {
        name: 1 if value > 0 else -1
        for name, value in strongest_first
        if abs(value) >= (UNUSUAL if name in WITH else UNUSUAL_WHO)
    }


def _join(sides, traits):
    name, name_zh = WHO[sides.get("order_day_count", 0), sides.get("recency_days", 0)]
    if not traits:
        return ("Average buyers", "普通客户") if name == "Buyers" else (name, name_zh)
    words = [WITH[trait][0 if sides[trait] > 0 else 1] for trait in traits]
    return f"{name} with {' and '.join(word for word, _ in words)}", "、".join(
        word for _, word in words
    ) + f"的{name_zh}"
