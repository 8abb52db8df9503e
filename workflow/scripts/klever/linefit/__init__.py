"""Emission-line fitting: many spectra at once (`varpro`), maps of a cube (`cubefit`), pseudo-fibres (`aperture`)."""
