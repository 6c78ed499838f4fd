"""What a customer is worth, in few words: the eight value classes, the three grades above them, and ABC by spend."""

import numpy as np

HIGH_SCORE = 4

# (R high, F high, M high) -> English, Chinese: 重要 is M high; 价值 R+F+, 发展 R+F-, 保持 R-F+, 挽留 R-F-
VALUE_CLASSES = {
    (True, True, True): ("Key Value", "重要价值客户"),
    (True, False, True): ("Key Growth", "重要发展客户"),
    (False, True, True): ("Key Retention", "重要保持客户"),
    (False, False, True): ("Key Win-back", "重要挽留客户"),
    (True, True, False): ("General Value", "一般价值客户"),
    (True, False, False): ("General Growth", "一般发展客户"),
    (False, True, False): ("General Retention", "一般保持客户"),
    (False, False, False): ("General Win-back", "一般挽留客户"),
}
# (R high, M high) -> English, Chinese: a grade is several value classes, so that the two never disagree
GRADES = {
    (True, True): ("Key", "重要客户"),
    (False, True): ("Key", "重要客户"),
    (True, False): ("Potential", "潜在客户"),
    (False, False): ("Ordinary", "普通客户"),
}
ABC_CLASSES = (("A", "A类客户"), ("B", "B类客户"), ("C", "C类客户"))
# percent of all spend above which A ends, and B
ABC_ENDS = (80, 95)


def name_value_class(r, f, m):
    """(English, Chinese) value class of one cell; high is a score of 4 or more."""
    return VALUE_CLASSES[(r >= HIGH_SCORE, f >= HIGH_SCORE, m >= HIGH_SCORE)]


def name_grade(r, m):
    """(English, Chinese) grade: 重要 spends much, 潜在 does not but bought recently, 普通 is neither."""
    return GRADES[(r >= HIGH_SCORE, m >= HIGH_SCORE)]


def fit_abc(monetary):
    """The least spend of class A and of class B, in the unit given; None twice where nobody spent.

    monetary: float array, shape (n_customers,), net spend in whole cents. A customer is in A while those who spent strictly
    more made less than 80 % of all spend, in B while they made less than 95 %: who crosses a limit is on its better side,
    and equal spend is one class. Only what was spent counts, so a customer whose refunds outweigh it takes nothing from the total.
    """
    spent = np.sort(monetary[monetary > 0])[::-1]
    if not spent.size:
        return [None, None]
    # whole cents: a sum of floats depends on the order, and a share of them falls on either side of its limit
    cents = np.rint(spent * 100).astype(np.int64)
    above = np.cumsum(cents) - cents
    total = int(cents.sum())
    return [spent[np.searchsorted(above, -(-total * end // 100)) - 1].item() for end in ABC_ENDS]


def class_abc(monetary, least):
    """Position in ABC_CLASSES of each customer: int array, shape (n_customers,). least: of fit_abc."""
    if least[0] is None:
        return np.full(len(monetary), 2)
    # searched upwards: below both is C, below the first alone B
    return 2 - np.searchsorted(np.array(least[::-1]), monetary, side="right")
