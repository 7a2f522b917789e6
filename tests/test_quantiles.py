"""Quantiles of two distributions: SciPy's, without importing it."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import special

from autotts.evaluation.quantiles import normal_quantile, normal_tail, student_quantile

PROBABILITIES = [0.001, 0.025, 0.05, 0.3, 0.5, 0.8, 0.975, 0.995]


@pytest.mark.parametrize("degrees", [*range(1, 12), 29, 30, 59, 239, 2000, 32766])
def test_student_quantiles_are_scipys(degrees):
    ours = [student_quantile(p, degrees) for p in PROBABILITIES]
    np.testing.assert_allclose(ours, special.stdtrit(degrees, PROBABILITIES), 1e-9, 1e-12)


def test_normal_quantiles_are_scipys():
    ours = [normal_quantile(p) for p in PROBABILITIES]
    np.testing.assert_allclose(ours, special.ndtri(PROBABILITIES), 1e-13, 1e-15)
    values = np.linspace(-9, 9, 37)
    np.testing.assert_allclose([normal_tail(v) for v in values], special.ndtr(values), 1e-13)


@pytest.mark.parametrize(("probability", "degrees"), [(0, 5), (1, 5), (0.5, 0), (np.nan, 3)])
def test_there_is_no_quantile_of_nothing(probability, degrees):
    with pytest.raises(ValueError, match="no quantile"):
        student_quantile(probability, degrees)


def test_statistics_do_not_import_scipy():
    """It takes a fifth of a second, more than evaluating a controller on a store."""
    code = (
        "import sys, numpy\n"
        "from autotts.evaluation.statistics import accuracy_interval, detectable, signs\n"
        "accuracy_interval(numpy.eye(5), rng=numpy.random.default_rng(0))\n"
        "detectable(1.0, degrees=3), signs(numpy.ones(2), numpy.ones(2))\n"
        "print('scipy.special' in sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
