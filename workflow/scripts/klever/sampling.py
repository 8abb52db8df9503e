"""emcee, imported without what no step uses."""

import sys

__all__ = ["import_emcee"]


def import_emcee():
    """Return the package emcee, without scipy.stats: only its KDE move needs that, and it takes most of the time."""
    stats = "scipy.stats"
    if "emcee" not in sys.modules and stats not in sys.modules:
        sys.modules[stats] = None  # makes `from scipy.stats import ...` an ImportError, which emcee expects
        try:
            import emcee
        finally:
            del sys.modules[stats]
    import emcee

    return emcee
