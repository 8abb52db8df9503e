"""Magnifications by several models of one field, their figure and table, and how models are configured."""

import numpy as np
import pytest
import yaml
from test_config import LENSES, MAPS, ROOT, Folder

from klever.errors import InputError
from klever.grids import sky_to_offsets, tangent_header
from klever.maps import Map, MapSet
from klever.publish.magnification_models import draw_models, model_spread
from klever.publish.magnification_table import magnification_latex, magnification_rows, published_magnifications
from klever.row_tables import Column, read_table, write_table
from klever_simulation.lenses import load_lens
from magnification_models import compare_magnification_models
from simulate_alternatives import simulate_alternatives

COSMOLOGY = {"H0": 67.8, "Om0": 0.308, "Ode0": 0.69}
LENS = {
    "ra": 40.0, "dec": -10.0, "z_lens": 0.35, "maps": {"size": 40.0, "range_pixel_scale": 0.5},
    "errors": {"halo": {"sigma": 0.02, "ellipticity": 0.02}},
    "components": [{"name": "halo", "group": "halo", "type": "dpie", "x": 0.0, "y": 0.0, "sigma": 600.0, "core": 2.0,
                    "cut": 200.0, "ellipticity": 0.2, "angle": 30.0},
                   {"name": "member", "group": "members", "type": "dpie", "x": -9.0, "y": 8.0, "sigma": 100.0,
                    "core": 0.3, "cut": 5.0}],
}  # fmt: skip
KINDS = ("x_deflection", "y_deflection", "kappa", "gamma")


def test_spread_of_known_numbers():
    mu = np.exp(np.random.default_rng(3).normal(np.log(4.0), 0.1, 20000))
    row = model_spread(mu)
    assert row["models_median"] == pytest.approx(4.0, rel=0.01) and row["n_models"] == 20000
    assert row["systematic"] == pytest.approx(0.1, rel=0.03)  # of a narrow log-normal: its width
    assert row["length_systematic"] == pytest.approx(0.05, rel=0.03)  # a length goes as mu^-1/2


def test_spread_of_equal_models_is_zero_and_of_one_unknown():
    assert model_spread([3.0] * 5)["systematic"] == 0
    alone = model_spread([3.0, np.nan])
    assert alone["n_models"] == 1 and np.isnan(alone["systematic"]) and np.isnan(alone["models_median"])
    assert model_spread([])["n_models"] == 0
    assert model_spread([2.0, np.nan, 4.0])["models_median"] == pytest.approx(3.0)


# The whole step, on models that the simulation makes


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    (folder / "lenses.yaml").write_text(yaml.safe_dump({"a": LENS}))
    entries = {f"m{seed}": {"seed": seed, "scatter": 2.0} for seed in range(1, 5)}
    simulate_alternatives(parameters=folder / "lenses.yaml", folder=folder / "maps",
                          settings={"lens": "a", "alternatives": entries})  # fmt: skip
    return folder


def description(folder, name):
    maps = {kind: str(folder / "maps" / f"{name}_{kind}.fits") for kind in KINDS}
    return {"name": name, "origin": "simulated", "z_lens": 0.35, "normalisation": 1.0, **maps}


def galaxy_files(folder, name, west, north, state="ok"):
    """Products of a galaxy whose reference pixel lies so far (arcsec) from the lens."""
    header = tangent_header(40.0, -10.0, 0.1, (-west / 0.1 + 20, -north / 0.1 + 20))
    maps = MapSet(header)
    maps["MU"] = Map(np.ones((41, 41)))
    maps.write(folder / f"{name}_lens.fits")
    header["IMGX"], header["IMGY"] = 20, 20
    maps.write(folder / f"{name}_source.fits")
    numbers = {"mu_maps": 2.0, "mu_maps_error_minus": 0.1, "mu_maps_error_plus": 0.2, "mu_maps_median": 2.1}
    columns = [Column(key, float, key) for key in numbers]
    columns += [Column("n_realisations", int, "n"), Column("state", str, "state")]
    write_table(folder / f"{name}.ecsv", [numbers | {"n_realisations": 100, "state": state}], columns, {})
    return [str(folder / f"{name}{end}") for end in ("_source.fits", "_lens.fits", ".ecsv")]


