"""Spatially resolved metallicities of lensed galaxies from integral-field cubes, after Curti et al. (2020).

The modules follow the flow of the data: ``readers`` and ``cube`` (ingest), ``spectral_lines``, ``skylines`` and
``linefit`` (lines), ``alignment`` (align), ``lensmodels`` (lens), ``sourceplane`` (source), ``metallicity``,
``annuli``, ``gradients``, and ``figures`` (publish).  None of them knows Snakemake.
"""

__version__ = "0.1.0"
