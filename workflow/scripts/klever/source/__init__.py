"""From the image plane to the source plane, with errors, PSF and magnification (paper, Sect. 3.2.3)."""
