"""Clusters fitted to multiple images: profiles, chi2 in both planes, recovery, coverage, predicted images, tables."""

import re
from functools import cache

import numpy as np
import pytest
from scipy.stats import chi2 as chi2_distribution
from test_config import Folder

from klever.errors import InputError
from klever.grids import offsets_to_sky
from klever.inspection.lenses import inspect_lens
from klever.lensfit.cluster import PARAMETERS, ClusterLens, Images, Members
from klever.lensfit.cluster_images import predict
from klever.lensfit.cluster_products import open_fit, profiles_of, write_fit, write_images, write_samples
from klever.lensfit.cluster_profiles import halo_fields, member_fields
from klever.lensfit.cluster_search import ClusterFit, fit_cluster, refine, sample_posterior, search
from klever.lensfit.cluster_tables import read_images, read_members, table_meta
from klever_simulation.lenses import LensModel
from klever_simulation.multiple_images import isothermal, members_of, observe, simulate_families

COSMOLOGY = {"H0": 67.8, "Om0": 0.308, "Ode0": 0.69}
CENTRE = (72.9936632, 0.1038756)
REDSHIFTS = (2.014, 1.405, 2.93, 3.77, 4.9)
ERROR = 0.05
SIGMA, RADIUS, SLOPE, AXIS_RATIO, ANGLE, SHEAR, SHEAR_ANGLE = 138.5, 14.0, 1.9, 0.75, 20.0, 0.03, -20.0


def lens_of_truth():
    places = [(5.1, 13.0, 1.0), (5.5, 4.7, 0.85), (9.4, -3.7, 0.8), (-23.9, -6.6, 0.73), (-3.5, -16.8, 0.56)]
    members = [
        {"name": f"m{i}", "type": "dpie", "x": x, "y": y, "sigma": SIGMA * s, "core": 0.1, "cut": 8.7 * s**2}
        for i, (x, y, s) in enumerate(places)
    ]
    halo = {"name": "halo", "type": "power_law", "x": 0.0, "y": 0.0, "einstein_radius": RADIUS, "slope": SLOPE,
            "axis_ratio": AXIS_RATIO, "angle": ANGLE}  # fmt: skip
    shear = {"name": "shear", "type": "shear", "gamma": SHEAR, "angle": SHEAR_ANGLE}
    return isothermal(LensModel("test", *CENTRE, 0.43, [halo, shear, *members], z_reference=2.014))


def truth():
    flattening = (1 - AXIS_RATIO) / (1 + AXIS_RATIO)
    e = flattening * np.exp(2j * np.radians(ANGLE))
    gamma = SHEAR * np.exp(2j * np.radians(SHEAR_ANGLE))
    return np.array([RADIUS, e.real, e.imag, SLOPE, 0, 0, gamma.real, gamma.imag, SIGMA])


@cache
def families():
    return simulate_families(lens_of_truth(), REDSHIFTS, seed=3)


def true_images():
    return np.concatenate([family.x + 1j * family.y for family in families()])


def cluster(seed=None, free=(), keep=None, **more):
    """The lens with images of noise `seed` (none without one), some without redshift."""
    rows = observe(families(), ERROR, 0 if seed is None else seed)
    z = np.array([row[2] + 1j * row[3] for row in rows]) if seed is not None else true_images()
    family = np.array([int(row[0]) - 1 for row in rows])
    redshift = np.array([np.nan if i in free else z for i, z in enumerate(REDSHIFTS)])
    names = [str(i + 1) for i in range(len(REDSHIFTS))]
    keep = np.arange(len(z)) if keep is None else keep
    images = Images(z[keep], np.full(len(keep), ERROR), family[keep], redshift, names, [rows[i][1] for i in keep])
    galaxies = members_of(lens_of_truth())
    members = Members(np.array([g[1] + 1j * g[2] for g in galaxies]), np.array([g[3] for g in galaxies]))
    return ClusterLens(images, members, 0.43, COSMOLOGY, **more)


