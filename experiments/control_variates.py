"""Means with standard errors from one long run: batch means with control variates.

    mean of X = intercept of the regression of X's batch means on those of controls C, E[C] = 0

A control is a figure whose mean is known to be zero whatever the market does, such as what the
outside price did in a block less its expectation, given what the block began with. The regression
takes out of X what the controls explain; coefficients are fitted, so that a useless control does no
harm. Batches are long against the memory of the run, hence nearly independent, and the standard
error is that of the intercept.
Source: Lavenberg and Welch 1981, Management Science 27(3); Law, Simulation Modeling and Analysis.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BATCHES = 100


class Estimate(NamedTuple):
    """A mean and its standard error."""

    mean: float
    standard_error: float


def batch_means(values: NDArray[np.float64], batches: int = BATCHES) -> NDArray[np.float64]:
    """Means of so many batches of equal length, a row each; what is left over at the end goes."""
    length = len(values) // batches
    return values[: length * batches].reshape(batches, length, -1).mean(axis=1)


def estimates(
    values: NDArray[np.float64], controls: NDArray[np.float64], batches: int = BATCHES
) -> list[Estimate]:
    """An estimate for each column of `values`; rows are observations in their order.

    Raises ValueError where there are fewer rows than batches.
    """
    if len(values) < batches:
        raise ValueError(f"{len(values)} observations are too few for {batches} batches")
    means, known = batch_means(values, batches), batch_means(controls, batches)
    scale = known.std(axis=0)
    known = known[:, scale > 0] / scale[scale > 0]
    design = np.column_stack([np.ones(batches), known])
    fitted = np.linalg.lstsq(design, means, rcond=None)[0]
    residual = means - design @ fitted
    variance = (residual**2).sum(axis=0) / (batches - design.shape[1])
    spread = np.linalg.inv(design.T @ design)[0, 0]
    errors = np.sqrt(variance * spread)
    return [Estimate(float(m), float(e)) for m, e in zip(fitted[0], errors, strict=True)]
