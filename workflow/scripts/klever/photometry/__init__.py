"""Broad-band photometry: images in flux units, matched resolution, the galaxy's aperture, fluxes and their errors."""
