"""Whether chances were too high or too low in all: for the messages of models and for the page, whose rooms do not share code."""

import numpy as np

# standard deviations: two-sided 1 %
BEYOND_CHANCE = 2.576


def judge_level(tenths):
    """(mean chance foretold, share that came, verdict) of chances. tenths: (foretold, came, rows) of each, as of deciles.

    verdict: 'high' or 'low' where chance alone, were the forecast right, would not come so far in 99 of 100 tests; else None. The
    sum of independent events has the variance of its deciles at most, so it is rather told too seldom.
    """
    foretold, came, rows = np.array(tenths, float).T
    spread = np.sqrt((foretold * (1 - foretold) * rows).sum()) / rows.sum()
    foretold, came = (float((shares * rows).sum() / rows.sum()) for shares in (foretold, came))
    gap = foretold - came
    verdict = None if abs(gap) <= BEYOND_CHANCE * spread else "high" if gap > 0 else "low"
    return foretold, came, verdict
