"""Least squares with coefficients of 0 or more, for times: what counts is the relative error.

::

    X = a + b·n + c/v + d·n/v + …        n: input bytes, v: vCPUs

With a handful of columns, the solution is found by trying every subset of them: exact, and without SciPy's import.
"""

from itertools import combinations
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST_S = 1e-6
"""Shorter times are taken for this one: relative errors of 0 are not defined."""

_SAME_PLANE = 1e-12
"""Columns whose (normalized) Gram matrix has a smaller determinant say the same thing."""


def nonnegative_fit(columns: "NDArray[np.float64]", target: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return the coefficients of 0 or more with the least sum of squared relative errors, then centred.

    Least squares of relative errors fall short of the middle where times scatter; all coefficients are therefore
    multiplied by the median of target over fit, after which half of the targets lie above the fit.

    Args:
        columns: One row a sample, one column a coefficient; no column is zero throughout.
        target: Positive values, one a sample.
    """
    import numpy as np

    scaled = columns / target[:, None]
    lengths = np.sqrt((scaled * scaled).sum(axis=0))
    scaled = scaled / lengths
    gram, wanted = scaled.T @ scaled, scaled.sum(axis=0)
    best, chosen = np.inf, np.zeros(columns.shape[1])
    for count in range(1, columns.shape[1] + 1):
        for subset in combinations(range(columns.shape[1]), count):
            part = gram[np.ix_(subset, subset)]
            if np.linalg.det(part) < _SAME_PLANE:
                continue
            found = np.linalg.solve(part, wanted[list(subset)])
            loss = float(found @ part @ found - 2 * found @ wanted[list(subset)])
            if (found >= 0).all() and loss < best - 1e-12:
                best, chosen = loss, np.zeros(columns.shape[1])
                chosen[list(subset)] = found
    coefficients: NDArray[Any] = chosen / lengths
    fitted = columns @ coefficients
    positive = fitted > 0
    return coefficients * np.median(target[positive] / fitted[positive]) if positive.any() else coefficients
