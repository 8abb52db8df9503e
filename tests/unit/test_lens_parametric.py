import numpy as np
import pytest
from lensing_scene import COSMOLOGY, DEC, RA, Isothermal, lens_settings, write_aligned

from klever.config.files import Files
from klever.config.lenses import check_lens_files, read_lenses
from klever.config.schema import Problems, load_schema
from klever.cosmology import distance_ratio
from klever.errors import ConfigError, InputError
from klever.grids import offsets_to_sky, sky_to_offsets
from klever.inspection.inputs import inspect
from klever.lensmodels.parametric import ParametricModel
from klever.maps import MapSet
from lens import evaluate_lens

HERE = (RA, DEC)
WEST, NORTH = np.random.default_rng(5).uniform(-8, 8, (2, 300))
SIS = {"type": "SIS", "theta_E": 3.0, "center_x": -1.0, "center_y": 0.5}
EPL = {"type": "EPL", "theta_E": 2.0, "gamma": 2.1, "e1": 0.1, "e2": -0.05, "center_x": 0.0, "center_y": 0.0}
SHEAR = {"type": "SHEAR", "gamma1": 0.05, "gamma2": -0.03}
REFERENCE = {"z_source": 2.0}


def model(*profiles, normalisation=REFERENCE, centre=HERE, reference=HERE, **more):
    return ParametricModel("p", 0.4, centre, list(profiles), reference, normalisation, **more)


