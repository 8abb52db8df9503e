"""Figures and tables of a run gathered as a paper has them, and one PDF that shows them all with their captions."""

import io
import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml

from klever.errors import InputError
from klever.publish.captions import caption_note

__all__ = ["Product", "find_products", "full_caption", "gather", "write_sheet"]

_PAGE = (595.3, 841.9)  # points, A4
_MARGIN, _CAPTION = 36.0, 60.0
_ROWS, _WIDTH = 62, 118  # of a table's page, characters


@dataclass(frozen=True)
class Product:
    """A figure or table of the paper: its name there, the file that holds it (None: missing), and its caption.

    `stage` is that of the settings that its caption quotes, `what` the part of the path that a pattern left open.
    """

    name: str
    file: Path | None
    caption: str
    pattern: str
    stage: str = ""
    what: str = ""


def find_products(listing, results):
    """Find the files of a list of products.

    Parameters
    ----------
    listing : path-like
        ``resources/paper_products.yaml``.
    results : path-like

    Returns
    -------
    list of Product
        In the order of the list; several files of one entry are told apart by what differs in their paths.

    Raises
    ------
    InputError
        The list is not one.
    """
    try:
        entries = yaml.safe_load(Path(listing).read_text(encoding="utf-8"))
        wanted = [(entry["name"], entry["files"], entry["caption"], entry.get("stage", "")) for entry in entries]
    except (OSError, yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{listing} is no list of products with name, files and caption ({error}).") from error
    found = []
    for name, pattern, caption, stage in wanted:
        files = sorted(Path(results).glob(pattern))
        if not files:
            found.append(Product(name, None, caption, pattern))
        head, star, tail = pattern.partition("*")
        for path in files:
            what = path.relative_to(results).as_posix()
            what = what[len(head) : len(what) - len(tail)] if star else ""
            found.append(Product(f"{name}_{what}" if what else name, path, caption, pattern, stage, what))
    return found


def full_caption(product, notes):
    """Return the caption of a product with what it was made of and how; what is missing is said.

    Parameters
    ----------
    product : Product
    notes : dict
        From `klever.publish.captions.caption_notes`.
    """
    if product.file is None:
        return f"missing; this run has no `{product.pattern}`. {product.caption}"
    printed = product.pattern.startswith("published/")
    return f"{product.caption} {caption_note(notes, product.stage, product.what, printed)}"


def gather(products, folder, notes):
    """Copy the products into a folder, with ``captions.md``; a folder that is there is replaced.

    Parameters
    ----------
    products : list of Product
    folder : path-like
    notes : dict
        What every caption says of data and settings, from `klever.publish.captions.caption_notes`.
    """
    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lines = ["# Captions", ""]
    for product in products:
        lines.append(f"- **{product.name}**: {full_caption(product, notes)}")
        if product.file is None:
            continue
        for suffix in sorted({product.file.suffix, ".png", ".tex"}):
            source = product.file.with_suffix(suffix)
            if source.is_file():
                shutil.copyfile(source, folder / f"{product.name}{suffix}")
    (folder / "captions.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_sheet(products, path, notes):
    """Write one PDF with a page for each product, scaled to fit, and its caption below; tables as text.

    Parameters
    ----------
    products : list of Product
    path : path-like
    notes : dict
        As for `gather`.
    """
    from pypdf import PdfReader, PdfWriter, Transformation

    writer = PdfWriter()
    for product in products:
        text = f"{product.name}: {full_caption(product, notes)}"
        body = _table_lines(product.file) if product.file and product.file.suffix == ".ecsv" else []
        page = writer.add_page(PdfReader(_text_page(text, body)).pages[0])
        if product.file is None or body:
            continue
        figure = PdfReader(product.file).pages[0]
        width, height = float(figure.mediabox.width), float(figure.mediabox.height)
        room = _PAGE[0] - 2 * _MARGIN, _PAGE[1] - 2 * _MARGIN - _CAPTION
        scale = min(room[0] / width, room[1] / height, 1.5)
        left, bottom = (_PAGE[0] - scale * width) / 2, _PAGE[1] - _MARGIN - scale * height
        page.merge_transformed_page(figure, Transformation().scale(scale).translate(left, bottom))
    writer.compress_identical_objects()
    writer.metadata = None
    with Path(path).open("wb") as stream:
        writer.write(stream)


def _text_page(caption, body):
    """Return an A4 page with a caption at its foot and lines of text above, as a PDF in memory."""
    import textwrap

    from matplotlib.figure import Figure

    from klever.publish.figure_style import paper_style

    stream = io.BytesIO()
    with paper_style():
        figure = Figure(figsize=(_PAGE[0] / 72, _PAGE[1] / 72), layout=None)
        foot = textwrap.fill(caption.replace("$", r"\$"), 125)
        figure.text(_MARGIN / _PAGE[0], (_MARGIN + _CAPTION - 8) / _PAGE[1], foot, va="top", fontsize=7.5)
        if body:
            top = 1 - _MARGIN / _PAGE[1]
            figure.text(_MARGIN / _PAGE[0], top, "\n".join(body).replace("$", r"\$"), va="top", fontsize=5.6,
                        family="DejaVu Sans Mono", linespacing=1.35)  # fmt: skip
        figure.savefig(stream, format="pdf", metadata={"CreationDate": None})
    stream.seek(0)
    return stream


def _table_lines(path):
    """Return a table as lines of text that fit the page; what does not fit is said."""
    from astropy.table import Table

    table = Table.read(path, format="ascii.ecsv")
    for name in table.colnames:
        if table[name].dtype.kind == "f":
            table[name].info.format = ".4g"
    # the survey's own columns first: what is published stands in the paper
    chosen, width = [], 0
    for name in sorted(table.colnames, key=lambda name: name.startswith("published")):
        width += 1 + max(map(len, table[[name]].pformat(max_lines=-1, max_width=-1)))
        if width > _WIDTH:
            break
        chosen.append(name)
    lines = table[chosen].pformat(max_lines=_ROWS, max_width=-1)
    shown = f"the first {len(chosen)} shown; " if len(chosen) < len(table.colnames) else ""
    return [*lines, "", f"{len(table)} rows, {len(table.colnames)} columns; {shown}whole in {path.name}"]
