"""LaTeX tables compiled as in a journal: two columns of a page as wide and high as that of MNRAS."""

import re
import shutil
import subprocess

# Text width and height, column separation of mnras.cls (points); its type, 9 pt, is not in article.
_HEAD = r"""\documentclass[twocolumn]{article}
\setlength{\textwidth}{504pt}\setlength{\textheight}{682pt}\setlength{\columnsep}{24pt}
\setlength{\oddsidemargin}{-18pt}\setlength{\topmargin}{-40pt}\hoffset=0pt
\begin{document}
"""


def pdflatex():
    """Path of pdflatex; None where there is none."""
    return shutil.which("pdflatex")


def compile_tables(tables, folder):
    """Compile tables in one document.

    Parameters
    ----------
    tables : list of pathlib.Path
        ``.tex`` files.
    folder : pathlib.Path
        For the document.

    Returns
    -------
    problems : list of str
        Errors, and boxes that stick out of the page.
    pages : int
        Of the document; 0 without one.
    """
    for number, path in enumerate(tables):
        shutil.copyfile(path, folder / f"part{number}.tex")
    parts = "\n".join(rf"\input{{part{number}}}\clearpage" for number in range(len(tables)))
    (folder / "all.tex").write_text(_HEAD + parts + "\n\\end{document}\n")
    done = subprocess.run(
        [pdflatex(), "-interaction=nonstopmode", "-no-shell-escape", "all.tex"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=120, errors="replace",
    )  # fmt: skip
    log = done.stdout.replace("\n", " ")
    problems = re.findall(r"! .{0,200}", log)
    for points, where in re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide\)(.{0,60})", log):
        if float(points) > 1:
            problems.append(f"{points} pt too wide{where}")
    problems += re.findall(r"Float too large for page by [\d.]+pt", log)
    pages = re.search(r"\((\d+) pages?,", log)
    return problems, int(pages.group(1)) if pages else 0
