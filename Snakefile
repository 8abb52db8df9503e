# KLEVER: from near-infrared cubes of lensed galaxies to metallicity gradients. The stages are in workflow/rules, in the
# order of the flow; README.md says how to run them.
from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/config_common.smk"


configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/lensing_common.smk"
include: "workflow/rules/reduce_common.smk"
include: "workflow/rules/properties_common.smk"
include: "workflow/rules/publish_common.smk"
include: "workflow/rules/population_common.smk"
include: "workflow/rules/report_common.smk"
include: "workflow/rules/acquire.smk"
include: "workflow/rules/targets.smk"
include: "workflow/rules/simulate.smk"
include: "workflow/rules/reduce.smk"
include: "workflow/rules/ingest.smk"
include: "workflow/rules/lines.smk"
include: "workflow/rules/align.smk"
include: "workflow/rules/lensfit.smk"
include: "workflow/rules/lens.smk"
include: "workflow/rules/source.smk"
include: "workflow/rules/properties.smk"
include: "workflow/rules/metallicity.smk"
include: "workflow/rules/publish.smk"
include: "workflow/rules/lensing_figures.smk"
include: "workflow/rules/population.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        rules.target_choice.output,
        rules.galaxies.input,
        rules.stellar_masses.input,
        rules.reduction_pages.input,
        rules.tables.input,
        rules.spectra.input,
        rules.gradient_products.input,
        rules.recovery_products.input,
        rules.lensing_figures.input,
        rules.population_products.input,


onstart:
    start_jobs_at_once()
    prepare_files()


onsuccess:
    report_run(failed=False)


onerror:
    report_run(failed=True)


grow_resources()
remember_answers()
