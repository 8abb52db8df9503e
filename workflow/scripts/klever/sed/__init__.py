"""Stellar masses: filter curves, the BC03 grid, a library of model spectra, and its comparison with photometry."""
