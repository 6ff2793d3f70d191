"""How large a task's output is as a function of its input: constant, proportional or affine."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Form = Literal["constant", "proportional", "affine"]

_BETTER = 0.9
"""A form with more to it must reduce the error that much to be taken: all fit about equally where inputs are alike."""
LEAST_BYTES = 1e-9
"""Smaller outputs are taken for this one, as 0 has no logarithm; far below a byte, as they may be in other units."""
_FAR = 1000.0
"""How many times larger than any output seen one is taken to be at most."""


@dataclass(frozen=True, slots=True)
class OutputSize:
    """``fixed + ratio · input`` bytes.

    Attributes:
        form: Which of the three was chosen.
        fixed: Bytes without input.
        ratio: Bytes for each byte of input.
        most: No output is taken to be larger: along a chain, a ratio above 1 would grow beyond all bounds.
    """

    form: Form
    fixed: float
    ratio: float
    most: float

    @classmethod
    def fit(cls, inputs: "Floats", outputs: "Floats") -> "OutputSize":
        """Choose the form with the least leave-one-out error, in logarithms.

        Args:
            inputs: Bytes of input of at least one execution.
            outputs: Bytes of output of each.
        """
        import numpy as np

        outputs = np.maximum(LEAST_BYTES, outputs)
        logs = np.log(outputs)
        most = _FAR * float(outputs.max())
        best = cls("constant", math.exp(float(logs.mean())), 0.0, most)
        error = _left_out(logs)
        if len(outputs) < 3 or inputs.max() <= inputs.min():
            return best
        if inputs.min() > 0:
            ratios = logs - np.log(inputs)
            if (found := _left_out(ratios)) < _BETTER * error:
                best, error = cls("proportional", 0.0, math.exp(float(ratios.mean())), most), found
        if len(np.unique(inputs)) >= 3 and (affine := _affine(inputs, outputs)):
            fixed, ratio, found = affine
            if found < _BETTER * error:
                best = cls("affine", fixed, ratio, most)
        return best

    def at(self, inputs: "Floats") -> "Floats":
        """Return the bytes of outputs for some inputs."""
        import numpy as np

        return np.clip(self.fixed + self.ratio * inputs, LEAST_BYTES, self.most)


def _left_out(logs: "Floats") -> float:
    """Return the mean distance of each value from the mean of the others."""
    import numpy as np

    count = len(logs)
    return float(np.abs(logs - logs.mean()).mean() * count / (count - 1)) if count > 1 else 0.0


def _affine(inputs: "Floats", outputs: "Floats") -> tuple[float, float, float] | None:
    """Return intercept, slope and leave-one-out error of relative least squares; None if either is negative."""
    import numpy as np

    scale = float(inputs.max())
    rows = np.column_stack([np.ones(len(inputs)), inputs / scale]) / outputs[:, None]
    gram = rows.T @ rows
    if np.linalg.det(gram / np.sqrt(np.outer(np.diag(gram), np.diag(gram)))) < 1e-9:
        return None
    inverse = np.linalg.inv(gram)
    found = inverse @ rows.sum(axis=0)
    if (found < 0).any():
        return None
    leverage = np.minimum(1 - 1e-6, np.einsum("ij,jk,ik->i", rows, inverse, rows))
    # The residual that a sample has when it is left out; relative, so that 1 plus it is fit over target.
    relative = (rows @ found - 1) / (1 - leverage)
    error = float(np.abs(np.log(np.maximum(1e-3, 1 + relative))).mean())
    return float(found[0]), float(found[1]) / scale, error
