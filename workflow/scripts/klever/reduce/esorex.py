"""Command files and sets of frames for esorex, from raw frames to the reconstructed exposures that are reduced here.

Neither the recipes nor their static calibrations are part of this workflow.  Tags, recipes and parameters are those of
the pipelines' own descriptions; sky is left in (it is subtracted here, `klever.reduce.skysub`), and so is the response.
Each recipe writes the list of its products with their categories (``--products-sof``), from which the next ones take
what they need; so no name of a product is assumed.
"""

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from klever.errors import InputError
from klever.reduce.rawframes import SCIENCE, STANDARD, associated, sequences

__all__ = ["Step", "observations", "steps_of", "write_steps"]


@dataclass(frozen=True)
class Step:
    """One call of a recipe.

    Parameters
    ----------
    name : str
        Of its files.
    recipe : str
    options : tuple of str
    frames : tuple of (str, str)
        Raw frames and their tags.
    products : tuple of (str, str)
        Earlier step, and the category of its product that is an input.
    static : tuple of str
        Categories of static calibrations.
    output : str
        New name of the product of `category`, empty if it is only an input of later steps.
    category : str
    """

    name: str
    recipe: str
    options: tuple = ()
    frames: tuple = ()
    products: tuple = ()
    static: tuple = ()
    output: str = ""
    category: str = ""


@dataclass
class Observation:
    """Science frames of one setup taken together, and the standard star nearest in time."""

    instrument: str
    setup: str
    science: list
    standard: list = field(default_factory=list)

    @property
    def name(self):
        """Setup and the time of the first frame, for example ``KMOS_H_57200.1000``."""
        return f"{self.instrument}_{self.setup}_{self.science[0].time:.4f}"


def observations(frames):
    """Return the sequences of science frames, each with its standard star if there is one.

    Parameters
    ----------
    frames : list of klever.reduce.rawframes.RawFrame

    Raises
    ------
    InputError
        There are no science frames.
    """
    found = []
    for instrument in sorted({frame.instrument for frame in frames}):
        own = [frame for frame in frames if frame.instrument == instrument]
        for setup in sorted({frame.setup for frame in own}):
            science = [frame for frame in own if frame.setup == setup and frame.tag in SCIENCE[instrument]]
            for group in sequences(science):
                near = [associated(own, tag, setup, group[0].time) for tag in STANDARD[instrument]]
                found.append(Observation(instrument, setup, group, [frame for part in near for frame in part]))
    if not found:
        raise InputError(
            f"none of the {len(frames)} raw frames of KMOS or SINFONI is a science frame (ESO DPR CATG SCIENCE); add "
            "them."
        )
    return found


def steps_of(observation, frames):
    """Return the calls that turn an observation into reconstructed exposures.

    Parameters
    ----------
    observation : Observation
    frames : list of klever.reduce.rawframes.RawFrame
        Among them its calibrations.

    Raises
    ------
    InputError
        A calibration that the recipes need is missing.
    """
    own = [frame for frame in frames if frame.instrument == observation.instrument]
    return (_kmos if observation.instrument == "KMOS" else _sinfoni)(observation, own)


def _needed(frames, observation, tags, dit=None, required=True):
    """Raw frames of several tags, nearest in time."""
    found = []
    for tag in tags:
        group = associated(frames, tag, observation.setup, observation.science[0].time, dit)
        if not group and required:
            raise InputError(
                f"{observation.name}: there is no raw frame {tag} of {observation.setup} for the observation of "
                f"{observation.science[0].path}; download its calibrations (the archive's button 'associated raw "
                "calibrations')."
            )
        found += [(frame.path, tag) for frame in group]
    return tuple(found)


def _kmos(observation, frames):
    def need(*tags, required=True):
        return _needed(frames, observation, tags, required=required)

    steps = [
        Step("dark", "kmos_dark", frames=need("DARK")),
        Step("flat", "kmos_flat", frames=need("FLAT_OFF", "FLAT_ON"), products=(("dark", "BADPIXEL_DARK"),)),
        Step("wave", "kmos_wave_cal", frames=need("ARC_OFF", "ARC_ON"), static=("REF_LINES", "WAVE_BAND", "ARC_LIST"),
             products=(("flat", "FLAT_EDGE"), ("flat", "XCAL"), ("flat", "YCAL"))),
    ]  # fmt: skip
    calibrations = (("flat", "XCAL"), ("flat", "YCAL"), ("wave", "LCAL"), ("flat", "MASTER_FLAT"))
    sky = need("FLAT_SKY", required=False)
    if sky:
        steps.append(
            Step("illumination", "kmos_illumination", frames=sky, static=("WAVE_BAND",),
                 products=(("dark", "MASTER_DARK"), *calibrations, ("flat", "FLAT_EDGE")))
        )  # fmt: skip
        calibrations += (("illumination", "ILLUM_CORR"),)
    options = ("--no_subtract=TRUE", "--no_combine=TRUE")
    for kind, group in (("exposure", observation.science), ("standard", observation.standard)):
        for number, frame in enumerate(group):
            name = f"{kind}_{number:02d}"
            steps.append(
                Step(name, "kmos_sci_red", options, ((frame.path, "SCIENCE"),), calibrations, ("WAVE_BAND", "OH_SPEC"),
                     f"{name}.fits", "SCI_RECONSTRUCTED")
            )  # fmt: skip
    return steps


