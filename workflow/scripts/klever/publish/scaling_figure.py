"""Star formation and metallicity against stellar mass (Curti et al. 2020, Fig. 6)."""

import numpy as np

from klever.population.relations import kashino19, mzr_curti20, mzr_ma16, mzr_steidel14, shivaei15, speagle14
from klever.publish.figure_style import CENTIMETRE, COLOURS, PAGE_WIDTH, sample_style, stamp_simulated

__all__ = ["draw_scaling_figure"]

_MASS = (7.0, 11.5)
_SFMS = ((0.07, COLOURS["neutral"]), (1.4, "#009E73"), (2.2, "#E69F00"))
_SFMS_SCATTER = 0.2  # dex, nominal (Sect. 4.1)
_KASHINO_SCATTER = 0.3  # dex, observed (Sect. 4.1)
_MA16 = ((1.4, "#E69F00"), (2.2, "#8B4513"))


def draw_scaling_figure(rows, relations, steidel14, curti20, ages, simulated):
    """Draw log SFR and 12+log(O/H) against log M of the galaxies.

    Parameters
    ----------
    rows : list of dict
        Of Table 3, whole galaxies; missing numbers NaN.
    relations : dict
        From `klever.population.relations.load_relations`.
    steidel14 : path-like
        ``mzr_steidel2014_stacks.csv``.
    curti20 : ndarray, shape (3, n)
        log M, 12+log(O/H) and scatter of local galaxies in bins of mass.
    ages : dict of float to float
        Age of the Universe (Gyr) at the redshifts 0.07, 1.4 and 2.2.
    simulated : bool

    Returns
    -------
    matplotlib.figure.Figure
        17 cm wide. Galaxies without a measured stellar mass are counted in the panels, not drawn. SFR that are not
        corrected for reddening are lower limits (arrows); metallicities flagged bimodal or at the edge of the
        calibrated range are drawn faint.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PAGE_WIDTH, 8.8 * CENTIMETRE))
    left, right = (figure.add_axes((0.075 + 0.495 * index, 0.13, 0.4, 0.755)) for index in (0, 1))
    mass = np.linspace(*_MASS, 200)
    _main_sequences(left, mass, relations, ages)
    _metallicity_relations(right, mass, relations, steidel14, curti20)
    drawn = [0, 0]
    for row in rows:
        if not np.isfinite(row["log_mstar"]):
            continue
        drawn[0] += _star_formation(left, row)
        drawn[1] += _metallicity(right, row)
    for axes, count, name in zip((left, right), drawn, ("sfr", "log_oh"), strict=True):
        without = sum(np.isfinite(row[name]) and not np.isfinite(row["log_mstar"]) for row in rows)
        text = f"{count} galax{'y' if count == 1 else 'ies'}" + (
            f", {without} without a measured mass" if without else ""
        )
        axes.text(0.97, 0.03, text, transform=axes.transAxes, ha="right", color=COLOURS["truth"], fontsize=6)
        axes.set(xlim=_MASS, xlabel=r"log($M_\star$ / M$_\odot$)")
        axes.legend(loc="upper left", fontsize=5.5, labelspacing=0.3)
    left.set(ylim=(-1.2, 3.2), ylabel=r"log(SFR$_{\mathrm{H}\alpha}$ / M$_\odot$ yr$^{-1}$)")
    right.set(ylim=(7.75, 9.25), ylabel="12 + log(O/H)")
    if simulated:
        stamp_simulated(figure, x=0.98, y=0.975)
    return figure


def _main_sequences(axes, mass, relations, ages):
    low, high = relations["SFMS_Speagle14"]["valid_logM"]
    for z, colour in _SFMS:
        sequence = speagle14(mass, ages[z])
        fitted = (mass >= low) & (mass <= high)
        axes.fill_between(
            mass, sequence - _SFMS_SCATTER, sequence + _SFMS_SCATTER, color=colour, alpha=0.13, linewidth=0
        )
        axes.fill_between(mass[fitted], sequence[fitted] - _SFMS_SCATTER, sequence[fitted] + _SFMS_SCATTER,
                          color=colour, alpha=0.22, linewidth=0, label=f"Speagle+14, $z={z:g}$")  # fmt: skip
    kashino = kashino19(mass, relations)
    shivaei, scatter = shivaei15(mass, relations)
    for line, spread, colour, label in (
        (kashino, _KASHINO_SCATTER, "#00734F", r"Kashino+19, $z\sim1.6$ (flattening curve)"),
        (shivaei, scatter, "#B87400", r"Shivaei+15, $z\sim2.3$"),
    ):
        axes.plot(mass, line, color=colour, label=label)
        for sign in (-1, 1):
            axes.plot(mass, line + sign * spread, color=colour, linestyle=":", linewidth=0.6)


def _metallicity_relations(axes, mass, relations, steidel14, curti20):
    log_mass, log_oh, scatter = curti20
    axes.fill_between(log_mass, log_oh - scatter, log_oh + scatter, color=COLOURS["neutral"], alpha=0.3, linewidth=0,
                      label="SDSS medians and scatter (Curti+20)")  # fmt: skip
    valid = (mass >= 7.95) & (mass <= 11.85)
    axes.plot(mass[valid], mzr_curti20(mass[valid], relations), color="#009E73", label="Curti+20, $z\\sim0$")
    axes.plot(*mzr_steidel14(steidel14), color="#CC79A7", marker="D", markersize=2.5,
              label=r"Steidel+14 (O3N2, C17), $z\sim2.3$")  # fmt: skip
    for z, colour in _MA16:
        axes.plot(mass, mzr_ma16(mass, z), color=colour, linestyle="--", label=f"Ma+16 (FIRE), $z={z:g}$")


def _star_formation(axes, row):
    if not row["sfr"] > 0:
        return 0
    y, error = np.log10(row["sfr"]), row["sfr_error"] / row["sfr"] / np.log(10)
    style = sample_style(row["lens"], row["z"])
    _errorbar(axes, row, y, (error, error), style)
    if row["dust_correction"] == "none":
        axes.annotate("", (row["log_mstar"], y + 0.25), (row["log_mstar"], y),
                      arrowprops={"arrowstyle": "->", "color": style["color"], "linewidth": 0.7})  # fmt: skip
    return 1


def _metallicity(axes, row):
    if not np.isfinite(row["log_oh"]):
        return 0
    faint = 0.35 if str(row["metallicity_flags"] or "") else 1.0
    errors = row["log_oh_error_minus"], row["log_oh_error_plus"]
    _errorbar(axes, row, row["log_oh"], errors, sample_style(row["lens"], row["z"]) | {"alpha": faint})
    return 1


def _errorbar(axes, row, y, y_error, style):
    x_error = [[row["log_mstar_error_minus"]], [row["log_mstar_error_plus"]]]
    errors = {"xerr": np.nan_to_num(x_error), "yerr": [[y_error[0]], [y_error[1]]]}
    axes.errorbar(row["log_mstar"], y, **errors, **style, linewidth=0.6, zorder=3)