@cache
def fitted():
    lens = cluster(seed=1, free=(4,))
    return lens, fit_cluster(lens, starts=6, walkers=30, steps=150, burn_in=100, samples=400)


def test_fields_are_those_of_lenstronomy():
    from klever.lensmodels.parametric import ParametricModel

    rng = np.random.default_rng(1)
    z = rng.normal(0, 15, 50) + 1j * rng.normal(0, 15, 50)
    for cut in (None, 8.7):
        lens, p = cluster(cut=cut), truth() + np.array([0, 0, 0, 0, 0.3, -0.2, 0, 0, 0])
        alpha, kappa, gamma = (value[0] for value in lens.fields(p[None], z[None]))
        model = ParametricModel("test", 0.43, CENTRE, profiles_of(lens, p), CENTRE, {"z_source": 2.014})
        ax, ay, own_kappa, gamma1, gamma2 = model.native_fields(z.real, z.imag)
        np.testing.assert_allclose(alpha, ax + 1j * ay, rtol=1e-7, atol=1e-8)
        np.testing.assert_allclose(kappa, own_kappa, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(gamma, gamma1 + 1j * gamma2, rtol=1e-6, atol=1e-8)


def test_fields_are_those_of_the_simulation():
    x, y = np.array([3.0, -12.0, 20.0]), np.array([14.0, 2.0, -9.0])
    alpha, kappa, gamma = (value[0] for value in cluster().fields(truth()[None], (x + 1j * y)[None]))
    expected = lens_of_truth()
    np.testing.assert_allclose([alpha.real, alpha.imag], expected.deflection(x, y, 2.014), rtol=1e-4)
    np.testing.assert_allclose([kappa, gamma.real, gamma.imag], expected.convergence_shear(x, y, 2.014), rtol=1e-4)


@pytest.mark.parametrize("cut", [None, 5.0])
def test_kappa_and_shear_are_derivatives_of_the_deflection(cut):
    z, h = np.array([3.0 + 2.0j, -7.0 + 1.0j]), 1e-5
    members = np.array([1.0 + 0j, -6.0 + 3j]), np.array([1.0, 0.4])
    cuts = None if cut is None else cut * members[1]
    shaped = [np.array([[value]]) for value in (10.0, 0.2, -0.1, 1.7, 0.5 - 0.3j)]
    for fields in (lambda z: member_fields(z, members, cuts), lambda z: [v[0] for v in halo_fields(z[None], *shaped)]):
        _, kappa, gamma = fields(z)
        along_x = (fields(z + h)[0] - fields(z - h)[0]) / (2 * h)
        along_y = (fields(z + 1j * h)[0] - fields(z - 1j * h)[0]) / (2 * h)
        np.testing.assert_allclose(kappa, 0.5 * (along_x.real + along_y.imag), rtol=1e-6)
        np.testing.assert_allclose(gamma, 0.5 * (along_x.real - along_y.imag) + 1j * along_x.imag, rtol=1e-5)


def test_a_centre_is_finite():
    shaped = [np.array([[value]]) for value in (10.0, 0.0, 0.0, 2.0, 0j)]
    assert all(np.isfinite(value).all() for value in halo_fields(np.zeros((1, 1), complex), *shaped))
    assert all(np.isfinite(value).all() for value in member_fields(np.zeros(1, complex), (np.zeros(1), np.ones(1))))


def test_truth_focuses_images_without_noise():
    lens = cluster()
    residuals, sources, _ = lens.source_plane(truth()[None])
    assert np.abs(residuals).max() < 0.02  # members of the simulation are cut at 1e6 arcsec
    np.testing.assert_allclose(sources[0], [complex(*family.source) for family in families()], atol=2e-3)
    residuals, _, _, theta, found = lens.image_plane(truth()[None])
    assert found.all() and np.abs(residuals).max() < 0.02
    np.testing.assert_allclose(theta[0], true_images(), atol=1e-3)


def test_both_planes_agree_for_small_offsets_and_chi2_is_of_the_noise():
    values = []
    for seed in range(20):
        lens = cluster(seed)
        image = lens.image_plane(truth()[None])
        chi2 = (np.abs(image[0]) ** 2).sum()
        np.testing.assert_allclose((np.abs(lens.source_plane(truth()[None])[0]) ** 2).sum(), chi2, rtol=0.1)
        values.append(chi2)
    degrees = 2 * len(true_images()) - 2 * len(REDSHIFTS)
    assert abs(np.mean(values) - degrees) < 4 * np.sqrt(2 * degrees / 20)


def test_source_is_where_chi2_is_least():
    """Linearised chi2 at displaced sources is larger, as the quadratic form of the weights says."""
    lens = cluster(seed=4)
    _, sources, _, theta, _ = lens.image_plane(truth()[None], iterations=20)
    rows = np.flatnonzero(lens.images.family == 0)
    from scipy.optimize import fsolve

    alone = lens_of_truth()

    def chi2(source):
        total = 0.0
        for row in rows:
            equation = lambda t: np.array(t) - np.array(alone.deflection(*t, REDSHIFTS[0])) - source  # noqa: E731
            x, y = fsolve(equation, [theta[0, row].real, theta[0, row].imag], xtol=1e-12)
            total += np.abs(lens.images.z[row] - x - 1j * y) ** 2 / ERROR**2
        return total

    best = np.array([sources[0, 0].real, sources[0, 0].imag])
    least = chi2(best)
    assert all(chi2(best + step) > least for step in 0.003 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]]))


