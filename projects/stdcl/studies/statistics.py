"""Differences between arms with 95 % confidence intervals."""
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats


class Difference(NamedTuple):
    """A difference in a measure, by default in top-1 (percentage points).

    The 95 % confidence interval is ``mean`` ± ``margin``. ``margin`` is NaN
    for fewer than three seeds, and if all differences are equal.
    ``seeds`` contains the difference for each fold and seed.
    """
    mean: float
    margin: float
    seeds: pd.Series

    @property
    def finding(self) -> str:
        """'better' (above 0), 'worse', or 'inconclusive' (perhaps chance)."""
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
    return estimate((one - two).dropna())


def mean_of(parts: list[Difference]) -> Difference:
    """Average differences fold by fold and seed by seed, with equal weights.

    Seeds that a part lacks are omitted. The parts may be correlated, because
    runs with the same seed have the same test data and order of sequences.
    """
    return estimate(pd.concat([part.seeds for part in parts],
                              axis=1).dropna().mean(axis=1))


def estimate(seeds: pd.Series) -> Difference:
    """Return the mean of differences with its t interval."""
    margin = stats.t.ppf(0.975, len(seeds) - 1) * seeds.sem()
    if len(seeds) < 3 or np.ptp(seeds) < 3e-4:  # records have 4 decimals
        margin = np.nan
    return Difference(seeds.mean(), margin, seeds)
