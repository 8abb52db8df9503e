import numpy as np
from lensing_scene import DEC, RA, wcs_header

from klever.inspection.coverage import uncovered


def test_galaxies_that_the_maps_do_not_cover_are_named():
    header, data = wcs_header((40, 60), 0.5), np.ones((40, 60))
    holes = data.copy()
    holes[:5] = np.nan
    maps = {"kappa": (data, header, header), "gamma": (holes, header, header)}
    north = 1 / 3600
    places = {"centre": (RA, DEC), "hole": (RA, DEC - 9 * north), "north": (RA, DEC + 20 * north), "far": (RA + 180, 0)}
    hole, beyond, far = uncovered(maps, places)
    assert "cover hole: its gamma is NaN there (pixel" in hole
    assert "cover north: its kappa ends before it" in beyond and "cover far: its kappa ends" in far
    assert uncovered(maps, {}) == []
