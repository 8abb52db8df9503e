"""Compile the line-fit kernel once per run; the jobs of the rule `lines` load the machine code."""

import os
import shutil
from pathlib import Path

import numpy as np


def compile_kernel(line_list, kernel, settings):
    """Compile every function of the engine and keep the machine code beside `kernel`.

    Parameters
    ----------
    line_list : str
        ``resources/lines.yaml``: a group is fitted to noise.
    kernel : str
        Text file to write, in a folder of its own: what is in that folder is deleted first.
    settings : dict
        Not used; holds the digest of the code.
    """
    folder = Path(kernel).parent
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ["KLEVER_KERNEL_CACHE"] = str(folder)

    from klever.linefit.model import GroupModel
    from klever.linefit.varpro import fit_spectra, search_velocity
    from klever.spectral_lines import load_line_list

    group = load_line_list(line_list).groups["halpha"]
    wavelength = np.arange(0.640, 0.690, 0.0002)
    flux = np.random.default_rng(0).standard_normal((2, len(wavelength)))
    model, error = GroupModel(group, 0.0, 0.0002), np.ones_like(flux)
    # All of it: what a job had to compile itself would differ from the cached code in the last digits of its results.
    fit_spectra(model, wavelength, flux, error, errors="posterior")
    search_velocity(model, wavelength, flux, error)
    Path(kernel).write_text(f"klever.linefit.kernel {settings['code']}\n", encoding="utf-8")


if __name__ == "__main__":
    from klever.job import run

    run(snakemake, compile_kernel)
