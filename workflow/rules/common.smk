# What every stage shares: the validated survey, paths, and the parameters of a rule.
import functools
import gc
import sys
from pathlib import Path

from snakemake import __version__ as SNAKEMAKE_VERSION
from snakemake.exceptions import WorkflowError

ROOT = Path(str(workflow.current_basedir)).parents[1]
SCRIPTS = ROOT / "workflow/scripts"
RESOURCES = ROOT / "resources"
sys.path.append(str(SCRIPTS))

from klever.clock import date_back
from klever.codedigest import code_digest
from klever.config.loading import load_survey
from klever.config.settings import gradient_figure_galaxies, planes_galaxies, spectra_galaxies
from klever.errors import ConfigError
from klever.previous import dependents, keep, settle

# Planning makes millions of objects that stay: looking them through for garbage again and again is a tenth of its time.
gc.set_threshold(200_000, 50, 1000)

try:
    SURVEY = load_survey(config, Path.cwd(), RESOURCES, ROOT / "workflow/schemas")
except ConfigError as error:
    raise WorkflowError(str(error)) from None

GALAXIES = SURVEY.galaxies
SIMULATED = [galaxy for galaxy in GALAXIES if SURVEY.simulated(galaxy)]


# Not a list of all galaxies, which Snakemake would look through for every file; an unknown one is told by the survey.
wildcard_constraints:
    galaxy="[A-Za-z0-9][A-Za-z0-9_.+-]*",
    band="[A-Za-z0-9]+",
    lens="[A-Za-z0-9_-]+",


def for_steps(sections):
    """The settings without those that only choose targets: changing one makes new figures, not the old ones again."""
    targets = {"spectra", "planes", "disturbed", "apertures", "maps"}
    return {
        name: {key: value for key, value in entry.items() if key not in targets} if name == "figures" else entry
        for name, entry in sections.items()
    }


def galaxy_settings(rule, galaxy, *sections):
    """Parameters of a step on one galaxy: what it needs to know of it, the sections of the config, the code's digest."""
    return {
        "code": code_digest(SCRIPTS / f"{rule}.py"),
        "galaxy": galaxy,
        **SURVEY.galaxy(galaxy),
        **(for_steps(SURVEY.settings(galaxy, *sections)) if sections else {}),
    }


def band_settings(rule, galaxy, band, *sections):
    """Parameters of a step on one band of one galaxy."""
    return galaxy_settings(rule, galaxy, *sections) | {"band": band} | SURVEY.observation(galaxy, band)


def bands_settings(rule, galaxy, *sections):
    """Parameters of a step on all bands of one galaxy."""
    bands = SURVEY.bands(galaxy)
    seeing = {band: SURVEY.observation(galaxy, band)["psf_fwhm"] for band in bands}
    return galaxy_settings(rule, galaxy, *sections) | {
        "bands": bands,
        "psf_fwhm": seeing,
    }


def per_band(pattern):
    """Input function: `pattern` for each band of the galaxy."""
    return lambda wildcards: [
        pattern.format(galaxy=wildcards.galaxy, band=band) for band in SURVEY.bands(wildcards.galaxy)
    ]


def simulation_settings(galaxy, *names):
    """What the simulated galaxy is made of, and these settings of the simulation."""
    settings = SURVEY.settings(galaxy, "simulation")["simulation"]
    return {
        "components": SURVEY.simulated_components(galaxy),
        **{name: settings[name] for name in names},
    }


def simulated_cubes(galaxy):
    """The bands of a simulated galaxy whose cubes are simulated: neither real nor reduced from exposures."""
    bands = [band for band in SURVEY.bands(galaxy) if SURVEY.observation(galaxy, band)["cube"] is None]
    return tuple(band for band in bands if SURVEY.pointing(galaxy, band) is None)


def by_simulated_cubes():
    """Simulated galaxies, by the bands of their simulated cubes."""
    members = {}
    for galaxy in SIMULATED:
        members.setdefault(simulated_cubes(galaxy), []).append(galaxy)
    return members


