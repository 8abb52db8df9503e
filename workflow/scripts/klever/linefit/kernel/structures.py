"""What the compiled functions share: how they are compiled, and the arrays they work on."""

from collections import namedtuple

import numpy as np
from numba import njit

__all__ = [
    "TABLE_REACH",
    "TABLE_STEP",
    "Nodes",
    "Problem",
    "Scratch",
    "gaussian_tables",
    "inner",
    "make_scratch",
    "outer",
]

# sums may be reordered (so that they run on vector units), but NaN and infinity keep their meaning
_OPTIONS = {
    "cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz", "arcp"},
}  # fmt: skip
outer = njit(**_OPTIONS)
# inner functions borrow the arrays of their callers: counting references would take longer than the arithmetic
inner = njit(**_OPTIONS, _nrt=False)

TABLE_REACH = 6.5  # sigma; beyond, a Gaussian is 0 or 1 to ten digits
TABLE_STEP = 1.0 / 64

Problem = namedtuple(
    "Problem",
    "edges density x rest owner coefficient n_columns sigma_instrument has_bound top bottom ratio_low ratio_high "
    "low high main_column pad step half_range cdf pdf",
)
"""A group of lines on a padded wavelength axis; `klever.linefit.compiled` fills it."""

Nodes = namedtuple("Nodes", "velocity dispersion start length profile")
"""Places in velocity and dispersion, and the profiles of all lines there, shape (n_nodes, n_lines, longest)."""

Scratch = namedtuple(
    "Scratch",
    "y w wy profile d_velocity d_dispersion first last cdf pdf t offset curve matrix right amplitude factor pivots "
    "joint work inverse joint_factor moments projections",
)
"""Arrays that the functions for one spectrum hand to each other; see `make_scratch` for their shapes."""


def gaussian_tables():
    """Cumulative distribution and density of the unit Gaussian on the grid that `line_profiles` expands around."""
    from scipy.special import ndtr

    t = np.arange(-TABLE_REACH, TABLE_REACH + TABLE_STEP / 2, TABLE_STEP)
    return ndtr(t), np.exp(-0.5 * t * t) / np.sqrt(2 * np.pi)


@outer
def make_scratch(problem):
    """Allocate the working arrays of one problem."""
    n_lines, n, size = problem.rest.size, problem.x.size, problem.n_columns + 2
    joint = size + 2
    return Scratch(
        y=np.zeros(n), w=np.zeros(n), wy=np.zeros(n), profile=np.zeros((n_lines, n)),
        d_velocity=np.zeros((n_lines, n)), d_dispersion=np.zeros((n_lines, n)), first=np.zeros(n_lines, np.int64),
        last=np.zeros(n_lines, np.int64), cdf=np.zeros(n + 1), pdf=np.zeros(n + 1), t=np.zeros(n + 1),
        offset=np.zeros(n + 1), curve=np.zeros((2, n)), matrix=np.zeros((size, size)), right=np.zeros(size),
        amplitude=np.zeros(size), factor=np.zeros((joint, joint)), pivots=np.zeros(joint),
        joint=np.zeros((joint, joint)), work=np.zeros((3, joint)), inverse=np.zeros((joint, joint)),
        joint_factor=np.zeros((joint, joint)), moments=np.zeros(3), projections=np.zeros(2),
    )  # fmt: skip
