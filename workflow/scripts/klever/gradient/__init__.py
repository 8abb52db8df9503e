"""Radial profiles and gradients of the abundance, and what they leave out (paper, Sect. 4.2, 4.5)."""
