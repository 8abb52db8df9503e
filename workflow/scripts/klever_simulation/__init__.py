"""The simulated sky: lenses, galaxies, cubes and images. Shares no code with the analysis but constants and errors."""
