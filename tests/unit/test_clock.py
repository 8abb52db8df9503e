"""Products dated in the future get the date of now; the user's files are left alone and named."""

import os

from klever.clock import date_back


def test_products_are_dated_back_and_other_files_are_named(tmp_path):
    product, past, raw = (tmp_path / name for name in ("results/scene.npz", "results/old.fits", "cubes/raw.fits"))
    for path, date in ((product, 5000.0), (past, 500.0), (raw, 5000.0)):
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (date, date))
    paths = [product, past, raw, tmp_path / "results/not_there"]
    assert date_back(paths, tmp_path / "results", now=1000.0) == [str(raw)]
    assert [path.stat().st_mtime for path in (product, past, raw)] == [1000.0, 500.0, 5000.0]
