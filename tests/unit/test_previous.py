"""Products that a run replaces stay beside the new ones until those are made."""

from klever.previous import dependents, keep, settle


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_product_that_could_not_be_renewed_is_found_beside(tmp_path):
    results = tmp_path / "results"
    lost, renewed = (write(results / "galaxies/sp1" / name, "old") for name in ("lines.ecsv", "cube.fits"))
    keep([lost, renewed], results)
    assert (results / "previous/galaxies/sp1/lines.ecsv").samefile(lost)
    for path in (lost, renewed):
        path.unlink()
    write(renewed, "new")
    kept = results / "previous/galaxies/sp1/lines.ecsv"
    assert settle([lost], results) == {str(lost): str(kept)}
    assert kept.read_text() == "old"
    assert [path for path in (results / "previous").rglob("*") if path.is_file()] == [kept]
    keep([lost, renewed], results)  # it is still the last good one when the next run begins, and fails again
    assert settle([lost], results) == {str(lost): str(kept)}
    write(lost, "new")
    assert settle([], results) == {}
    assert not (results / "previous").exists()


def test_a_product_out_of_date_does_not_stay_in_place(tmp_path):
    results = tmp_path / "results"
    stale = write(results / "gradient.ecsv", "old")
    keep([stale], results)
    settle([stale], results)
    assert not stale.exists()
    assert (results / "previous/gradient.ecsv").read_text() == "old"


def test_folders_are_copied_because_jobs_write_into_them(tmp_path):
    results = tmp_path / "results"
    folder = write(results / "lenses/range/1.fits", "old").parent
    keep([folder], results)
    write(folder / "1.fits", "half")
    settle([folder], results)
    assert (results / "previous/lenses/range/1.fits").read_text() == "half"


def test_only_results_are_kept(tmp_path):
    outside = write(tmp_path / "archive/cube.fits", "raw")
    keep([outside, tmp_path / "results/not_there.fits"], tmp_path / "results")
    assert settle([outside], tmp_path / "results") == {}
    assert outside.exists()


def test_what_was_made_of_a_product_is_followed_to_the_end():
    jobs = [
        {"inputs": ["raw", "list"], "outputs": ["cube"]},
        {"inputs": ["cube"], "outputs": ["lines", "maps"]},
        {"inputs": ["maps", "image"], "outputs": ["figure"]},
        {"inputs": ["image"], "outputs": ["photometry"]},
    ]
    assert sorted(dependents(["raw"], jobs)) == ["cube", "figure", "lines", "maps"]
    assert dependents(["figure"], jobs) == dependents([], jobs) == []
    loop = [{"inputs": ["a"], "outputs": ["b"]}, {"inputs": ["b"], "outputs": ["a"]}]
    assert dependents(["a"], loop) == ["b"]
