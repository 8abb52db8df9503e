"""Make resources/simulation/galaxies.tsv: the simulated twins of the galaxies of Curti et al. (2020).

Run from the project's root: ``PYTHONPATH=workflow/scripts python -m klever_simulation.sample``.

Tables 3 and 4 give star formation rate, stellar mass, metallicity and gradient where they print them; everything else
is a default stated here. Reddening and the noise of each band (`depth_*`) are free: they are chosen so that the lines
of Table 2, and only those, reach S/N 3 within 0.6 arcsec, computed from the noise-free cube and the noise model, and
so that the lines of Table 4's diagnostics are deep enough for a map, which comes first where both cannot be had (Table
4 uses lines that Table 2 does not list).  What differs from Table 2 is printed.
"""

import csv
import json
import tempfile
from pathlib import Path

import numpy as np
import yaml

from klever_simulation.emission import EXTINCTION
from klever_simulation.galaxies import read_rows, seeded
from klever_simulation.noise import correlation_kernel, noise_sigma, read_oh_lines
from klever_simulation.scene import place, render
from klever_simulation.spectra import Detector, model_cube

COLUMNS = [
    "galaxy", "component", "source_name", "east", "north", "field_size", "field_east", "field_north", "log_mstar",
    "sfr", "log_oh", "slope_dex_per_kpc", "effective_radius_kpc", "axis_ratio", "position_angle", "v_rot", "sigma0",
    "v_sys", "ebv", "siii_ratio", "depth_YJ", "depth_J", "depth_H", "depth_K", "agn", "source",
]  # fmt: skip
APERTURE_RADIUS = 0.6  # arcsec
DETECTION_SNR = 3.0
MAP_SNR = 20.0  # in the pseudo-fibre, of a line that a metallicity map needs
DIAGNOSTIC_LINES = {"R3": ("[OIII]", "Hb"), "N2": ("Ha", "[NII]"), "S2": ("Ha", "[SII]"), "O3O2": ("[OII]", "[OIII]")}
DETECTED_AS = {  # names of Table 2
    "[OII]": ("OII3726", "OII3729"), "Hb": ("Hbeta",), "[OIII]": ("OIII5007",), "Ha": ("Halpha",),
    "[NII]": ("NII6584",), "[SII]": ("SII6717", "SII6731"), "[SIII]": ("SIII9531",),
}  # fmt: skip
PAIR = {"macs0451": {"north": (0.05, 0.10, 60.0), "south": (-0.05, -0.10, -60.0)}}  # arcsec east, north; km/s
SINFONI = {"horseshoe_west": (0.0, 0.0), "horseshoe_full": (0.0, -2.0), "macs0451": (0.0, 0.0), "cswa164": (0.0, 0.0)}
MAXIMUM_SLOPE = 0.1  # dex/kpc


EXPLANATION = """\
# Simulated galaxies; made by klever_simulation.sample, one row per galaxy and component. Column `source`: where the
# numbers come from (Tables 3 and 4 of Curti et al. 2020; the rest are defaults of klever_simulation.sample).
# source_name: galaxies of one name are one source (clumps and ratio offsets are drawn from it)
# east, north: centre of the component from the source's position, arcsec in the source plane
# field_size, field_east, field_north: IFU field and its shift from the reference image position, arcsec
# log_mstar, sfr (Msun, Msun/yr), log_oh (Halpha-weighted mean of 12 + log(O/H)), slope_dex_per_kpc (projected radius)
# effective_radius_kpc, axis_ratio, position_angle (deg, north through east), v_rot, sigma0, v_sys (km/s)
# ebv (nebular, mag), siii_ratio ([SIII]9531/Halpha as observed), depth_* (factor on the noise of a band), agn
"""


def _table(path, delimiter=","):
    with Path(path).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream, delimiter=delimiter))


def draft_rows(root, seed):
    """Rows of all galaxies before reddening and depths are chosen."""
    published = Path(root) / "resources/published"
    table2 = {row["id"]: row for row in _table(published / "table2_sample.csv")}
    table3 = {row["id"]: row for row in _table(published / "table3_global_properties.csv")}
    table4 = {row["id"]: row for row in _table(published / "table4_gradients_elliptical.csv")}
    rows = []
    for galaxy in _table(Path(root) / "config/galaxies.tsv", "\t"):
        name = galaxy["galaxy"]
        source_name = "horseshoe" if name.startswith("horseshoe") else name
        for component, (east, north, v_sys) in PAIR.get(name, {"all": (0.0, 0.0, None)}).items():
            key = source_name if component == "all" else f"{name}_{component}"
            rows.append(
                _row(galaxy, component, key, source_name, table2[name], table3.get(key, {}), table4.get(key), seed)
            )
            rows[-1].update(east=east, north=north)
            if v_sys is not None:
                rows[-1]["v_sys"] = v_sys
    return rows