def test_isothermal_sphere_at_its_redshift_and_at_another():
    lens = Isothermal(3.0, (-1.0, 0.5))
    fields = model(SIS).evaluate(WEST, NORTH, 2.0, COSMOLOGY)
    np.testing.assert_allclose(fields.alpha, lens.deflection(WEST, NORTH), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(fields.kappa, lens.kappa(WEST, NORTH), rtol=1e-6)
    np.testing.assert_allclose(fields.gamma, lens.gamma(WEST, NORTH), rtol=1e-6)
    ratio = distance_ratio(0.4, 1.0, COSMOLOGY) / distance_ratio(0.4, 2.0, COSMOLOGY)
    other = model(SIS).evaluate(WEST, NORTH, 1.0, COSMOLOGY)
    np.testing.assert_allclose(other.kappa, ratio * fields.kappa, rtol=1e-12)
    infinite = model(SIS, normalisation=1.0).evaluate(WEST, NORTH, 1.0, COSMOLOGY)
    np.testing.assert_allclose(infinite.kappa, distance_ratio(0.4, 1.0, COSMOLOGY) * fields.kappa, rtol=1e-12)
    assert (model(SIS).evaluate(WEST, NORTH, 0.3, COSMOLOGY).mu == 1).all()


@pytest.mark.parametrize("profiles", [(EPL,), (EPL, SHEAR, SIS), ({"type": "NFW", "Rs": 20.0, "alpha_Rs": 10.0},)])
def test_convergence_and_shear_are_derivatives_of_the_deflection(profiles):
    lens, step = model(*profiles), 1e-3
    evaluate = lambda west, north: np.array(lens.evaluate(west, north, 2.0, COSMOLOGY).alpha)  # noqa: E731
    xx, yx = (evaluate(WEST + step, NORTH) - evaluate(WEST - step, NORTH)) / (2 * step)
    xy, yy = (evaluate(WEST, NORTH + step) - evaluate(WEST, NORTH - step)) / (2 * step)
    fields = lens.evaluate(WEST, NORTH, 2.0, COSMOLOGY)
    scale = fields.kappa + fields.gamma
    np.testing.assert_array_less(np.abs(0.5 * (xx + yy) - fields.kappa), 1e-4 * scale)
    np.testing.assert_array_less(np.abs(np.hypot(0.5 * (xx - yy), 0.5 * (xy + yx)) - fields.gamma), 1e-4 * scale)


def test_point_mass_and_singular_ellipsoid_have_their_closed_forms():
    fields = model({"type": "POINT_MASS", "theta_E": 1.5}).evaluate(WEST, NORTH, 2.0, COSMOLOGY)
    square = WEST**2 + NORTH**2
    np.testing.assert_allclose(fields.alpha[0], 1.5**2 * WEST / square, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(fields.gamma, 1.5**2 / square, rtol=1e-6)
    # SIE: kappa = gamma = theta_E / (2 r_ell), r_ell^2 = q x^2 + y^2 / q
    axes = (1 - np.hypot(0.2, 0.1)) / (1 + np.hypot(0.2, 0.1)), 0.5 * np.arctan2(0.1, 0.2)
    along = np.cos(axes[1]) * WEST + np.sin(axes[1]) * NORTH
    across = np.cos(axes[1]) * NORTH - np.sin(axes[1]) * WEST
    ellipsoid = model({"type": "SIE", "theta_E": 2.0, "e1": 0.2, "e2": 0.1}).evaluate(WEST, NORTH, 2.0, COSMOLOGY)
    expected = 1.0 / np.sqrt(axes[0] * along**2 + across**2 / axes[0])
    np.testing.assert_allclose(ellipsoid.kappa, expected, rtol=1e-6)
    np.testing.assert_allclose(ellipsoid.gamma, expected, rtol=1e-6)


def test_navarro_frenk_white_halo_has_its_closed_form():
    scale, alpha_scale = 12.0, 8.0
    fields = model({"type": "NFW", "Rs": scale, "alpha_Rs": alpha_scale}).evaluate(WEST, NORTH, 2.0, COSMOLOGY)
    x = np.hypot(WEST, NORTH) / scale  # all below 1; Wright & Brainerd (2000)
    log = np.arccosh(1 / x) / np.sqrt(1 - x**2)
    strength = alpha_scale / (4 * scale * (1 + np.log(0.5)))  # rho0 Rs / Sigma_crit
    np.testing.assert_allclose(fields.kappa, 2 * strength * (1 - log) / (x**2 - 1), rtol=1e-6)
    alpha = 4 * strength * scale / x * (np.log(x / 2) + log)
    np.testing.assert_allclose(np.hypot(*fields.alpha), alpha, rtol=1e-6)


@pytest.mark.parametrize(
    "profile",
    [
        {"type": "NIE", "theta_E": 2.0, "e1": 0.2, "e2": 0.1, "s_scale": 1e-8},
        {"type": "NFW_ELLIPSE_POTENTIAL", "Rs": 12.0, "alpha_Rs": 8.0, "e1": 0.0, "e2": 0.0},
    ],
)
def test_profiles_whose_derivatives_lenstronomy_only_approximates(profile):
    exact = {"NIE": {"type": "SIE", **{key: profile[key] for key in ("theta_E", "e1", "e2") if key in profile}},
             "NFW_ELLIPSE_POTENTIAL": {"type": "NFW", "Rs": 12.0, "alpha_Rs": 8.0}}[profile["type"]]  # fmt: skip
    found, expected = (model(p).evaluate(WEST, NORTH, 2.0, COSMOLOGY) for p in (profile, exact))
    np.testing.assert_allclose(found.kappa, expected.kappa, rtol=1e-5)
    np.testing.assert_allclose(found.gamma, expected.gamma, rtol=1e-5)


def test_x_to_the_east_is_the_mirror_image():
    east = model({**EPL, "e2": 0.05, "center_x": 1.5}, x_axis="east").evaluate(WEST, NORTH, 2.0, COSMOLOGY)
    west = model({**EPL, "center_x": -1.5}).evaluate(WEST, NORTH, 2.0, COSMOLOGY)
    np.testing.assert_allclose(east.alpha, west.alpha, atol=1e-9)
    np.testing.assert_allclose(east.gamma, west.gamma, rtol=1e-9)


def test_two_models_do_not_share_parameters():
    one, two = model(SIS), model({**SIS, "theta_E": 1.0})
    first = one.evaluate(WEST, NORTH, 2.0, COSMOLOGY).kappa
    np.testing.assert_allclose(two.evaluate(WEST, NORTH, 2.0, COSMOLOGY).kappa, first / 3, rtol=1e-12)
    np.testing.assert_array_equal(one.evaluate(WEST, NORTH, 2.0, COSMOLOGY).kappa, first)


def test_reference_may_be_elsewhere_on_the_sky():
    reference = tuple(float(v) for v in offsets_to_sky(30.0, -20.0, *HERE))
    x, y = sky_to_offsets(*offsets_to_sky(-1.0, 0.5, *HERE), *reference)
    moved = model({**SIS, "center_x": float(x), "center_y": float(y)}, reference=reference)
    fields = moved.evaluate(WEST, NORTH, 2.0, COSMOLOGY)
    np.testing.assert_allclose(fields.alpha, model(SIS).evaluate(WEST, NORTH, 2.0, COSMOLOGY).alpha, atol=1e-5)


def test_radius_refuses_positions():
    fields = model(SIS, radius=5.0).evaluate(WEST, NORTH, 2.0, COSMOLOGY)
    np.testing.assert_array_equal(fields.inside, np.hypot(WEST, NORTH) <= 5)
    assert np.isnan(fields.alpha[0][~fields.inside]).all()


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        (
            {"type": "EPLL", "theta_E": 1.0},
            r"profiles\[0\].type: 'EPLL' is no profile that can be used; did you mean EPL",
        ),
        ({"type": "INTERPOL"}, "no profile that can be used"),
        ({**SIS, "thetaE": 2.0}, r"profiles\[0\].thetaE: SIS has no such parameter; did you mean theta_E"),
        ({"type": "SIS"}, "SIS needs theta_E, too"),
        ({**SIS, "theta_E": -1.0}, "theta_E: -1 must lie within 0"),
        ({**SIS, "errors": {"theta": 1.0}}, "errors.theta: is no parameter given here; did you mean theta_E"),
        ({**SIS, "errors": {"theta_E": 0.0}}, "must be greater than 0"),
        ({**EPL, "e1": 0.95}, "e1: 0.95 must lie within -0.9 and 0.9"),
    ],
)
def test_profiles_are_checked(profile, message):
    with pytest.raises(ConfigError, match=f"lens p: .*{message}"):
        model(profile)


