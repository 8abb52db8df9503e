"""Oxygen abundance from strong lines: calibrations, Eq. 1 and its posterior, maps (paper, Sect. 3.4)."""
