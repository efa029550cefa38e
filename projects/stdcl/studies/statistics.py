"""Differences between arms with 95 % confidence intervals."""
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats


class Difference(NamedTuple):
    """A difference in a measure, by default in top-1 (percentage points).

    The 95 % confidence interval is ``mean`` ± ``margin``. With fewer than
    three seeds, whose differences can be equal by chance, ``margin`` is NaN.
    ``seeds`` contains the difference for each fold and seed, except in means.
    """
    mean: float
    margin: float
    seeds: pd.Series

    @property
    def finding(self) -> str:
        """'better', 'worse', or 'inconclusive' if the interval contains 0."""
        if abs(self.mean) > self.margin:
            return 'better' if self.mean > 0 else 'worse'
        return 'inconclusive'


def compare(results: pd.DataFrame, arm: str, other: str,
            measure: str = 'top1_last') -> Difference:
    """Subtract a measure of ``other`` from that of ``arm``, seed by seed.

    Runs with the same fold and seed form the pairs of a paired t interval.
    ``measure`` is one of the columns of ``results``, :data:`.records.COLUMNS`.
    """
    one, two = (results[results.arm == name].set_index(['fold', 'seed'])
                [measure] for name in (arm, other))
    seeds = (one - two).dropna()
    margin = stats.t.ppf(0.975, len(seeds) - 1) * seeds.sem()
    return Difference(seeds.mean(), margin if len(seeds) > 2 else np.nan,
                      seeds)


def mean_of(parts: list[Difference], independent: bool = True) -> Difference:
    """Average differences with equal weights.

    The degrees of freedom follow the Welch-Satterthwaite equation. The margin
    is NaN if that of a part is, or if the parts are not ``independent``.
    """
    squares = np.array([part.seeds.sem()**2 for part in parts])
    freedoms = np.array([len(part.seeds) - 1 for part in parts])
    freedom = np.inf
    if squares.any():
        freedom = squares.sum()**2 / (squares**2 / freedoms).sum()
    margin = stats.t.ppf(0.975, freedom) * squares.sum()**0.5 / len(parts)
    if not independent or np.isnan([part.margin for part in parts]).any():
        margin = np.nan
    return Difference(np.mean([part.mean for part in parts]), margin,
                      pd.Series())
