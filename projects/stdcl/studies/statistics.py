"""Differences between arms, with confidence intervals."""
from typing import Dict, List, NamedTuple, Optional

import numpy as np
import pandas as pd
from scipy import stats

from .study import Study

CONFIDENCE = 0.95


class Difference(NamedTuple):
    """A difference in top-1, in points, and its confidence interval.

    ``low`` and ``high`` are NaN with a single seed. ``seeds`` has the
    difference of each fold and seed.
    """
    mean: float
    low: float
    high: float
    seeds: pd.Series

    @property
    def finding(self) -> str:
        """'better' or 'worse' if the interval excludes 0."""
        if self.low > 0:
            return 'better'
        return 'worse' if self.high < 0 else 'inconclusive'


def compare(results: pd.DataFrame, arm: str,
            other: str) -> Optional[Difference]:
    """Compare two arms, paired by fold and seed, as in Student's t-test.

    Args:
        results (DataFrame): Rows of ``runs/studies/NAME.csv``.
        arm (str): The arm.
        other (str): The arm to subtract.

    Returns:
        Difference | None: None without a common seed.
    """
    one, two = (results[results.arm == name].set_index(['fold', 'seed'])
                .top1_last for name in (arm, other))
    seeds = (one - two).dropna()
    if seeds.empty:
        return None
    return _interval(seeds.mean(), seeds.sem(), len(seeds) - 1, seeds)


def mean_of(parts: List[Difference]) -> Difference:
    """Mean of independent differences, each with the same weight.

    The degrees of freedom are those of Welch and Satterthwaite. The interval
    covers the chance of trainings, for these arms and this test set.
    """
    squares = np.array([part.seeds.sem()**2 for part in parts])
    freedoms = np.array([len(part.seeds) - 1 for part in parts])
    freedom = np.inf
    if squares.any():
        freedom = squares.sum()**2 / (squares**2 / freedoms).sum()
    return _interval(np.mean([part.mean for part in parts]),
                     squares.sum()**0.5 / len(parts), freedom, pd.Series())


def _interval(mean: float, error: float, freedom: float,
              seeds: pd.Series) -> Difference:
    margin = stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * error
    return Difference(mean, mean - margin, mean + margin, seeds)


def find_differences(study: Study,
                     results: pd.DataFrame) -> Dict[str, Difference]:
    """Differences of all arms with ``against``, and of all means."""
    found = {arm: compare(results, arm, other)
             for arm, other in study.against.items()}
    found = {arm: value for arm, value in found.items() if value is not None}
    for name, arms in study.means.items():
        if set(arms) <= found.keys():
            found[name] = mean_of([found[arm] for arm in arms])
    return found
