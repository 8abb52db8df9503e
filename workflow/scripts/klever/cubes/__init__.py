"""Cubes: the canonical one, the formats that are read into it, its noise and its sky lines."""
