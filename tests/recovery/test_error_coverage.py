"""Errors of line maps, as the workflow makes them, hold the truth as often as they say."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from error_coverage import coverage, realisations

SPAXELS_PER_ELEMENT = 9  # of the smoothed maps, whose spaxels are not independent


@pytest.mark.parametrize("correlated", [False, True])
def test_posterior_errors_cover_the_truth(correlated):
    table = coverage(realisations(15, "posterior", correlated, seed=500))
    for row in table:
        if row["spaxels"] < 300:
            continue
        allowance = 2.5 * np.sqrt(0.68 * 0.32 / (row["spaxels"] / SPAXELS_PER_ELEMENT))
        for name in ("flux", "velocity"):
            assert 0.62 - allowance < row[name] < 0.75 + allowance, row
    assert table[0]["off_100_km_s"] < 0.12
    assert table[1]["off_100_km_s"] < 0.04


def test_hessian_errors_of_velocity_do_not():
    table = coverage(realisations(8, "jacobian", False, seed=700))
    assert table[0]["velocity"] < 0.55
