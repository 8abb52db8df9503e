# What the rules of lens fits and lensing figures share: inputs and parameters.
import functools

import yaml

LENS_MEMBERS = {}
for GALAXY in GALAXIES:
    LENS_MEMBERS.setdefault(SURVEY.galaxy(GALAXY)["lens"], []).append(GALAXY)
LENSES = [name for name in LENS_MEMBERS if name != "none"]


def cluster_inputs(lens):
    """Tables that a cluster is fitted to: those of its entry in lenses.yaml, or simulated ones for a simulated lens."""
    model = SURVEY.lens_model(lens)
    if model["origin"] == "fit_images":
        return {"multiple_images": model["multiple_images"], "members": [model["members"]] if model["members"] else []}
    if model["origin"] != "simulated":
        raise WorkflowError(
            f"The lens {lens} is not fitted to images: its origin is {model['origin']}, not fit_images."
        )
    folder = f"results/simulated/lenses/{lens}"
    return {"multiple_images": f"{folder}/multiple_images.ecsv", "members": [f"{folder}/members.ecsv"]}


def cluster_settings(lens):
    """Parameters of the fit of a cluster to its images."""
    model = SURVEY.lens_model(lens)
    return {
        "code": code_digest(SCRIPTS / "fit_cluster_lens.py"),
        "lens": lens,
        **{key: model[key] for key in ("z_lens", "centre", "member_cut")},
        **SURVEY.survey_settings("cluster_fit", "cosmology"),
    }


def arc_galaxy(lens):
    """The first simulated galaxy behind a lens of one galaxy."""
    members = [galaxy for galaxy in SIMULATED if SURVEY.galaxy(galaxy)["lens"] == lens]
    if not members:
        raise WorkflowError(f"The lens {lens} has no simulated galaxy whose arc could be simulated.")
    return members[0]


def arc_fit_settings(lens):
    """Parameters of the fit of a galaxy lens: of its entry in lenses.yaml, or those that suit the simulated image."""
    model = SURVEY.lens_model(lens)
    known = {"lens": lens, "code": code_digest(SCRIPTS / "fit_galaxy_lens.py"), "z_lens": model["z_lens"]}
    known |= for_steps(SURVEY.survey_settings("figures", "cosmology"))
    if model["origin"] == "simulated":
        return known | simulated_arc(lens)
    normalisation = model["normalisation"]
    if not isinstance(normalisation, dict):
        raise WorkflowError(f"The lens {lens} needs `normalisation: {{z_source: ...}}` to be fitted to its arc.")
    return known | {"z_source": normalisation["z_source"], "centre": model["centre"], "arc_fit": model["arc_fit"]}


def simulated_arc(lens):
    """Redshift, centre and ring of a simulated lens, as someone looking at its image would give them."""
    entry = yaml.safe_load((RESOURCES / "simulation/lenses.yaml").read_text(encoding="utf-8"))[lens]
    ring = next((part["einstein_radius"] for part in entry["components"] if "einstein_radius" in part), None)
    if ring is None or "source" not in entry:
        raise WorkflowError(f"The lens {lens} is no galaxy lens with one arc; its arc cannot be simulated and fitted.")
    return {
        "z_source": SURVEY.galaxy(arc_galaxy(lens))["z"],
        "centre": [entry["ra"], entry["dec"]],
        "arc_fit": {"mask_radius": [round(0.5 * ring, 1), round(1.3 * ring, 1)]},
    }


def arc_files(key):
    """Input function: image or errors of the arc; the simulated image of a simulated lens."""

    def paths(wildcards):
        model = SURVEY.lens_model(wildcards.lens)
        if model["origin"] == "simulated":
            return [f"results/simulated/lenses/{wildcards.lens}/arc.fits"] if key == "arc_image" else []
        if model["origin"] != "fit_arc":
            raise WorkflowError(
                f"The lens {wildcards.lens} is not fitted to an arc: its origin is {model['origin']}, not fit_arc."
            )
        return [model[key]] if model[key] else []

    return paths


def lens_members(lens):
    return LENS_MEMBERS.get(lens, [])


def field_images(lens):
    """The images of a field by filter, each file once."""
    filters = {}
    for galaxy in lens_members(lens):
        for name, path in SURVEY.lens(galaxy)["images"].items():
            if path not in filters.setdefault(name, []):
                filters[name].append(path)
    return filters


def field_map(kind):
    """Input function: the file of this kind of the lens model, none if the model has no such file."""
    return lambda wildcards: [path for path in [SURVEY.lens_model(wildcards.lens).get(kind)] if path]


def field_settings(wildcards):
    members = [SURVEY.galaxy(galaxy) for galaxy in lens_members(wildcards.lens)]
    # Galaxies on both sides of RA 0 must not be averaged to the other side of the sky.
    turns = [(member["ra"] - members[0]["ra"] + 180) % 360 - 180 for member in members]
    return {
        **survey_settings("field_figure", **SURVEY.survey_settings("cosmology")),
        "lens": wildcards.lens,
        "lens_model": SURVEY.lens_model(wildcards.lens),
        "galaxies": lens_members(wildcards.lens),
        "filters": field_images(wildcards.lens),
        "centre": [
            (members[0]["ra"] + sum(turns) / len(turns)) % 360,
            sum(member["dec"] for member in members) / len(members),
        ],
        "simulated": any(SURVEY.simulated(galaxy) for galaxy in lens_members(wildcards.lens)),
    }


@functools.cache
def realisation_table(lens, other=""):
    """Table of the realisations of a lens's model, or of another one of its field; none if it has no files of any."""
    model = SURVEY.alternative_models(lens)[other] if other else SURVEY.lens_model(lens)
    name = f"alternatives/{other}" if other else "analysis"
    return [f"results/lenses/{lens}/realisations/{name}.ecsv"] if SURVEY.files_of(model) else []


def realisations_of(wildcards):
    """Input function: what stands for the realisations of a galaxy's lens model, a table or a simulated folder."""
    lens = SURVEY.galaxy(wildcards.galaxy)["lens"]
    folder = SURVEY.lens_model(lens)["range_directory"]
    return [folder] if folder else realisation_table(lens)


def realisation_maps(kind):
    """Input function: the maps of this kind of the realisations of a lens model."""

    def paths(wildcards):
        other = wildcards.model.partition("alternatives/")[2]
        models = SURVEY.alternative_models(wildcards.lens) if other else {"": SURVEY.lens_model(wildcards.lens)}
        if other not in models:
            raise WorkflowError(f"The lens {wildcards.lens} has no alternative model {other}.")
        return SURVEY.files_of(models[other], kind)

    return paths


@functools.cache
def alternatives_of(lens):
    """The other models of a lens's field, with the files of their realisations."""
    models = {} if lens == "none" else SURVEY.alternative_models(lens)
    return {
        name: model | dict.fromkeys(("kappa_files", "gamma_files"), realisation_table(lens, name))
        for name, model in models.items()
    }


def alternatives():
    """The other models of the fields with galaxies."""
    models = {lens: alternatives_of(lens) for lens in LENSES}
    return {lens: of_lens for lens, of_lens in models.items() if of_lens}


def alternative_files(models):
    """What other models are read from: their files, or the folder of simulated ones."""
    found = []
    for model in models:
        if model["alternatives_directory"]:
            found.append(model["alternatives_directory"])
        else:
            files = [model[kind] for kind in ("x_deflection", "y_deflection", "kappa", "gamma", "model", "chain")]
            found += [path for path in files if path] + model["kappa_files"]
    return list(dict.fromkeys(found))
