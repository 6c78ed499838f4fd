"""Names for segments, from what is unusual about them: the features farthest from the average customer."""

# feature -> words when high, words when low; English words are (before the noun), Chinese ones are joined
WORDS = {
    "recency_days": (("Lapsed", "久未下单"), ("Recent", "近期活跃")),
    "order_day_count": (("Frequent", "高频"), ("Occasional", "低频")),
    "avg_order_amount": (("Big-Basket", "高客单"), ("Small-Basket", "低客单")),
    "discount_share": (("Discount-Seeking", "偏好折扣"), ("Full-Price", "原价购买")),
    "category_count": (("Wide-Ranging", "多品类"), ("Single-Minded", "品类集中")),
    "return_share": (("Often-Returning-Goods", "退货多"), ("Rarely-Returning-Goods", "退货少")),
    "online_order_share": (("Online", "线上"), ("Offline", "线下")),
    "ticket_count": (("Service-Needing", "咨询多"), ("Undemanding", "咨询少")),
}
# in standard deviations of all customers
UNUSUAL = 0.35
NAME_WORDS = 2


def name_segments(segments, feature_names):
    """Give every segment without a name its name and name_zh, in place; all names differ.

    segments: dicts with id, centroid (standard deviations from the average customer, in the order of
    feature_names) and, if they keep one, name. Two words, the strongest first; another word where that name
    is taken; last, the id.
    """
    taken = {segment["name"] for segment in segments if "name" in segment}
    for segment in segments:
        if "name" in segment:
            continue
        traits = _find_traits(segment["centroid"], feature_names)
        for words in range(min(NAME_WORDS, len(traits)), len(traits) + 1):
            name, name_zh = _join(traits[:words])
            if name not in taken:
                break
        if name in taken:
            name, name_zh = f"{name} {segment['id']}", f"{name_zh}{segment['id']}"
        segment["name"], segment["name_zh"] = name, name_zh
        taken.add(name)


def _find_traits(centroid, feature_names):
    strongest_first = sorted(zip(feature_names, centroid, strict=True), key=lambda pair: (-abs(pair[1]), pair[0]))
    return [WORDS[name][0 if value > 0 else 1] for name, value in strongest_first if abs(value) >= UNUSUAL]


def _join(traits):
    if not traits:
        return "Average Customers", "普通客户"
    return " ".join(word for word, _ in traits) + " Customers", "".join(word for _, word in traits) + "客户"
