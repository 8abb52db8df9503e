"""Bands of a galaxy on one grid: shifts measured, adjusted together, and applied (paper, Sect. 3.1, 3.2)."""