def run(folder, positions, alternatives, states=None):
    galaxies = [{"galaxy": name, "lens": "a", "z": 2.0} for name in positions]
    files = [galaxy_files(folder, name, *at, (states or {}).get(name, "ok")) for name, at in positions.items()]
    sources, lenses, measured = (list(column) for column in zip(*files, strict=True))
    outputs = [str(folder / f"out.{kind}") for kind in ("ecsv", "pdf", "png")]
    settings = {"galaxies": galaxies, "alternatives": {"a": alternatives}, "cosmology": COSMOLOGY, "simulated": True,
                "realisations": {"number": 100, "seed": 1}, "figures": {"dpi": 60}}  # fmt: skip
    compare_magnification_models(sources, lenses, measured, [], *outputs, settings)
    return read_table(outputs[0])


def test_magnification_of_each_model_is_that_of_its_lens(models, tmp_path):
    from dataclasses import replace

    positions = {"g1": (8.0, 3.0), "g2": (-6.0, -12.0)}
    table = run(tmp_path, positions, {f"m{seed}": description(models, f"m{seed}") for seed in range(1, 5)})
    best = load_lens("a", models / "lenses.yaml")
    errors = {"halo": {key: 2 * value for key, value in best.errors["halo"].items()}}
    for name, (west, north) in positions.items():
        rows = table[table["galaxy"] == name]
        assert list(rows["model"]) == ["fiducial", "m1", "m2", "m3", "m4"] and set(rows["n_models"]) == {5}
        assert (
            rows["mu"][0] == 2.0 and rows["mu_16"][0] == pytest.approx(2.0) and rows["mu_84"][0] == pytest.approx(2.3)
        )
        assert rows["mu_16"].mask[1:].all()  # these models have no realisations
        truth = [
            abs(
                replace(best, errors=errors)
                .realisation(seed)
                .magnification(np.array([west]), np.array([north]), 2.0)[0]
            )
            for seed in range(1, 5)
        ]
        np.testing.assert_allclose(rows["mu"][1:], truth, rtol=0.01)
        assert rows["systematic"][0] == pytest.approx(model_spread([2.0, *truth])["systematic"], rel=0.1)
        assert len(set(np.round(truth, 6))) == 4


def test_model_that_does_not_reach_the_galaxy_does_not_count(models, tmp_path):
    table = run(tmp_path, {"far": (60.0, 0.0)}, {"m1": description(models, "m1")})
    assert list(table["mu"].mask) == [False, True]
    assert set(table["n_models"]) == {1} and table["systematic"].mask.all()


def test_unlensed_galaxies_have_no_rows_and_no_models_no_points(tmp_path):
    assert len(run(tmp_path, {"g": (0.0, 0.0)}, {}, {"g": "unlensed"})) == 0
    assert len(run(tmp_path, {"g": (0.0, 0.0)}, {})) == 1


def test_damaged_product_is_named(models, tmp_path):
    alternatives = {"m1": description(models, "m1")}
    run(tmp_path, {"g": (5.0, 5.0)}, alternatives)
    (tmp_path / "bad.fits").write_bytes(b"nothing")
    settings = {"galaxies": [{"galaxy": "g", "lens": "a", "z": 2.0}], "alternatives": {"a": alternatives},
                "cosmology": COSMOLOGY, "simulated": True, "figures": {"dpi": 60}}  # fmt: skip
    with pytest.raises(InputError, match=r"bad\.fits"):
        compare_magnification_models([str(tmp_path / "bad.fits")], [str(tmp_path / "g_lens.fits")],
                                     [str(tmp_path / "g.ecsv")], [], *["unused"] * 3, settings)  # fmt: skip


def test_greater_scatter_gives_more_different_models(models):
    from dataclasses import replace

    best = load_lens("a", models / "lenses.yaml")

    def spread(scatter):
        errors = {"halo": {key: scatter * value for key, value in LENS["errors"]["halo"].items()}}
        at = np.array([8.0]), np.array([3.0])
        return model_spread([abs(replace(best, errors=errors).realisation(s).magnification(*at, 2.0)[0])
                             for s in range(40)])["systematic"]  # fmt: skip

    assert spread(0.5) == pytest.approx(spread(1.0) / 2, rel=0.2)