def test_sets_of_parameters_do_not_mix():
    rng = np.random.default_rng(2)
    lens = cluster(seed=0, free=(1,))
    p = np.append(truth(), REDSHIFTS[1]) * (1 + 0.01 * rng.normal(size=(5, 10)))
    together = lens.log_posterior(p)
    np.testing.assert_allclose(together, [lens.log_posterior(one)[0] for one in p], rtol=1e-8)


def test_mirrored_sky_has_the_mirrored_lens():
    lens = cluster(seed=0)
    mirrored = cluster(seed=0)
    flipped = Images(**{**vars(lens.images), "z": -np.conj(lens.images.z)})
    mirrored = ClusterLens(flipped, Members(-np.conj(lens.members.z), lens.members.magnitude), 0.43, COSMOLOGY)
    p = truth() + np.array([0, 0, 0, 0, 0.2, 0.1, 0, 0, 0])
    sign = np.array([1, 1, -1, 1, -1, 1, 1, -1, 1])
    np.testing.assert_allclose(mirrored.log_posterior(p * sign), lens.log_posterior(p), rtol=1e-9)


def test_outside_the_priors_is_impossible():
    lens = cluster(seed=0)
    for i in range(len(PARAMETERS)):
        for bound in (lens.lower, lens.upper):
            p = truth()
            p[i] = bound[i] + 1e-6 * (1 if bound is lens.upper else -1)
            assert lens.log_posterior(p)[0] == -np.inf


def test_an_image_the_model_does_not_make_is_penalised():
    lens = cluster()
    z = lens.images.z.copy()
    z[0] = 30.0 + 25.0j  # far outside the critical lines: one image only, not there
    wrong = ClusterLens(Images(**{**vars(lens.images), "z": z}), lens.members, 0.43, COSMOLOGY)
    residuals, _, _, _, found = wrong.image_plane(truth()[None], iterations=20)
    assert not found[0, lens.images.family == 0].all()
    assert (np.abs(residuals[~found]) >= 10.0).all()
    assert found[0, lens.images.family != 0].all()


def test_images_that_become_one_are_missing():
    lens = cluster()
    rows = np.flatnonzero(lens.images.family == 0)
    z = lens.images.z.copy()
    z[rows[1]] = z[rows[0]] + 0.4
    doubled = ClusterLens(Images(**{**vars(lens.images), "z": z}), lens.members, 0.43, COSMOLOGY)
    assert doubled.image_plane(truth()[None], iterations=20)[4][0, rows[:2]].sum() == 1


