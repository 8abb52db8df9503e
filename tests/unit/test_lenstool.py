import string

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lensing_scene import COSMOLOGY, lens_settings, write_aligned

from klever.cosmology import SPEED_OF_LIGHT, distance_ratio, kpc_per_arcsec
from klever.errors import ConfigError, InputError
from klever.grids import offsets_to_sky
from klever.lensmodels import open_model
from klever.lensmodels.lenstool.chain import read_chain
from klever.lensmodels.lenstool.dpie import dpie_fields, einstein_scale, shear_fields
from klever.lensmodels.lenstool.model import LenstoolModel
from klever.lensmodels.lenstool.parfile import read_parameters
from klever.maps import MapSet
from lens import evaluate_lens

RA, DEC = 342.18322, -44.530889
ARCSEC = np.degrees(1.0) * 3600
OWN = {"H0": 70.0, "Om0": 0.3, "Ode0": 0.7}
GENERATOR = np.random.default_rng(3)
X, Y = GENERATOR.uniform(-30, 30, (2, 400))

BEST = """#Chi2tot(dof=71): 66.6911
runmode
	reference     3 342.183220 -44.530889
	image     0
	end
grille
	nombre      512
	nlentille   4
	end
potentiel O1
	profil       81
	x_centre     0.500000
	y_centre     -0.250000
	ellipticite     0.510685
	angle_pos       -35.641805
	core_radius         5.000000
	core_radius_kpc     24.583955
	cut_radius         203.384663
	cut_radius_kpc     1000.000000
	v_disp     900.000000
	z_lens     0.3475
	end
potentiel O2
	profil       14
	gamma     0.1043
	angle_pos     49.7303
	kappa         0.0000
	z_lens     0.3475
	end
potentiel 13475
	profil       81
	x_centre     9.738400
	y_centre     3.177600
	ellipticite     0.0
	angle_pos       38.850000
	core_radius         0.055316
	cut_radius         16.594750
	v_disp     137.486500
	mag		  18.395300
	z_lens     0.3475
	end
potentiel 14770
	profil       81
	x_centre     -9.162200
	y_centre     7.776500
	ellipticite     0.201673
	angle_pos       -29.980000
	core_radius_kpc     0.262816
	cut_radius_kpc     78.844702
	v_disp     135.151246
	mag		  18.469700
	z_lens     0.3475
	end
cline
	dmax     100.000000
	end
cosmologie
	model       1
	H0        70.000000
	omegaM    0.300000
	omegaX    0.700000
	wX        -1.000000
	end
champ
	dmax 50.0
	end
fini
"""

CHAIN = """#Nsample
#ln(Lhood)
#O1 : sigma (km/s)
#O2 : gamma
#Redshift of 3.2
#Pot0 sigma (km/s)
#Chi2
1 -68.5 930.0 0.0909 2.04 110.0 71.9
1 -66.0 900.0 0.1043 2.15 100.0 66.7
2 -67.5 880.0 0.1100 2.20 95.0 70.1
"""


def write(path, text):
    path.write_text(text)
    return path


@pytest.fixture
def best(tmp_path):
    return write(tmp_path / "best.par", BEST)


@pytest.fixture
def chain(tmp_path):
    return write(tmp_path / "bayes.dat", CHAIN)


def potential(x=0.3, y=-0.2, ellipticity=0.5, angle=30.0, core=1.0, cut=10.0, v_disp=300.0):
    return [x, y, ellipticity, angle, core, cut, v_disp]


