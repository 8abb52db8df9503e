"""Figures, tables and captions gathered as a paper has them."""

import pytest
from astropy.table import Table
from matplotlib.figure import Figure
from pypdf import PdfReader

from klever.errors import InputError
from klever.publish.paper_sheet import find_products, gather, write_sheet

LISTING = """\
- {name: fig01, stage: lensing, files: "figures/field_*.pdf", caption: "Fields."}
- {name: fig05, stage: lines, files: "figures/fig05.pdf", caption: "Diagrams of $N$2."}
- {name: fig06, files: "figures/fig06.pdf", caption: "Relations."}
- {name: table4, files: "tables/table4.ecsv", caption: "Gradients."}
"""
NOTES = {
    "grade": "simulated data", "grades": {"a": "the survey's own data"}, "own": {"a": "lens.seed = 3"},
    "stages": {"lensing": "100 realisations", "lines": "bins"}, "version": "9",
}  # fmt: skip


@pytest.fixture
def results(tmp_path):
    (tmp_path / "products.yaml").write_text(LISTING)
    folder = tmp_path / "results"
    (folder / "figures").mkdir(parents=True)
    (folder / "tables").mkdir()
    for name, size in (("field_a", (6, 3)), ("field_b", (3, 12)), ("fig05", (3, 3))):
        figure = Figure(figsize=size)
        figure.text(0.5, 0.5, f"content of {name}")
        for suffix in ("pdf", "png"):
            figure.savefig(folder / f"figures/{name}.{suffix}")
    Table({"galaxy": [f"sp{i}" for i in range(99)], "slope": [0.1] * 99}).write(folder / "tables/table4.ecsv")
    (folder / "tables/table4.tex").write_text("tabular")
    return folder


def products_of(results):
    return find_products(results.parent / "products.yaml", results)


def test_files_are_found_and_what_is_missing_is_kept(results):
    names = [(product.name, product.file is not None) for product in products_of(results)]
    assert names == [("fig01_a", True), ("fig01_b", True), ("fig05", True), ("fig06", False), ("table4", True)]


def test_the_folder_holds_figures_tables_and_captions(results):
    gather(products_of(results), results / "paper", NOTES)
    (results / "paper/stale.pdf").write_text("old")
    gather(products_of(results), results / "paper", NOTES)
    assert sorted(path.name for path in (results / "paper").iterdir()) == [
        "captions.md", "fig01_a.pdf", "fig01_a.png", "fig01_b.pdf", "fig01_b.png", "fig05.pdf", "fig05.png",
        "table4.ecsv", "table4.tex",
    ]  # fmt: skip
    captions = (results / "paper/captions.md").read_text()
    settings = "klever 9. Settings: 100 realisations."
    assert f"**fig01_a**: Fields. Input: the survey's own data; {settings} Of its own: lens.seed = 3." in captions
    assert f"**fig01_b**: Fields. Input: simulated data; {settings}\n" in captions
    assert (
        "**fig05**: Diagrams of $N$2. Input: simulated data; klever 9. Settings: bins. Settings of their own: a.\n"
        in captions
    )
    assert "**fig06**: missing; this run has no `figures/fig06.pdf`" in captions


def test_the_sheet_has_a_page_each_with_content_and_caption(results):
    write_sheet(products_of(results), results / "sheet.pdf", NOTES)
    pages = [page.extract_text() for page in PdfReader(results / "sheet.pdf").pages]
    assert len(pages) == 5
    assert "content of field_b" in pages[1]
    assert "fig01_b: Fields. Input: simulated data" in pages[1]
    assert "fig06: missing" in pages[3]
    assert "99 rows, 2 columns" in pages[4]
    assert "sp0" in pages[4]


def test_the_same_products_give_the_same_bytes(results):
    for name in ("one.pdf", "two.pdf"):
        write_sheet(products_of(results), results / name, NOTES)
    assert (results / "one.pdf").read_bytes() == (results / "two.pdf").read_bytes()


@pytest.mark.parametrize("text", ["- {name: fig01}\n", "{a: b}\n", "- [\n"])
def test_a_list_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "products.yaml").write_text(text)
    with pytest.raises(InputError, match="no list of products"):
        find_products(tmp_path / "products.yaml", tmp_path)
