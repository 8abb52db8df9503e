"""From reconstructed exposures to combined cubes: sky, cosmic rays, response, alignment, combination (Sect. 2.2)."""