SHAPES = [
    potential(),
    potential(core=0.05, cut=16.0, ellipticity=0.03, angle=-60),
    potential(core=20.0, cut=200.0, ellipticity=0.9, angle=10),
    potential(core=0.0, cut=5.0, ellipticity=0.3, angle=100),
    potential(ellipticity=0.0),
    potential(ellipticity=1e-6),
    potential(core=2.0, cut=2.001, ellipticity=0.2),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_convergence_and_shear_are_derivatives_of_the_deflection(shape):
    fields, step = dpie_fields(X, Y, shape), 1e-3
    along_x = (dpie_fields(X + step, Y, shape) - dpie_fields(X - step, Y, shape))[:2] / (2 * step)
    along_y = (dpie_fields(X, Y + step, shape) - dpie_fields(X, Y - step, shape))[:2] / (2 * step)
    scale = np.hypot(fields[3], fields[4]) + fields[2]
    np.testing.assert_array_less(np.abs(0.5 * (along_x[0] + along_y[1]) - fields[2]), 1e-4 * scale)
    np.testing.assert_array_less(np.abs(0.5 * (along_x[0] - along_y[1]) - fields[3]), 1e-4 * scale)
    np.testing.assert_array_less(np.abs(along_x[1] - fields[4]), 1e-4 * scale)
    np.testing.assert_array_less(np.abs(along_y[0] - along_x[1]), 1e-4 * scale)  # no curl


@pytest.mark.parametrize(("core", "cut"), [(1.0, 10.0), (0.0, 5.0), (3.0, 4.0)])
def test_round_potential_has_the_closed_form(core, cut):
    radius = np.array([0.05, 0.3, 1.0, 7.0, 40.0])
    b0 = einstein_scale(300.0)
    root = lambda scale: np.sqrt(scale**2 + radius**2)  # noqa: E731
    alpha = b0 * cut / (cut - core) * (root(core) - core - root(cut) + cut) / radius
    kappa = 0.5 * b0 * cut / (cut - core) * (1 / root(core) - 1 / root(cut))
    fields = dpie_fields(radius, 0 * radius, potential(0, 0, 0, 0, core, cut))
    np.testing.assert_allclose(fields[0], alpha, rtol=1e-6)
    np.testing.assert_allclose(fields[2], kappa, rtol=1e-12)
    np.testing.assert_allclose(fields[3], kappa - alpha / radius, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(fields[[1, 4]], 0, atol=1e-12)
    nearly = dpie_fields(radius, 0 * radius, potential(0, 0, 2e-8, 0, core, cut))
    np.testing.assert_allclose(nearly, fields, rtol=1e-6, atol=1e-6)  # the complex form joins the round one


def test_isothermal_limit_has_lenstools_dispersion():
    # core -> 0, cut -> infinity: 6 pi (v_disp / c)^2 = 4 pi (sigma / c)^2 with sigma^2 = 1.5 v_disp^2.
    v_disp = 1000.0
    alpha = np.hypot(*dpie_fields(X, Y, potential(0, 0, 0, 0, 1e-9, 1e9, v_disp))[:2])
    sphere = 4 * np.pi * (np.sqrt(1.5) * v_disp / SPEED_OF_LIGHT) ** 2 * ARCSEC
    np.testing.assert_allclose(alpha, sphere, rtol=1e-6)
    assert sphere == pytest.approx(43.26, abs=0.01)


@pytest.mark.parametrize("ellipticity", [0.0, 0.4, 0.9])
def test_far_away_it_is_a_point_mass(ellipticity):
    core, cut, far = 1.0, 10.0, 1e5
    angle = np.linspace(0, 2 * np.pi, 7)
    fields = dpie_fields(far * np.cos(angle), far * np.sin(angle), potential(0, 0, ellipticity, 20, core, cut))
    # Total mass: the mean of alpha r; the area of an ellipse of kappa is 1 - epsilon^2 of the circle's.
    epsilon = (1 - np.sqrt(1 - ellipticity**2)) / ellipticity if ellipticity else 0.0
    total = einstein_scale(300.0) * cut * (1 - epsilon**2)
    np.testing.assert_allclose(np.hypot(*fields[:2]) * far, total, rtol=1e-3)


def test_ellipticity_is_that_of_the_mass():
    ratio = 0.6
    ellipticity = (1 - ratio**2) / (1 + ratio**2)
    shape = potential(0, 0, ellipticity, 90.0)
    along, across = (dpie_fields(*position, shape)[2] for position in ((0.0, 4.0), (4.0 * ratio, 0.0)))
    np.testing.assert_allclose(along, across, rtol=1e-12)  # angle 90: the long axis is y


def test_rotation_and_flip():
    shape, turn = potential(2.0, -1.0, 0.5, 30.0), np.radians(50.0)
    turned = lambda x, y: (np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y)  # noqa: E731
    fields = dpie_fields(X, Y, shape)
    other = dpie_fields(*turned(X, Y), [*turned(2.0, -1.0), 0.5, 80.0, *shape[4:]])
    np.testing.assert_allclose(other[:2], turned(*fields[:2]), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(other[2], fields[2], rtol=1e-9)
    np.testing.assert_allclose(np.hypot(*other[3:]), np.hypot(*fields[3:]), rtol=1e-9)
    flipped = dpie_fields(-X, Y, [-2.0, -1.0, 0.5, 150.0, *shape[4:]])
    np.testing.assert_allclose(flipped, fields * np.array([[-1], [1], [1], [1], [-1]]), rtol=1e-9, atol=1e-12)


def test_potentials_add_up_in_blocks_of_any_size():
    many = np.array([potential(*GENERATOR.uniform(-20, 20, 2), e, 10 * e, 0.1, 5 + e) for e in np.linspace(0, 0.9, 50)])
    x, y = GENERATOR.uniform(-30, 30, (2, 5000))
    alone = sum(dpie_fields(x, y, row) for row in many)
    np.testing.assert_allclose(dpie_fields(x, y, many), alone, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(dpie_fields(x[:1], y[:1], many), alone[:, :1], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("ellipticity", [0.0, 0.4])
@pytest.mark.parametrize("core", [0.0, 1.0])
def test_centre(ellipticity, core):
    fields = dpie_fields([0.0], [0.0], potential(0, 0, ellipticity, 20, core, 10.0))[:, 0]
    np.testing.assert_allclose(fields[:2], 0, atol=1e-12)
    assert (fields[2] == np.inf) == (core == 0)


def test_external_shear_stretches_along_its_angle():
    gamma, angle = 0.1, 30.0
    fields = shear_fields(X, Y, gamma, angle)
    direction = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    np.testing.assert_allclose(np.hypot(fields[3], fields[4]), gamma, rtol=1e-12)
    along = shear_fields(*direction[:, None], gamma, angle)[:2, 0]
    np.testing.assert_allclose(along, gamma * direction, atol=1e-12)  # source = (1 - gamma) image
    np.testing.assert_allclose(shear_fields(X, Y, 0.0, 0.0, 0.2)[:3], [0.2 * X, 0.2 * Y, 0.2 + 0 * X])


def test_file_is_read(best):
    model = read_parameters(best)
    assert model.reference == (RA, DEC) and model.cosmology == OWN and model.field == (-50, 50, -50, 50)
    assert [(p.name, p.profile) for p in model.potentials] == [("O1", 81), ("O2", 14), ("13475", 81), ("14770", 81)]
    assert model.potentials[0].values["v_disp"] == 900
    scale = kpc_per_arcsec(0.3475, OWN)
    assert model.potentials[3].values["cut_radius"] == pytest.approx(78.844702 / scale)
    assert model.potentials[3].values["cut_radius"] == pytest.approx(16.035803, rel=1e-4)  # as Lenstool itself says


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("profil       14", "profil       12", "potentiel O2 has profile 12; only 81 .dPIE. and 14"),
        ("\tprofil       14\n", "", "potentiel O2 has no profile"),
        ("ellipticite     0.510685", "ellipticite     1.2", "ellipticite is 1.2, which must lie within 0 and 0.9999"),
        ("v_disp     900.000000", "v_disp     nan", "potentiel O1: v_disp is 'nan'; a number"),
        ("v_disp     900.000000", "v_disp     1e999", "a number is needed"),
        ("v_disp     900.000000", "v_disp     __import__('os')", "a number is needed"),
        ("v_disp     900.000000", "v_disp", "v_disp is ''"),
        ("v_disp     900.000000", "v_dsip  900", "'v_dsip' is not understood; did you mean v_disp"),
        ("\tv_disp     900.000000\n", "", "potentiel O1 has no v_disp"),
        ("core_radius         5.000000", "core_radius 300", "core_radius 300 must be less than cut_radius"),
        ("\tcut_radius         16.594750\n", "", "potentiel 13475 has no cut_radius"),
        ("nlentille   4", "nlentille   264", "holds 4 potentials of the 264"),
        ("fini\n", "", "does not end with `fini`"),
        ("\tz_lens     0.3475\n\tend\npotentiel O2", "\tz_lens     0.3475\npotentiel O2", "has no `end`"),
        ("\treference     3 342.183220 -44.530889\n", "", "no `reference`"),
        ("reference     3 342.183220 -44.530889", "reference 3 0 0", "no place on the sky"),
        ("reference     3 342.183220 -44.530889", "reference 3 342 -99", "dec.* is -99"),
        ("wX        -1.000000", "wX        -0.8", "dark energy"),
        ("cline\n", "potfile\n\tfilein 3 g.cat\n\tend\ncline\n", "`potfile` are not in this file"),
        ("\tv_disp     900.000000\n", "\tv_disp 900\n\tv_disp 901\n", "v_disp is given twice"),
        (BEST, "", "does not end with `fini`"),
        (BEST, "\x00\xff" * 100, "does not end with `fini`"),
    ],
)
def test_bad_file_is_refused_with_a_sentence(tmp_path, old, new, message):
    assert old in BEST
    path = write(tmp_path / "best.par", BEST.replace(old, new, 1))
    with pytest.raises(InputError, match=message) as error:
        read_parameters(path)
    assert "best.par" in str(error.value)


def test_missing_file():
    with pytest.raises(InputError, match=r"none\.par cannot be read"):
        read_parameters("none.par")


WORDS = st.sampled_from([*BEST.split(), "end", "fini", "potentiel", "nan", "-1", "1e400", "#", "\n"])
TEXT = st.text(alphabet=string.printable, max_size=20)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.integers(0, len(BEST)), length=st.integers(0, 60),
    new=st.one_of(TEXT, st.lists(WORDS, max_size=8).map(" ".join)),
)  # fmt: skip
def test_mangled_files_are_read_or_refused(tmp_path, start, length, new):
    path = write(tmp_path / "best.par", BEST[:start] + new + BEST[start + length :])
    try:
        model = read_parameters(path)
    except InputError as error:
        assert "best.par" in str(error)
        return
    with np.errstate(invalid="ignore"):
        rows = [p.row for p in model.potentials if p.profile == 81]
    assert np.isfinite(rows).all()
    assert all(0 <= row[2] < 1 and 0 <= row[4] < row[5] for row in rows)


def test_fields_scale_with_the_distances(best):
    model = LenstoolModel(best, (RA, DEC))
    one, two = (model.evaluate(X, Y, z, COSMOLOGY) for z in (1.0, 3.0))
    ratio = distance_ratio(0.3475, 3.0, OWN) / distance_ratio(0.3475, 1.0, OWN)  # the model's own cosmology
    np.testing.assert_allclose(two.kappa, ratio * one.kappa, rtol=1e-12)
    np.testing.assert_allclose(two.alpha[0], ratio * one.alpha[0], rtol=1e-4)  # the plate's scale changes with dec
    assert (model.evaluate(X, Y, 0.3, COSMOLOGY).kappa == 0).all() and model.dls_ds(0.3, COSMOLOGY) == 0
    survey = LenstoolModel(best, (RA, DEC), own_cosmology=False)
    for cosmology in (COSMOLOGY, {"H0": 50.0, "Om0": 1.0, "Ode0": 0.0}):
        expected = model.evaluate(X, Y, 1.0, COSMOLOGY).kappa / distance_ratio(0.3475, 1.0, OWN)
        found = survey.evaluate(X, Y, 1.0, cosmology).kappa / distance_ratio(0.3475, 1.0, cosmology)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_shape_of_positions_is_kept_and_flips_do_not_matter(best):
    model = LenstoolModel(best, (RA, DEC))
    west, north = np.meshgrid(np.linspace(-5, 5, 7), np.linspace(-4, 4, 5))
    fields = model.evaluate(west, north, 1.5, COSMOLOGY)
    flipped = model.evaluate(west[::-1, ::-1].T, north[::-1, ::-1].T, 1.5, COSMOLOGY)
    np.testing.assert_array_equal(flipped.kappa, fields.kappa[::-1, ::-1].T)
    np.testing.assert_array_equal(flipped.alpha[1], fields.alpha[1][::-1, ::-1].T)
    assert fields.mu.shape == (5, 7)


def test_source_position_does_not_depend_on_the_tangent_plane(best):
    far = offsets_to_sky(40.0, -30.0, RA, DEC)
    here, there = LenstoolModel(best, (RA, DEC)), LenstoolModel(best, far)
    from klever.grids import sky_to_offsets

    west, north = sky_to_offsets(*offsets_to_sky(10.0, 4.0, RA, DEC), *far)
    skies = []
    for model, position, centre in ((here, (10.0, 4.0), (RA, DEC)), (there, (west, north), far)):
        fields = model.evaluate(*position, 1.5, COSMOLOGY)
        source = (position[0] - fields.alpha[0], position[1] - fields.alpha[1])
        skies.append(np.array(offsets_to_sky(*source, *centre)))
    np.testing.assert_allclose(skies[0], skies[1], atol=1e-7 / 3600)


def test_positions_beyond_the_field_are_refused(best):
    west = np.array([0.0, 49.9, 50.1, -60.0])
    fields = LenstoolModel(best, (RA, DEC)).evaluate(west, 0.0, 1.5, COSMOLOGY)
    np.testing.assert_array_equal(fields.inside, [True, True, False, False])
    assert np.isnan(fields.alpha[0][2:]).all() and np.isnan(fields.mu[2:]).all()
    near = LenstoolModel(best, (RA, DEC), radius=20.0).evaluate(west, 0.0, 1.5, COSMOLOGY)
    np.testing.assert_array_equal(near.inside, [True, False, False, False])


def test_redshift_of_the_table_must_be_that_of_the_file(best):
    with pytest.raises(ConfigError, match=r"z_lens is 0.5 in lenses.yaml but 0.3475"):
        LenstoolModel(best, (RA, DEC), "a", 0.5)


def test_potentials_of_two_redshifts_are_scaled_apart(tmp_path):
    near = BEST.replace("v_disp     137.486500\n\tmag\t\t  18.395300\n\tz_lens     0.3475",
                        "v_disp     137.486500\n\tmag\t\t  18.395300\n\tz_lens     0.2")  # fmt: skip
    model = LenstoolModel(write(tmp_path / "best.par", near), (RA, DEC))
    assert near != BEST and len(model.planes) == 2
    behind = model.evaluate(X, Y, 0.3, COSMOLOGY)
    alone = distance_ratio(0.2, 0.3, OWN) * dpie_fields(X, Y, model.file.potentials[2].row)[2]
    np.testing.assert_allclose(behind.kappa, alone, rtol=1e-2)


def test_realisations_are_samples_of_the_chain(best, chain):
    model = LenstoolModel(best, (RA, DEC), chain=chain)
    realisations = model.realisations(None)
    assert len(realisations) == 3
    base = model.evaluate(X, Y, 1.5, COSMOLOGY)
    np.testing.assert_allclose(realisations[1].evaluate(X, Y, 1.5, COSMOLOGY).kappa, base.kappa, rtol=1e-12)
    # by hand: O1's dispersion, the shear, and members scaled by the square of 110 / 100
    rows = [list(p.row) for p in model.file.potentials if p.profile == 81]
    rows[0][6] = 930.0
    for row in rows[1:]:
        row[6] *= 1.1
    x, y = model.frame.from_sky(*offsets_to_sky(X, Y, RA, DEC))
    expected = dpie_fields(x, y, rows) + shear_fields(x, y, 0.0909, 49.7303)
    found = realisations[0].evaluate(X, Y, 1.5, COSMOLOGY)
    np.testing.assert_allclose(found.kappa, distance_ratio(0.3475, 1.5, OWN) * expected[2], rtol=1e-9)
    np.testing.assert_allclose(found.gamma, distance_ratio(0.3475, 1.5, OWN) * np.hypot(*expected[3:]), rtol=1e-9)
    np.testing.assert_array_equal(model.evaluate(X, Y, 1.5, COSMOLOGY).kappa, base.kappa)  # the best is untouched


def test_draw_is_seeded_and_without_repetition(best, tmp_path):
    rows = [line for line in CHAIN.splitlines() if line[0] != "#"]
    header = [line for line in CHAIN.splitlines() if line[0] == "#"]
    chain = write(tmp_path / "bayes.dat", "\n".join(header + rows * 10) + "\n")
    samples = read_chain(chain, read_parameters(best))
    samples.samples[:, 0] = np.arange(30)
    drawn = samples.draw(10, 5)
    assert len(set(drawn[:, 0])) == 10
    np.testing.assert_array_equal(drawn, samples.draw(10, 5))
    assert (drawn != samples.draw(10, 6)).any()
    assert len(samples.draw(100, 1)) == 30


def test_members_are_scaled_from_the_reference_magnitude(best, tmp_path):
    without = CHAIN.replace("1 -66.0 900.0 0.1043 2.15 100.0 66.7\n", "")
    path = write(tmp_path / "bayes.dat", without)
    with pytest.raises(InputError, match="set `reference_magnitude`"):
        LenstoolModel(best, (RA, DEC), "a", chain=path).realisations(2)
    dispersion = 137.4865 * 10 ** (-0.1 * (19.6875 - 18.3953))
    model = LenstoolModel(best, (RA, DEC), chain=path, reference_magnitude=19.6875)
    assert [m.sigma_ratio for m in model.realisations(None)] == pytest.approx(
        [110 / dispersion, 95 / dispersion], rel=1e-4
    )


def test_scaled_cut_radius(best, tmp_path):
    text = CHAIN.replace("#Redshift of 3.2", "#Pot0 rcut (kpc)").replace(" 2.04 ", " 60 ").replace(" 2.15 ", " 45 ")
    text = text.replace(" 2.20 ", " 50 ")
    first = LenstoolModel(best, (RA, DEC), chain=write(tmp_path / "bayes.dat", text)).realisations(None)[0]
    assert first.cut_ratio == pytest.approx(60 / 45)
    rows = [list(p.row) for p in first.file.potentials if p.profile == 81]
    rows[0][6] = 930.0
    for row in rows[1:]:
        row[6] *= 1.1
        row[5] *= 60 / 45
    x, y = first.frame.from_sky(*offsets_to_sky(X, Y, RA, DEC))
    expected = distance_ratio(0.3475, 1.5, OWN) * dpie_fields(x, y, rows)[2]
    np.testing.assert_allclose(first.evaluate(X, Y, 1.5, COSMOLOGY).kappa, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("#O2 : gamma", "#O7 : gamma", "has no potential O7"),
        ("#O2 : gamma", "#O2 : concentration", "'O2 : concentration' is not understood"),
        ("#O2 : gamma", "#Pot1 sigma (km/s)", "several scaling relations"),
        ("930.0 0.0909 2.04", "930.0 0.0909", "line 8 has 6 numbers for the 7 columns"),
        ("930.0", "abc", "no number"),
        ("930.0", "nan", "line 8: O1 : sigma .km/s. is nan"),
        ("930.0", "-5", "which must lie within 0 and 10000"),
        (CHAIN, "", "no header"),
        (CHAIN, "#Nsample\n#Chi2\n1 2\n", "no parameter of a potential"),
    ],
)
def test_bad_chain_is_refused(best, tmp_path, old, new, message):
    path = write(tmp_path / "bayes.dat", CHAIN.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        LenstoolModel(best, (RA, DEC), chain=path).realisations(2)


def test_lens_product_of_a_lenstool_model(best, tmp_path):
    aligned = write_aligned(tmp_path / "aligned.fits", shape=(40, 46))
    settings = lens_settings(origin="lenstool", z_lens=0.3475, name="as")
    evaluate_lens(aligned, [], [], [], [], tmp_path / "lens.fits", settings, model=[best])
    maps = MapSet.read(tmp_path / "lens.fits")
    assert (maps.header["STATE"], maps.header["ORIGIN"]) == ("ok", "lenstool")
    assert maps.header["DLSDS"] == pytest.approx(distance_ratio(0.3475, 1.5, OWN), rel=1e-6)
    alpha = maps["ALPHA_X"].value, maps["ALPHA_Y"].value
    half = 0.5 * (np.gradient(alpha[0], 0.065, axis=1) + np.gradient(alpha[1], 0.065, axis=0))
    part = np.s_[2:-2, 2:20]  # away from the galaxy 13475, whose core is smaller than a pixel
    np.testing.assert_allclose(half[part], maps["KAPPA"].value[part], rtol=1e-3)
    outside = {**settings, "lens_model": settings["lens_model"] | {"radius": 1.0}}
    with pytest.raises(InputError, match="no value at the position of test"):
        evaluate_lens(aligned, [], [], [], [], tmp_path / "lens.fits", outside, model=[best])


def test_one_interface(best, chain):
    description = {"name": "a", "origin": "lenstool", "z_lens": 0.3475, "model": best, "chain": chain}
    model = open_model(description, (RA, DEC))
    assert model.origin == "lenstool" and len(model.realisations(2)) == 2
    assert open_model({"origin": "none"}, (RA, DEC)).evaluate(X, Y, 2.0, COSMOLOGY).mu.tolist() == [1.0] * X.size
    with pytest.raises(ConfigError, match="origin is 'glafic'"):
        open_model({"origin": "glafic"}, (RA, DEC))