def galaxy_simulation(wildcards):
    """Parameters of the simulation of a galaxy; of its observations, what the simulated cubes depend on."""
    galaxy = wildcards.galaxy
    rows = {band: SURVEY.observation(galaxy, band) for band in simulated_cubes(galaxy)}
    return (
        galaxy_settings("simulate_galaxy", galaxy)
        | simulation_settings(galaxy, "seed", "fine_pixel_scale", "noise_scale")
        | {"bands": {band: {key: row[key] for key in ("instrument", "psf_fwhm")} for band, row in rows.items()}}
    )


def lens_simulation(wildcards):
    return {
        "code": code_digest(SCRIPTS / "simulate_lens.py"),
        "lens": wildcards.lens,
        **SURVEY.survey_settings("simulation"),
    }


def raw_cube(wildcards):
    """The cube as it came; no file if the one named is not there, so that only its galaxy fails."""
    pointing = SURVEY.pointing(wildcards.galaxy, wildcards.band)
    if pointing is not None:
        return f"results/reduced/{pointing}/{wildcards.band}/cubes.fits"
    cube = SURVEY.observation(wildcards.galaxy, wildcards.band)["cube"]
    if cube is None:
        return "results/simulated/cubes/{galaxy}/{band}.fits".format(**wildcards)
    return cube if Path(cube).is_file() or cube in SURVEY.downloads() else []


def ingest_settings(wildcards):
    """Parameters of ingest; a cube that was reduced here is the galaxy's extension of its pointing's file."""
    reduced = SURVEY.pointing(wildcards.galaxy, wildcards.band) is not None
    own = {"extension": wildcards.galaxy, "unit": "header", "reduced": True} if reduced else {}
    return band_settings("ingest", wildcards.galaxy, wildcards.band, "ingest") | own


def line_list(wildcards):
    """The line list of the galaxy."""
    return SURVEY.line_list(wildcards.galaxy) or RESOURCES / "lines.yaml"


def survey_line_lists():
    """The line lists of all galaxies, each once."""
    paths = [SURVEY.line_list(galaxy) or RESOURCES / "lines.yaml" for galaxy in GALAXIES]
    return list(dict.fromkeys(str(path) for path in paths))


def target_catalogue():
    """The table of possible targets; none if they are the survey's galaxies."""
    path = SURVEY.survey_settings("targets")["targets"]["catalogue"]
    return [] if path == "survey" else [path]


def reference_image(wildcards):
    image = SURVEY.image(wildcards.galaxy)
    return [image] if image else []


def lens_map(kind):
    """Input function: the file of this kind of the galaxy's lens model, none if the model has no such file."""

    def paths(wildcards):
        path = SURVEY.lens(wildcards.galaxy).get(kind)
        return [path] if path else []

    return paths


def simulated_bands(pattern):
    """The file `pattern` of every simulated galaxy and band."""
    return [pattern.format(galaxy=galaxy, band=band) for galaxy in SIMULATED for band in SURVEY.bands(galaxy)]


def observed_bands(pattern):
    """The file `pattern` of every galaxy and band."""
    return [pattern.format(galaxy=galaxy, band=band) for galaxy in GALAXIES for band in SURVEY.bands(galaxy)]


def survey_settings(rule, **more):
    """Parameters of a step on the whole survey."""
    return {
        "code": code_digest(SCRIPTS / f"{rule}.py"),
        "simulated": bool(SIMULATED),
        **for_steps(SURVEY.survey_settings("figures")),
        **more,
    }


def needs_internals(loss, otherwise=None):
    """Mark a function that reads attributes of Snakemake which are not promised to stay, as checked with 9.27.

    With a version that names them otherwise the run goes on: it says what it goes without, and has `otherwise`.
    """

    def guard(function):
        @functools.wraps(function)
        def guarded():
            try:
                return function()
            except (AttributeError, ImportError, TypeError) as error:
                print(f"Snakemake {SNAKEMAKE_VERSION} is not as klever knows it ({error}): {loss}.", file=sys.stderr)
                return otherwise

        return guarded

    return guard


def single_jobs(jobs):
    """The jobs, those of groups one by one."""
    return [single for job in jobs for single in (job.jobs if job.is_group() else [job])]


@needs_internals("products of a run that fails are not kept, and what it left undone is not told", [])
def needed_jobs():
    """The jobs that are to be done."""
    return [] if workflow.touch else list(workflow.dag.needrun_jobs())