def test_figure_shows_every_galaxy_with_models_and_names_them():
    rows = [
        {"galaxy": f"g{i}", "lens": "rxj2248", "z": 1.4, "model": model, **model_spread([i + 1.0, i + 1.2, i + 1.5])}
        for i in range(4)
        for model in ("fiducial", "cats", "zitrin")
    ]
    rows.append({"galaxy": "alone", "lens": "x", "z": 2.0, "model": "fiducial", **model_spread([3.0])})
    figure = draw_models(rows, {"simulated": False})
    axes = figure.axes[0]
    assert len(axes.containers) == 4
    words = " ".join(text.get_text() for text in axes.texts)
    assert "cats" in words and "zitrin" in words and "RXJ2248" in words and "X:" not in words
    assert not figure.texts
    empty = draw_models(rows[-1:], {"simulated": True})
    assert "no lens has several models" in [text.get_text() for text in empty.axes[0].texts]


# Table 3


PUBLISHED = "id,mu_halpha,mu_halpha_err_plus,mu_halpha_err_minus,mu_maps,mu_maps_err_plus,mu_maps_err_minus,note\n"


def test_published_magnifications(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(PUBLISHED + "a,2.5,0.1,0.1,3,0.4,0.2,\nhorseshoe,12.1,1.5,1.5,,,,\n")
    found = published_magnifications(path)
    assert found["a"]["published_mu_maps_error_minus"] == 0.2 and found["a"]["published_mu_maps_error_plus"] == 0.4
    assert np.isnan(found["horseshoe"]["published_mu_maps"])
    path.write_text("id,mu_halpha\na,1\n")
    with pytest.raises(InputError, match=r"t\.csv.*mu_maps"):
        published_magnifications(path)


def test_every_published_galaxy_is_in_the_sample():
    published = published_magnifications(ROOT / "resources/published/table3_global_properties.csv")
    galaxies = (ROOT / "config/galaxies.tsv").read_text()
    entries = [dict(zip(("galaxy", "name", "lens"), line.split("\t"), strict=False)) | {"z": 2.0}
               for line in galaxies.splitlines()[1:]]  # fmt: skip
    rows = magnification_rows([{}] * len(entries), {}, published, entries)
    with_value = {row["galaxy"] for row in rows if np.isfinite(row.get("published_mu_halpha") or np.nan)}
    assert {"horseshoe_full", "macs0451", "cswa164", "sp1"} <= with_value and "horseshoe_west" not in with_value
    missing = set(published) - {row["galaxy"] for row in rows} - {"horseshoe"}
    assert missing == {"macs0451_north", "macs0451_south"}  # regions, not galaxies


def test_latex_marks_what_is_missing_and_what_is_simulated():
    entries = [{"galaxy": "a_1", "name": "a_1", "lens": "x", "z": 1.0}]
    measured = [{"mu_halpha": 2.0, "mu_halpha_error": 0.1, "mu_intrinsic": 2.5, "mu_intrinsic_error": 0.2,
                 "line": "OIII5007", "mu_maps": np.nan, "flags": "near_critical_line"}]  # fmt: skip
    text = magnification_latex(magnification_rows(measured, {"a_1": (11, 0.123)}, {}, entries), True)
    assert r"a\_1 & $2.00 \pm 0.10$$^{o}$ & $2.50 \pm 0.20$$^{c}$ & -- & $12$ & -- & --" in text
    assert "Simulated data" in text and "Simulated" not in magnification_latex([], False)


def test_a_galaxy_without_flags_has_an_empty_text():
    """An empty text of a table is read as missing."""
    (row,) = magnification_rows([{"flags": np.nan}], {}, {}, [{"galaxy": "a", "name": "a", "lens": "x", "z": 1.0}])
    assert row["flags"] == ""


# lenses.yaml


@pytest.fixture
def survey(tmp_path):
    return Folder(tmp_path)


def test_alternatives_are_models_like_any_other(survey):
    survey.touch("maps/x.fits", "maps/y.fits", "best.par", "r1_kappa.fits", "r1_gamma.fits")
    survey.write("lenses.yaml", "ms2137:\n  alternatives:\n    cats: {z_lens: 0.3, origin: lenstool, model: best.par}\n"
                 "    zitrin:\n" + MAPS.replace("  ", "      ") + "      realisations: {kappa: 'r*_kappa.fits', "
                 "gamma: 'r*_gamma.fits'}\n" + MAPS)  # fmt: skip
    loaded = survey.load()
    models = loaded.alternative_models("ms2137")
    assert list(models) == ["cats", "zitrin"] and models["cats"]["origin"] == "lenstool"
    assert models["cats"]["z_lens"] == 0.3 and models["zitrin"]["x_deflection"] == "maps/x.fits"
    assert loaded.files_of(models["zitrin"], "kappa") == ["r1_kappa.fits"]
    assert models["cats"]["alternatives_directory"] is None
    assert "alternatives" not in loaded.lens("sp1")  # no step but the comparison runs again for another model
    assert loaded.simulated_alternatives("ms2137") == {}


def test_simulated_alternatives(survey):
    survey.write(
        "lenses.yaml", LENSES.replace("}", ", alternatives: {a: {z_lens: 0.313, origin: simulated, seed: 7}}}")
    )
    loaded = survey.load()
    assert loaded.simulated_alternatives("ms2137") == {"a": {"scatter": 1.0, "seed": 7}}
    model = loaded.alternative_models("ms2137")["a"]
    assert model["kappa"] == "results/simulated/alternatives/ms2137/a_kappa.fits"
    assert "seed" not in model and model["realisations"] is None
    assert loaded.alternative_models("none") == {}


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("{z_lens: 0.3, origin: simulated}", "alternatives.a.seed: is missing"),
        ("{z_lens: 0.3, origin: simulated, seed: 1, scatter: -1}", "alternatives.a.scatter"),
        ("{z_lens: 0.3, origin: lenstool, model: gone.par}", "alternatives.a.model"),
        ("{z_lens: 0.3, origin: lenstool, model: b.par, seed: 1}", "alternatives.a.seed: belongs to"),
        ("{z_lens: 0.3, origin: lenstool, model: b.par, images: {F160W: a.fits}}", "alternatives.a.images: belongs"),
        ("{origin: simulated, seed: 1}", "z_lens"),
        ("{z_lens: 0.3, origin: simulatd, seed: 1}", "did you mean simulated?"),
    ],
)
def test_mistakes_in_alternatives_are_named(survey, entry, problem):
    survey.touch("b.par")
    survey.write("lenses.yaml", f"ms2137: {{z_lens: 0.313, origin: simulated, alternatives: {{a: {entry}}}}}\n")
    assert problem in survey.only_problem()