def test_recovery():
    lens, fit = fitted()
    assert fit.found.all()
    assert np.sqrt(np.mean(np.abs(fit.predicted - true_images()) ** 2)) < 0.05  # arcsec, of the true positions
    expected = np.append(truth(), REDSHIFTS[4])
    offset = expected - fit.samples.mean(0)
    distance = offset @ np.linalg.solve(np.cov(fit.samples.T), offset)
    assert distance < chi2_distribution(len(expected)).ppf(0.999)
    assert np.all(fit.samples.std(0)[[0, 3]] < [0.3, 0.1])  # the data tell the radius and the slope
    assert chi2_distribution(lens.degrees).sf(fit.chi2) > 1e-3
    assert fit.agreeing >= 1


def test_coverage_of_the_posterior():
    """Over noise seeds, the truth's distance from the posterior mean in its own covariance is chi2-distributed."""
    distances, ranks = [], []
    for seed in range(10, 20):
        lens = cluster(seed)
        sampler = sample_posterior(lens, refine(lens, truth()), 40, 200, 100, seed, plane="source")
        chain = sampler.get_chain(discard=100, flat=True)
        offset = truth() - chain.mean(0)
        distances.append(offset @ np.linalg.solve(np.cov(chain.T), offset))
        ranks.append((chain < truth()).mean(0))
    low, high = chi2_distribution(9 * len(distances)).ppf([0.001, 0.999])
    assert low < np.sum(distances) < high
    assert 0.5 < np.mean((np.array(ranks) > 0.16) & (np.array(ranks) < 0.84)) < 0.86


def test_an_image_left_out_is_predicted():
    lens = cluster(seed=1)
    rows = np.flatnonzero(lens.images.family == 2)
    assert len(rows) >= 4
    keep = np.delete(np.arange(len(lens.images.z)), rows[-1])
    less = cluster(seed=1, keep=keep)
    best, _ = search(less, starts=2)
    _, sources, _, theta, found = (value[0] for value in less.image_plane(best[None], iterations=20))
    fit = ClusterFit(best, best[None], sources, theta, found, 0.0, 0.0, 0.0, 0.0, 1)
    predictions = predict(less, fit)
    new = [one for one in predictions if one.observed is None and one.family == 2]
    nearest = min(new, key=lambda one: abs(one.z - true_images()[rows[-1]]))
    assert abs(nearest.z - true_images()[rows[-1]]) < 0.3
    truth_mu = families()[2].mu[-1]
    assert np.sign(nearest.mu) == np.sign(truth_mu) and abs(nearest.mu / truth_mu - 1) < 0.2
    assert (nearest.parity == "saddle") == (truth_mu < 0)


def test_all_images_are_those_of_the_simulation():
    """Every simulated image is predicted, and every observed one is matched once."""
    lens = cluster()
    _, sources, _, theta, found = (value[0] for value in lens.image_plane(truth()[None], iterations=20))
    fit = ClusterFit(truth(), truth()[None], sources, theta, found, 0.0, 0.0, 0.0, 0.0, 1)
    predictions = predict(lens, fit)
    matched = {one.observed: one for one in predictions if one.observed is not None}
    assert sorted(matched) == list(range(len(lens.images.z)))
    mu = np.concatenate([family.mu for family in families()])
    np.testing.assert_allclose([matched[i].mu for i in range(len(mu))], mu, rtol=5e-3)


