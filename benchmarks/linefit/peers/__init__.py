"""One module per package: NAME, PACKAGES, SPAXELS, LIMITS and ``solver(problem)``, which returns row -> `Solution`."""