def _row(galaxy, component, key, source_name, lines, properties, gradient, seed):
    name, rng = galaxy["galaxy"], seeded(seed, key, "shape")
    seen = " ".join(lines[f"lines_{band}"] for band in ("YJ", "H", "K"))
    defaults = []

    def value(column, default):
        text = properties.get(column, "")
        if not text:
            defaults.append(column.split("_")[0])
        return float(text) if text else default

    sfr = value("sfr_msun_per_yr", 5.0 if "[" in seen else 0.3)
    log_mstar = value("log_mstar_msun", 9.5)
    log_oh = value("logoh12", 8.4)
    slope = float(gradient["gradient_dex_per_kpc"]) if gradient else 0.0
    if not gradient:
        defaults.append("slope")
    agn = "AGN" in lines["note"]
    return {
        "galaxy": name, "component": component, "source_name": source_name,
        "field_size": 8.0 if name in SINFONI else 3.0,
        "field_east": SINFONI.get(name, (0.0, 0.0))[0], "field_north": SINFONI.get(name, (0.0, 0.0))[1],
        "log_mstar": log_mstar, "sfr": sfr, "log_oh": log_oh,
        "slope_dex_per_kpc": float(np.clip(slope, -MAXIMUM_SLOPE, MAXIMUM_SLOPE)),
        # own defaults, of the order of star-forming discs at z ~ 2; not from the paper
        "effective_radius_kpc": round((1.2 if component != "all" else 10 ** (0.45 + 0.2 * (log_mstar - 10.0))), 2),
        "axis_ratio": round(rng.uniform(0.45, 0.9), 2), "position_angle": round(rng.uniform(0, 180), 0),
        "v_rot": round(float(np.clip(130 * 10 ** (0.25 * (log_mstar - 9.7)), 60, 250)), 0),
        "sigma0": 55.0 if float(galaxy["z"]) > 1.9 else 45.0, "v_sys": round(rng.normal(0, 15), 1),
        "ebv": 0.0, "siii_ratio": 0.15 if "[SIII]" in seen else 0.06,
        "depth_YJ": 1.0, "depth_J": 1.0, "depth_H": 1.0, "depth_K": 1.0, "agn": "yes" if agn else "no",
        "source": "Tables 3, 4" + (f"; defaults: {', '.join(defaults)}" if defaults else ""),
        "_mapped": {entry for ratio in (gradient or {"diagnostics": ""})["diagnostics"].split("+")
                    for entry in DIAGNOSTIC_LINES.get(ratio, ())},
        "_target": 80.0 if gradient else ((40.0 if agn else 25.0) if seen.strip() else 2.0),
    }  # fmt: skip