def test_products_are_a_lens_model(tmp_path):
    lens, fit = fitted()
    meta = {"lens": "test", "simulated": True}
    write_fit(tmp_path / "fit.ecsv", lens, fit, CENTRE, meta)
    write_samples(tmp_path / "samples.ecsv", lens, fit, meta)
    write_images(tmp_path / "images.ecsv", lens, fit, predict(lens, fit), CENTRE, meta)
    model = open_fit(tmp_path / "fit.ecsv", tmp_path / "samples.ecsv", "test", CENTRE)
    x, y = true_images().real, true_images().imag
    fields = model.evaluate(x[:4], y[:4], REDSHIFTS[0], COSMOLOGY)
    alpha = lens.fields(fit.best[None], (x + 1j * y)[None, :4])[0][0]
    np.testing.assert_allclose(fields.alpha[0] + 1j * fields.alpha[1], alpha, rtol=1e-6)
    mu = np.array([one.evaluate(x[:4], y[:4], REDSHIFTS[0], COSMOLOGY).mu for one in model.realisations(30, 1)])
    np.testing.assert_array_less(np.abs(families()[0].mu - mu.mean(0)), 4 * mu.std(0))
    from astropy.table import Table

    images = Table.read(tmp_path / "images.ecsv")
    assert images.meta["simulated"] and (images["status"] == "observed").sum() == len(true_images())


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    lens = cluster(seed=1)
    for name in ("a", "b"):
        fit = fit_cluster(lens, starts=1, walkers=24, steps=20, burn_in=5, samples=10)
        write_samples(tmp_path / name, lens, fit, {})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_more_parameters_than_constraints():
    keep = np.flatnonzero(cluster().images.family < 2)[:5]
    lens = cluster(seed=0)
    images = Images(lens.images.z[keep], lens.images.error[keep], lens.images.family[keep],
                    lens.images.redshift[:2], ["1", "2"], lens.images.labels[:5])  # fmt: skip
    with pytest.raises(InputError, match=r"5 images of 2 sources give \d constraints for 9 parameters; add images"):
        fit_cluster(ClusterLens(images, lens.members, 0.43, COSMOLOGY))


IMAGES = (
    "family\timage\tx\ty\tz\terror\n1\t1a\t10\t0\t2.0\t0.1\n1\t1b\t-8\t1\t2.0\t0.1\n"
    "2\t2a\t0\t9\t\t0.1\n2\t2b\t1\t-7\t\t0.1\n"
)