def prepare_files():
    """Keep a second name of what the run is going to replace, until it is replaced; set back dates in the future."""
    jobs = needed_jobs()
    keep(output for job in jobs for output in job.output)
    for path in date_back(path for job in jobs for path in job.input):
        print(
            f"{path} has a date in the future: Snakemake will refuse what is made of it; touch it, or set the clock.",
            file=sys.stderr,
        )


@needs_internals("results/status.ecsv does not tell what failed, the logs do", [])
def failed_jobs():
    """What the status table says of a job that failed: rule, galaxy or lens, band, log."""
    return [
        {
            "rule": job.rule.name,
            "galaxy": job.wildcards_dict.get("galaxy") or job.wildcards_dict.get("lens") or "",
            "band": job.wildcards_dict.get("band", ""),
            "log": str(job.log[0]) if job.log else "",
        }
        for job in single_jobs(workflow.scheduler.failed)
    ]


def report_run(failed):
    """Write results/status.ecsv and runtimes.ecsv; print what failed, or how well the truth was recovered."""
    from klever.publish.runtimes import write_runtimes
    from klever.publish.status import collect_status, format_failures, write_status

    undone = []
    if failed:
        from klever.publish.crate import read_jobs

        undone = [str(output) for job in needed_jobs() for output in job.output]
        undone += dependents(undone, read_jobs(".snakemake/metadata", "results"))
    previous = settle(undone)
    observations = [(galaxy, band) for galaxy in GALAXIES for band in SURVEY.bands(galaxy)]
    lenses = {galaxy: SURVEY.lens(galaxy)["name"] for galaxy in GALAXIES}
    jobs = failed_jobs() if failed else []
    pointings = {key: name for key in observations if (name := SURVEY.pointing(*key))}
    status = collect_status(
        "results",
        observations,
        "logs",
        failed=jobs,
        lenses=lenses,
        previous=previous,
        pointings=pointings,
    )
    if failed:
        print(format_failures(status), file=sys.stderr)
        broken = sorted({row["galaxy"] for row in status if row["state"] == "failed"} & set(GALAXIES))
        if broken:
            print(
                "The survey's tables wait for all its galaxies; mend the input, or leave out what failed with\n"
                f"  snakemake --config 'exclude=[{','.join(broken)}]'",
                file=sys.stderr,
            )
    elif SIMULATED and Path("logs/recovery.log").is_file():
        print(Path("logs/recovery.log").read_text(), file=sys.stderr)
    try:
        write_status(status, "results/status.ecsv")
        write_runtimes("results/benchmarks", "results/runtimes.ecsv")
    except OSError as error:
        print(f"results/status.ecsv could not be written ({error}).", file=sys.stderr)


@needs_internals("large surveys spend more time on choosing jobs; --max-jobs-per-timespan 1000/10s helps")
def start_jobs_at_once():
    """Switch off Snakemake's own limit of 100 started jobs a second; one that the user set stays.

    Each job that finishes starts a timer that wakes the scheduler once a second and never ends: after a thousand jobs
    it looks through all that wait a thousand times a second, which costs as much as the jobs themselves.
    """
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if limit is not None and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


@needs_internals("planning takes longer")
def remember_answers():
    """Make Snakemake remember what it works out anew for each job although it is the same for all jobs of a rule."""
    from snakemake import common, rules as rule_classes, script, sourcecache

    common.get_function_params = rule_classes.get_function_params = functools.cache(common.get_function_params)
    sourcecache.parse_uri = functools.cache(sourcecache.parse_uri)
    read, sources = script.get_source, {}

    def get_source(path, cache, basedir=None, wildcards=None, params=None):
        if "{" in str(path):
            return read(path, cache, basedir, wildcards, params)
        if (key := (str(path), str(basedir))) not in sources:
            sources[key] = read(path, cache, basedir, wildcards, params)
        return sources[key]

    script.get_source = get_source


@needs_internals("a job that is sent again asks for as much memory and time as before")
def grow_resources():
    """Make the memory and time that jobs ask for grow with each attempt: one that ran out is sent again with more."""
    for step in workflow.rules:
        for name in ("mem_mb", "runtime"):
            asked = step.resources.get(name)
            if asked is not None and not asked.is_evaluable() and asked.value is not None:
                step.resources[name] = lambda wildcards, attempt, first=asked.value: first * (attempt or 1)