def _sinfoni(observation, frames):
    def need(*tags, dit=None, required=True):
        return _needed(frames, observation, tags, dit, required)

    steps = [
        Step("dark", "sinfo_rec_mdark", frames=need("DARK", dit=observation.science[0].dit)),
        Step("flat", "sinfo_rec_mflat", frames=need("FLAT_LAMP")),
        Step("distortion", "sinfo_rec_distortion", frames=need("FIBRE_NS", "FLAT_NS", "WAVE_NS"),
             static=("REF_LINE_ARC", "DRS_SETUP_WAVE")),
        Step("wave", "sinfo_rec_wavecal", frames=need("WAVE_LAMP"), static=("REF_LINE_ARC", "DRS_SETUP_WAVE"),
             products=(("flat", "MASTER_FLAT_LAMP"), ("flat", "MASTER_BP_MAP"), ("distortion", "DISTORTION"),
                       ("distortion", "SLITLETS_DISTANCE"))),
    ]  # fmt: skip
    calibrations = (
        ("dark", "MASTER_DARK"), ("flat", "MASTER_FLAT_LAMP"), ("flat", "MASTER_BP_MAP"), ("distortion", "DISTORTION"),
        ("distortion", "SLITLETS_DISTANCE"), ("wave", "WAVE_MAP"), ("wave", "SLIT_POS"),
    )  # fmt: skip
    # every exposure alone, as if it were of the object, so that the sky stays in and is reconstructed alike
    options = ("--stack-sub_raw_sky=FALSE", "--objnod-jit_ind=FALSE", "--objnod-sky_cor=FALSE")
    words = {"OBJECT_NODDING": "object", "SKY_NODDING": "SKY", "STD": "object", "SKY_STD": "SKY"}
    for kind, group in (("exposure", observation.science), ("standard", observation.standard)):
        for number, frame in enumerate(sorted(group, key=lambda frame: (frame.time, frame.path))):
            name = f"{kind}_{number:02d}"
            steps.append(
                Step(name, "sinfo_rec_jitter", options, ((frame.path, "OBJECT_NODDING"),), calibrations, (),
                     f"{name}_{words[frame.tag]}.fits", "OBS_OBJ")
            )  # fmt: skip
    return steps


_HEAD = """\
#!/bin/sh
# {title}
# Needs esorex with the {instrument} pipeline. Written by klever; the recipes were not run by it. Run in this folder.
# The reconstructed exposures, sky included, come to exposures/ and standard/: name them in config/exposures.tsv.
set -eu
mkdir -p exposures standard

# frames STEP [EARLIER CATEGORY]...: the set of frames of a step, with products of earlier ones by their category
frames() {{
    step=$1; shift
    cp "$step.raw.sof" "$step.sof"
    while [ $# -gt 0 ]; do
        awk -v category="$2" '$NF == category' "$1/products.sof" >> "$step.sof"
        grep -q "[[:space:]]$2\\$" "$step.sof" || {{ echo "$1 made no $2, which $step needs" >&2; exit 1; }}
        shift 2
    done
}}

# recipe STEP RECIPE [OPTION]...
recipe() {{
    step=$1; name=$2; shift 2
    mkdir -p "$step"
    esorex --output-dir="$PWD/$step" --products-sof="$PWD/$step/products.sof" --log-dir="$step" \\
        --log-file="$name.log" --suppress-prefix=TRUE "$name" "$@" "$step.sof"
}}

# keep STEP CATEGORY FILE: the product of a category under a new name
keep() {{
    cp "$(awk -v category="$2" '$NF == category {{ print $1; exit }}' "$1/products.sof")" "$3"
}}

"""


def write_steps(folder, observation, steps, static):
    """Write the sets of frames and the command file of an observation.

    Parameters
    ----------
    folder : path-like
    observation : Observation
    steps : list of Step
    static : dict of str to str
        Category to the path of the static calibration (`klever.reduce.staticframes`); the frames that a step needs and
        that are not there are written with the path ``MISSING``, and named at the head of the command file.

    Returns
    -------
    list of str
        Categories that are missing.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    missing = sorted({tag for step in steps for tag in step.static} - set(static))
    title = f"{observation.name}: {len(observation.science)} exposures from {Path(observation.science[0].path).name} on"
    lines = [_HEAD.format(title=title, instrument=observation.instrument)]
    lines += [f"# MISSING: a static calibration {tag}; write its path into the files *.raw.sof\n" for tag in missing]
    for step in steps:
        rows = [*step.frames, *((static.get(tag, "MISSING"), tag) for tag in step.static)]
        text = "".join(f"{path} {tag}\n" for path, tag in rows)
        (folder / f"{step.name}.raw.sof").write_text(text, encoding="utf-8")
        inputs = " ".join(f"{earlier} {category}" for earlier, category in step.products)
        lines.append(f"frames {step.name} {inputs}".rstrip() + "\n")
        lines.append(" ".join(["recipe", step.name, step.recipe, *map(shlex.quote, step.options)]) + "\n")
        if step.output:
            where = "standard" if step.name.startswith("standard") else "exposures"
            lines.append(f"keep {step.name} {step.category} {where}/{step.output}\n")
        lines.append("\n")
    script = folder / "reduce.sh"
    script.write_text("".join(lines), encoding="utf-8")
    script.chmod(0o755)
    return missing