def written(tmp_path, text, name="table.tsv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_tables_are_read(tmp_path):
    images = read_images(written(tmp_path, IMAGES), CENTRE, 0.43)
    assert images.names == ["1", "2"] and images.labels == ["1a", "1b", "2a", "2b"]
    np.testing.assert_array_equal(images.z, [10, -8 + 1j, 9j, 1 - 7j])
    assert images.redshift[0] == 2.0 and np.isnan(images.redshift[1])
    ra, dec = offsets_to_sky(np.array([10.0, -8.0]), np.array([0.0, 1.0]), *CENTRE)
    rows = "\n".join(f"1\t{a:.10f}\t{d:.10f}\t2.0\t0.1" for a, d in zip(ra, dec, strict=True))
    sky = read_images(written(tmp_path, f"family\tra\tdec\tz\terror\n{rows}\n"), CENTRE, 0.43)
    np.testing.assert_allclose(sky.z, images.z[:2], atol=1e-5)
    assert sky.labels == ["1.1", "1.2"]
    members = read_members(written(tmp_path, "x\ty\tmagnitude\n1\t2\t20.5\n"), CENTRE)
    assert members.z[0] == 1 + 2j and members.magnitude[0] == 20.5
    assert not len(read_members(None, CENTRE).z)
    assert table_meta(tmp_path / "table.tsv") == {"centre": None, "simulated": False}


@pytest.mark.parametrize(("old", "new", "message"), [
    ("2\t2b\t1\t-7\t\t0.1\n", "", "family 2 has one image, which says nothing of the lens"),
    ("\t2.0\t", "\t0.3\t", "row 1: z is 0.3, but is not behind the lens (z = 0.43)"),
    ("1\t1a\t10", "1\t1a\tnan", "row 1: x is nan, but must be a number"),
    ("1\t1a\t10", "1\t1a\tten", "row 1: x is 'ten', which is no number"),
    ("1\t1a\t10", "1\t1a\t4000", "row 1: the image lies 4000 arcsec from the lens at ra 72.99366, dec 0.10388"),
    ("-8\t1\t2.0\t0.1", "-8\t1\t2.0\t0", "row 2: error is 0, but must be greater than 0"),
    ("-8\t1\t2.0", "-8\t1\t2.1", "the images of family 1 have different redshifts"),
    ("-8\t1\t2.0", "-8\t1\t", "the images of family 1 have different redshifts"),
    ("-8\t1\t2.0", "10\t0\t2.0", "family 1 has the same image twice"),
    ("\t2.0\t", "\t\t", "no family has a redshift"),
    ("family\timage", "familly\timage", "unknown column familly; did you mean family?"),
    ("\terror\n", "\tnote\n", "has no column error"),
    ("x\ty", "ra\ty", "needs the columns ra and dec (degrees) or x and y"),
])  # fmt: skip
def test_tables_that_cannot_be_used(tmp_path, old, new, message):
    assert old in IMAGES
    with pytest.raises(InputError, match=re.escape(message)):
        read_images(written(tmp_path, IMAGES.replace(old, new)), CENTRE, 0.43)


@pytest.mark.parametrize(("text", "message"), [
    ("x\ty\tmagnitude\n400\t0\t20\n", "row 1: the member lies 400 arcsec from the lens"),
    ("x\ty\tmagnitude\n4\t0\t\n", "row 1: magnitude is nan, but must be a number"),
    ("x\ty\tmag\n4\t0\t20\n", "unknown column mag"),
    ("x\ty\tmagnitude\n", "has no rows"),
])  # fmt: skip
def test_members_that_cannot_be_used(tmp_path, text, message):
    with pytest.raises(InputError, match=re.escape(message)):
        read_members(written(tmp_path, text), CENTRE)


def test_a_missing_table(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_images(tmp_path / "none.ecsv", CENTRE, 0.43)


ENTRY = """ms2137:
  z_lens: 0.313
  origin: fit_images
  centre: [325.06, -23.66]
  multiple_images: images.tsv
  members: members.tsv
"""


def test_an_entry_of_lenses_yaml(tmp_path):
    survey = Folder(tmp_path)
    survey.write("lenses.yaml", ENTRY)
    survey.touch("images.tsv", "members.tsv")
    model = survey.load().lens_model("ms2137")
    assert model["multiple_images"] == "images.tsv" and model["member_cut"] is None
    assert model["model"] == "results/lenses/ms2137/cluster_fit.ecsv"


@pytest.mark.parametrize(("old", "new", "words"), [
    ("  multiple_images: images.tsv\n", "", ["multiple_images"]),
    ("  centre: [325.06, -23.66]\n", "", ["centre"]),
    ("images.tsv", "none.tsv", ["ms2137.multiple_images", "table of multiple images none.tsv does not exist"]),
    ("members.tsv", "members.tsv\n  x_sign: 1", ["ms2137.x_sign", "`origin: maps`"]),
    ("members.tsv", "members.tsv\n  member_cut: -1", ["ms2137.member_cut"]),
])  # fmt: skip
def test_entries_of_lenses_yaml_that_cannot_be_used(tmp_path, old, new, words):
    survey = Folder(tmp_path)
    survey.touch("images.tsv", "members.tsv")
    survey.write("lenses.yaml", ENTRY.replace(old, new))
    problem = survey.only_problem()
    assert all(word in problem for word in words), problem


def test_inspection_reads_the_tables(tmp_path):
    request = {"origin": "fit_images", "centre": CENTRE, "z_lens": 0.43, "members": None,
               "multiple_images": str(written(tmp_path, IMAGES))}  # fmt: skip
    _, errors, warnings = inspect_lens(request)
    assert errors == ["the images give 3 constraints for 9 parameters: add images"]
    assert warnings == ["no table of members: the halo is the whole mass"]
