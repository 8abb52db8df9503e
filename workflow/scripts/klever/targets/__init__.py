"""Which galaxies to observe: lines in the bands, under the OH lines, in the atmosphere's windows (paper, Sect. 2.1)."""
