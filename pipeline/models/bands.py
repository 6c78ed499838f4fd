"""High, medium and low from a probability, steady from night to night."""

import polars as pl

MARGIN = 0.03


def choose_bands(scores, probability, limits, previous=None, margin=MARGIN):
    """The band of each row as a series, in its order.

    scores: frame with customer_id and the probability column. limits: (band, from) from the highest band down, the last from
    0. previous: the last night's customer_id and band, or None. A customer keeps the last night's band while the
    probability lies within that band widened by margin on both sides; else, and who had none, gets the band of the probability.
    So the path matters only within margin of a limit, and running a night again changes nothing.
    """
    value = pl.col(probability)
    plain = pl.lit(limits[-1][0])
    for band, begins in reversed(limits[:-1]):
        plain = pl.when(value >= begins).then(pl.lit(band)).otherwise(plain)
    if previous is None or len(previous) == 0:
        return scores.select(band=plain)["band"]
    ends = [2.0, *(begins for _, begins in limits[:-1])]
    keeps = pl.any_horizontal(
        (pl.col("band_before") == band) & (value >= round(begins - margin, 6)) & (value < round(end + margin, 6))
        for (band, begins), end in zip(limits, ends, strict=True)
    )
    before = previous.rename(dict(zip(previous.columns, ("customer_id", "band_before"), strict=True)))
    joined = scores.select("customer_id", probability).join(before, on="customer_id", how="left", maintain_order="left")
    return joined.select(band=pl.when(keeps.fill_null(False)).then("band_before").otherwise(plain))["band"]