def test_realisations_from_errors():
    lens = model({**SIS, "errors": {"theta_E": 0.1, "center_x": 0.02}}, SHEAR)
    drawn = lens.realisations(400, 3)
    values = np.array([[m.parameters[0]["theta_E"], m.parameters[0]["center_x"]] for m in drawn])
    np.testing.assert_allclose(values.mean(axis=0), [3.0, -1.0], atol=0.02)
    np.testing.assert_allclose(values.std(axis=0), [0.1, 0.02], rtol=0.12)
    again = [m.parameters[0]["theta_E"] for m in lens.realisations(400, 3)]
    np.testing.assert_array_equal(again, values[:, 0])
    assert lens.realisations(3, 4)[0].parameters[0]["theta_E"] != again[0]
    assert all(m.parameters[1] == lens.parameters[1] for m in drawn)
    assert (model(SIS).realisations(5), lens.realisations(0)) == ([], [])


def test_draws_stay_physical():
    drawn = model({**SIS, "theta_E": 0.1, "errors": {"theta_E": 0.2}}).realisations(100, 1)
    assert min(m.parameters[0]["theta_E"] for m in drawn) >= 0


def test_realisations_from_a_table(tmp_path):
    path = tmp_path / "samples.csv"
    path.write_text("theta_E_lens0,gamma1_lens1,chi2\n2.9,0.04,1\n3.1,0.06,2\n3.0,0.05,3\n")
    lens = model(SIS, SHEAR, samples=path)
    found = [(m.parameters[0]["theta_E"], m.parameters[1]["gamma1"]) for m in lens.realisations(None)]
    assert found == [(2.9, 0.04), (3.1, 0.06), (3.0, 0.05)]
    assert len(lens.realisations(2, 1)) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("theta_lens0\n1\n", "theta_lens0 is no parameter of the model; did you mean theta_E_lens0"),
        ("theta_E_lens4\n1\n", "no parameter of the model"),
        ("theta_E_lens0\n-1\n", "row 1: theta_E_lens0 is -1"),
        ("theta_E_lens0\nnan\n", "row 1: theta_E_lens0 is nan"),
        ("theta_E_lens0\n", "no rows"),
        ("a,b\n1,2\n", "no column named like"),
        ("", "no rows"),
        ("theta_E_lens0\n1,2\n", "cannot be read"),
    ],
)
def test_bad_table_is_refused(tmp_path, text, message):
    (tmp_path / "samples.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        model(SIS, samples=tmp_path / "samples.csv").realisations(2)


def test_lens_product_of_a_parametric_model(tmp_path):
    aligned = write_aligned(tmp_path / "aligned.fits", shape=(40, 46))
    description = {"origin": "parametric", "z_lens": 0.4, "centre": list(HERE), "normalisation": REFERENCE}
    settings = lens_settings(**description, profiles=[SIS, SHEAR])
    evaluate_lens(aligned, [], [], [], [], tmp_path / "lens.fits", settings)
    maps = MapSet.read(tmp_path / "lens.fits")
    assert (maps.header["STATE"], maps.header["ORIGIN"]) == ("ok", "parametric")
    assert "LENSCHK" not in maps.header
    lens = model(SIS, SHEAR)
    from klever.grids import Grid

    fields = lens.evaluate(*Grid(maps.header, (40, 46)).pixel_offsets(), 1.5, COSMOLOGY)
    np.testing.assert_allclose(maps["ALPHA_X"].value, fields.alpha[0], rtol=1e-5)
    np.testing.assert_allclose(maps["MU"].value, fields.mu, rtol=1e-3)


ENTRY = """ring:
  z_lens: 0.4
  origin: parametric
  centre: [342.18, -44.53]
  normalisation: {z_source: 2.0}
  profiles:
    - {type: SIS, theta_E: 3.0, errors: {theta_E: 0.1}}
"""
TOOL = "as:\n  z_lens: 0.35\n  origin: lenstool\n  model: best.par\n"


def problems_of(tmp_path, text):
    (tmp_path / "lenses.yaml").write_text(text)
    problems = Problems()
    from pathlib import Path

    schema = load_schema(Path(__file__).parents[2] / "workflow/schemas/lenses.schema.yaml")
    read_lenses(tmp_path / "lenses.yaml", "lenses.yaml", schema, problems)
    return list(problems)


@pytest.mark.parametrize(
    ("text", "old", "new", "message"),
    [
        (ENTRY, "type: SIS, ", "", "profiles[0].type: is missing"),
        (ENTRY, "theta_E: 3.0", "theta_E: much", "profiles[0].theta_E: 'much' is not a number"),
        (
            ENTRY,
            "errors: {theta_E",
            "errors: {thetaE",
            "errors.thetaE: the profile has no thetaE to draw around; did you",
        ),
        (ENTRY, "{z_source: 2.0}", "{z_source: 0.2}", "ring.normalisation.z_source: 0.2 is not behind the lens"),
        (ENTRY, "  centre: [342.18, -44.53]\n", "", "ring.centre: is missing"),
        (ENTRY, "  centre:", "  x_sign: 1\n  centre:", "ring.x_sign: belongs to lenses of `origin: maps`"),
        (ENTRY, "  centre:", "  x_axis: north\n  centre:", "'north' is not a valid choice"),
        (ENTRY, "  centre:", "  radius: -3\n  centre:", "must be greater than 0"),
        (TOOL, "  model: best.par\n", "", "as.model: is missing"),
        (
            TOOL,
            "  model:",
            "  normalisation: 1\n  model:",
            "belongs to lenses of `origin: maps` or `origin: parametric`",
        ),
        (TOOL, "  model:", "  chian: b.dat\n  model:", "did you mean as.chain"),
        (TOOL, "lenstool", "lenstol", "did you mean lenstool"),
    ],
)
def test_entries_are_checked(tmp_path, text, old, new, message):
    assert problems_of(tmp_path, text) == []
    found = problems_of(tmp_path, text.replace(old, new))
    assert len(found) == 1 and message in found[0], found


def test_inspection_opens_the_model(tmp_path):
    entry = {"lens": "ring", "name": "ring", "origin": "parametric", "z_lens": 0.4, "centre": list(HERE),
             "normalisation": REFERENCE, "profiles": [{**SIS, "errors": {"theta_E": 0.1}}]}  # fmt: skip
    (row,) = inspect([entry])
    assert (row["state"], row["message"]) == ("ok", "can be used")
    (row,) = inspect([entry | {"profiles": [{**SIS, "thetaE": 1.0}]}])
    assert row["state"] == "error" and "did you mean theta_E" in row["message"]
    (row,) = inspect([{"lens": "as", "origin": "lenstool", "z_lens": 0.35, "model": str(tmp_path / "best.par")}])
    assert row["state"] == "error" and "cannot be read" in row["message"]


@pytest.mark.parametrize("missing", ["model", "chain"])
def test_files_of_a_model_must_exist(tmp_path, missing):
    for name in {"model": "best.par", "chain": "bayes.dat"}.items():
        if name[0] != missing:
            (tmp_path / name[1]).touch()
    problems = Problems()
    lenses = {"as": {"z_lens": 0.35, "origin": "lenstool", "model": "best.par", "chain": "bayes.dat"}}
    check_lens_files(lenses, ["as"], "lenses.yaml", Files(tmp_path, problems), tmp_path)
    assert len(problems) == 1 and problems[0].startswith(f"lenses.yaml: as.{missing}: ")
    assert "does not exist" in problems[0]
