"""Own fits of lens models: galaxy lenses to an image of their arcs, cluster lenses to positions of multiple images."""