def test_seed_belongs_to_alternatives(survey):
    survey.write("lenses.yaml", LENSES.replace("}", ", seed: 3}"))
    assert "ms2137.seed: belongs to an entry of `alternatives`" in survey.only_problem()


def test_simulated_alternative_needs_a_simulated_lens(survey):
    survey.touch("maps/x.fits", "maps/y.fits")
    survey.write("lenses.yaml", "ms2137:\n" + MAPS + "  alternatives: {a: {z_lens: 0.3, origin: simulated, seed: 1}}\n")
    assert "alternatives.a.origin: is simulated, but the lens is not" in survey.only_problem()


def test_shipped_field_has_ten_other_models(survey):
    from test_config import load_shipped, shipped

    loaded = load_shipped(shipped())
    assert len(loaded.simulated_alternatives("rxj2248")) >= 10
    seeds = [entry["seed"] for entry in loaded.simulated_alternatives("rxj2248").values()]
    assert len(set(seeds)) == len(seeds)
    assert loaded.alternative_models("ms2137") == {}


def test_offsets_of_the_test_galaxies(tmp_path):
    from klever.grids import Grid

    galaxy_files(tmp_path, "g", 8.0, 3.0)
    header = MapSet.read(tmp_path / "g_lens.fits").header
    sky = Grid(header, (41, 41)).wcs.all_pix2world(20, 20, 0)
    np.testing.assert_allclose(sky_to_offsets(*sky, 40.0, -10.0), (8.0, 3.0), atol=1e-6)