def write_rows(path, rows):
    """Write the table; keys that start with an underscore are left out."""
    with Path(path).open("w", newline="", encoding="utf-8") as stream:
        stream.write(EXPLANATION)
        writer = csv.DictWriter(stream, COLUMNS, delimiter="\t", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def aperture_snr(scene, rest, detector, psf_fwhm, sigma):
    """S/N of each entry of Table 2 that lies in the band, within the pseudo-fibre on the emission peak, at depth 1.

    Channels more than five times as noisy as the median are masked, as the analysis does; an entry less than half of
    whose line is left is not returned.
    """
    z, n = float(scene["z"]), detector.n_spaxels
    inside = {name for name, wave in rest.items() if detector.edges[0] < wave * 1e-4 * (1 + z) < detector.edges[-1]}
    wanted = {entry: lines for entry, lines in DETECTED_AS.items() if set(lines) <= inside}
    if "[SIII]" not in wanted and "SIII9069" in inside:
        wanted["[SIII]"] = ("SIII9069",)
    models = {name: model_cube(scene, rest, detector, psf_fwhm, lines=[name]) for ls in wanted.values() for name in ls}
    if not models:
        return {}
    brightest = max(models.values(), key=lambda model: model.cube.sum())
    image = np.sum(brightest.cube, axis=0)
    cy, cx = np.unravel_index(image.argmax(), image.shape)
    yy, xx = np.mgrid[:n, :n]
    aperture = np.hypot(xx - cx, yy - cy) * detector.spaxel < APERTURE_RADIUS
    kernel = correlation_kernel()
    padded = np.pad(aperture.astype(float), 6)
    spread = np.apply_along_axis(np.convolve, 0, np.apply_along_axis(np.convolve, 1, padded, kernel), kernel)
    noise = sigma * np.sqrt(np.sum(spread**2))
    good = noise < 5 * np.median(noise)
    result = {}
    for entry, lines in wanted.items():
        spectrum = sum(models[name].cube[:, aperture].sum(1) for name in lines)
        if spectrum[good].sum() > 0.5 * spectrum.sum():
            result[entry] = float(np.sqrt(np.sum((spectrum[good] / noise[good]) ** 2)))
    return result


def choose(snr, expected, target, mapped=()):
    """Choose reddening and the depth of each band.

    Parameters
    ----------
    snr : dict of dict
        Band to S/N of each entry without dust, at depth 1, for the intrinsic Halpha of the galaxy.
    expected : dict of set
        Band to the entries of Table 2.
    target : float
        S/N wanted of the brightest line.
    mapped : collection of str
        Entries that a metallicity map needs.

    Returns
    -------
    (float, dict)
        E(B-V) and depth of each band.
    """
    depths = np.geomspace(0.1, 10.0, 81)
    best = (-np.inf, 0.0, {})
    for ebv in np.round(np.arange(0.0, 0.85, 0.05), 2):
        total, chosen = -3.0 * abs(ebv - 0.2), {}
        for band, entries in snr.items():
            score = np.zeros(depths.size)
            seen = _dimmed(entries, ebv, depths)
            margin = (
                0.18 if expected[band] else 0.35
            )  # dex from the threshold; an empty band can be as noisy as it likes
            for entry, values in seen.items():
                distance = np.log10(values / DETECTION_SNR) * (1 if entry in expected[band] else -1)
                score += 10.0 * (distance >= 0) + 3.0 * np.clip(distance / margin, -1, 1)
                if entry in mapped:
                    score += 100.0 * np.minimum(np.log10(values / MAP_SNR), 0.0)
            if seen:
                score -= 3.0 * np.abs(np.log10(max(seen.values(), key=np.max) / target))
            score -= 0.1 * np.abs(np.log10(depths))
            pick = int(score.argmax())
            total += score[pick]
            chosen[band] = round(float(depths[pick]), 3)
        if total > best[0]:
            best = (total, float(ebv), chosen)
    return best[1:]


def _dimmed(entries, ebv, depths):
    """S/N behind dust; [SIII] is tied to the dimmed Halpha."""
    coefficient = {entry: EXTINCTION["Halpha" if entry == "[SIII]" else DETECTED_AS[entry][0]] for entry in entries}
    return {entry: snr * 10 ** (-0.4 * coefficient[entry] * ebv) / depths for entry, snr in entries.items()}


def main(root=".", lenses=None, seed=2020):
    """Write the table and print what it reaches; `lenses` is resources/simulation/lenses.yaml unless given."""
    root = Path(root)
    lenses = lenses or root / "resources/simulation/lenses.yaml"
    resources, target = root / "resources", root / "resources/simulation/galaxies.tsv"
    rows = draft_rows(root, seed)
    draft = Path(tempfile.mkdtemp()) / target.name
    write_rows(draft, rows)
    calibrations = json.loads((resources / "calibrations.json").read_text(encoding="utf-8"))
    lines = yaml.safe_load((resources / "lines.yaml").read_text(encoding="utf-8"))["lines"]
    rest = {name: entry["wavelength"] for name, entry in lines.items()}
    bands = yaml.safe_load((resources / "instruments.yaml").read_text(encoding="utf-8"))
    sky = read_oh_lines(resources / "oh_lines_rousselot2000.dat")
    table2 = {row["id"]: row for row in _table(resources / "published/table2_sample.csv")}
    observations = _table(root / "config/observations.tsv", "\t")
    matched = total = 0
    for galaxy in _table(root / "config/galaxies.tsv", "\t"):
        name = galaxy["galaxy"]
        settings = {"galaxy": name, "z": float(galaxy["z"]), "ra": float(galaxy["ra"]), "dec": float(galaxy["dec"]),
                    "lens": galaxy["lens"], "seed": seed, "components": read_rows(draft, name)}  # fmt: skip
        setting = place(lenses, calibrations, settings)
        scene = render(setting, list(rest), 0.1)
        scene.update(z=setting.z, field_x=setting.field[0], field_y=setting.field[1], line_names=list(rest),
                     reference_wavelength=1.5392, continuum_slope=-1.5)  # fmt: skip
        snr, expected = {}, {}
        for observation in observations:
            if observation["galaxy"] != name:
                continue
            band, instrument = observation["band"], observation["instrument"]
            entry = bands[instrument][band]
            detector = Detector(instrument, band, tuple(entry["range"]), entry["resolution"])
            snr[band] = aperture_snr(scene, rest, detector, float(observation["psf_fwhm"]), noise_sigma(detector, sky))
            expected[band] = set(table2[name][f"lines_{'YJ' if band == 'J' else band}"].split("+")) - {""}
        mine = [row for row in rows if row["galaxy"] == name]
        ebv, depth = choose(snr, expected, mine[0]["_target"], mine[0]["_mapped"])
        for row in mine:
            row.update(ebv=ebv, **{f"depth_{band}": value for band, value in depth.items()})
        report = []
        for band, entries in snr.items():
            reached = {e: float(v[0]) for e, v in _dimmed(entries, ebv, np.array([depth[band]])).items()}
            for entry in expected[band] | set(reached):
                total += 1
                good = (reached.get(entry, 0.0) >= DETECTION_SNR) == (entry in expected[band])
                matched += good
                report.append(f"{band}:{entry} {reached.get(entry, 0.0):.1f}" + ("" if good else " (!)"))
        print(f"{name:26s} E(B-V) {ebv:.2f} depth {depth}  " + ", ".join(sorted(report)))
    horseshoe = {row["galaxy"]: row for row in rows if row["source_name"] == "horseshoe"}
    horseshoe["horseshoe_full"]["ebv"] = horseshoe["horseshoe_west"]["ebv"]  # the same source
    write_rows(target, rows)
    print(f"{matched} of {total} entries as in Table 2 ({100 * matched / total:.0f} per cent)")


if __name__ == "__main__":
    main()
