from pathlib import Path

import numpy as np
import pytest

from klever.gas.bpt import load_curves
from klever.population.relations import load_relations
from klever.publish.bpt_figure import draw_bpt_figure
from klever.publish.figure_style import SIMULATED_STAMP, paper_style, save_figure
from klever.publish.scaling_figure import draw_scaling_figure

RESOURCES = Path(__file__).parents[2] / "resources"
CURVES = load_curves(RESOURCES / "bpt.json")
RELATIONS = load_relations(RESOURCES / "literature" / "scaling_relations.json")
STEIDEL = RESOURCES / "literature" / "mzr_steidel2014_stacks.csv"
LOCAL = np.array([[8.0, 9.0, 10.0], [8.2, 8.5, 8.7], [0.1, 0.1, 0.1]])
AGES = {0.07: 12.5, 1.4: 4.5, 2.2: 2.9}
NAN = float("nan")


def bpt_row(n2=-1.0, r3=0.5, kind="measured", agn="no", lens="rxj2248", z=1.4):
    return {"lens": lens, "z": z, "R3": r3, "R3_error": 0.05, "R3_kind": "measured", "N2": n2, "N2_error": 0.05,
            "N2_kind": kind, "S2": -0.6, "S2_error": 0.05, "S2_kind": "measured", "agn": agn}  # fmt: skip


def galaxy(mass=9.5, sfr=10.0, log_oh=8.4, **more):
    return {"lens": "ms2137", "z": 2.1, "log_mstar": mass, "log_mstar_error_minus": 0.1, "log_mstar_error_plus": 0.1,
            "sfr": sfr, "sfr_error": 1.0, "dust_correction": "balmer", "log_oh": log_oh, "log_oh_error_minus": 0.05,
            "log_oh_error_plus": 0.05, "metallicity_flags": None} | more  # fmt: skip


def texts(figure):
    return [item.get_text() for axes in figure.axes for item in axes.texts] + [item.get_text() for item in figure.texts]


def test_bpt_panels_count_the_measured_galaxies():
    rows = [bpt_row(), bpt_row(agn="type1"), bpt_row(kind="upper"), bpt_row(n2=NAN), bpt_row(r3=NAN)]
    with paper_style():
        figure = draw_bpt_figure(rows, CURVES, simulated=True)
    found = texts(figure)
    assert "2 galaxies" in found  # with N2
    assert "4 galaxies" in found  # with S2
    assert SIMULATED_STAMP in found
    assert [axes.get_xlabel() != "" for axes in figure.axes] == [True, True]


def test_galaxies_without_a_mass_are_counted_and_not_drawn():
    rows = [galaxy(), galaxy(mass=NAN), galaxy(mass=NAN, sfr=NAN), galaxy(sfr=NAN), galaxy(sfr=-1.0)]
    with paper_style():
        figure = draw_scaling_figure(rows, RELATIONS, STEIDEL, LOCAL, AGES, simulated=False)
    found = texts(figure)
    assert "1 galaxy, 1 without a measured mass" in found
    assert "3 galaxies, 2 without a measured mass" in found
    assert SIMULATED_STAMP not in found


@pytest.mark.parametrize("rows", [[], [galaxy(mass=NAN, sfr=NAN, log_oh=NAN)]])
def test_a_survey_without_measurements_has_a_figure_of_the_relations(rows):
    with paper_style():
        figure = draw_scaling_figure(rows, RELATIONS, STEIDEL, LOCAL, AGES, simulated=False)
        empty = draw_bpt_figure([], CURVES, simulated=False)
    assert len(figure.axes[0].lines) >= 2
    assert "0 galaxies" in texts(empty)


def test_the_same_rows_give_the_same_bytes(tmp_path):
    content = []
    for name in "ab":
        with paper_style():
            figure = draw_bpt_figure([bpt_row(), bpt_row(kind="upper")], CURVES, simulated=True)
            save_figure(figure, tmp_path / f"{name}.pdf", tmp_path / f"{name}.png", 40)
        content.append(((tmp_path / f"{name}.pdf").read_bytes(), (tmp_path / f"{name}.png").read_bytes()))
    assert content[0] == content[1]
