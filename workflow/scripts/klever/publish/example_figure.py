"""Metallicity maps and gradients of example galaxies (Curti et al. 2020, Fig. 7)."""

from klever.publish.figure_style import CENTIMETRE, PAGE_WIDTH, stamp_simulated
from klever.publish.galaxy_page import draw_example
from klever.publish.gradient_panel import draw_legend, rows_of

__all__ = ["draw_example_figure"]

_LEFT, _RIGHT, _GAP = 0.068, 0.932, 0.50  # edges of the panels over the width, gap over the side of a panel
_ABOVE, _BETWEEN, _BELOW = 1.6 * CENTIMETRE, 2.0 * CENTIMETRE, 1.6 * CENTIMETRE


def draw_example_figure(galaxies, simulated):
    """Draw Fig. 7; call within `klever.publish.figure_style.paper_style`.

    Parameters
    ----------
    galaxies : list of dict
        ``name``; ``source``, ``metallicity`` (MapSet); ``annuli``, ``gradient``, ``source_psf``, ``properties``
        (tables without masked numbers); one row of panels each. A pair shows the gradient of its first region.
    simulated : bool

    Returns
    -------
    matplotlib.figure.Figure
        17 cm wide. From left to right HST F160W and Halpha in the source plane, 12 + log(O/H) with the elliptical
        apertures and the PSF (FWHM, black), and the metallicity of the annuli against radius.
    """
    from matplotlib.figure import Figure

    rows = max(len(galaxies), 1)
    side = PAGE_WIDTH * (_RIGHT - _LEFT) / (4 + 3 * _GAP)
    height = _ABOVE + rows * side + (rows - 1) * _BETWEEN + _BELOW
    figure = Figure(figsize=(PAGE_WIDTH, height), layout=None)
    grid = figure.add_gridspec(rows, 4, left=_LEFT, right=_RIGHT, top=1 - _ABOVE / height, bottom=_BELOW / height,
                               wspace=_GAP, hspace=_BETWEEN / side)  # fmt: skip
    gradients = []
    for index, galaxy in enumerate(galaxies):
        panels = [figure.add_subplot(grid[index, column]) for column in range(4)]
        products = {key: galaxy[key] for key in ("source", "metallicity", "annuli", "gradient", "source_psf",
                                                 "properties")}  # fmt: skip
        draw_example(panels, **products)
        panels[0].text(0.0, 1.17, _heading(galaxy), transform=panels[0].transAxes, ha="left", va="bottom",
                       fontsize=7, fontweight="bold")  # fmt: skip
        gradients.append(panels[3])
    draw_legend(figure, gradients, 0.45 * CENTIMETRE / height)
    if not galaxies:
        figure.text(0.5, 0.5, "no galaxy is chosen", ha="center", va="center")
    if simulated:
        stamp_simulated(figure, x=0.985, y=1 - 0.15 * CENTIMETRE / height)
    return figure


def _heading(galaxy):
    """Name, and the gradient that the last panel shows."""
    for row in rows_of(galaxy["gradient"], aperture="elliptical")[:1]:
        if str(row["state"]) == "ok":
            slope = f"${float(row['slope']):+.3f} \\pm {float(row['slope_error']):.3f}$ dex/kpc"
            region = "" if str(row["region"]) == "all" else f", {row['region']}"
            return f"{galaxy['name']}{region}    {slope}, {row['resolved']}"
    return galaxy["name"]
