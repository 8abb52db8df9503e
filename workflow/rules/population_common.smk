# What the rules of the population share: the literature, and figures for the report.
LITERATURE = RESOURCES / "literature"


def literature_inputs():
    """Files of the literature, by the names that the scripts give them."""
    return {
        "gradients": sorted(str(path) for path in (LITERATURE / "gradients").glob("*.csv")),
        "averages": LITERATURE / "averages.csv",
        "models": LITERATURE / "models.csv",
        "samples": LITERATURE / "samples.yaml",
    }


def population_section(folder):
    """Where the report has what is made of the tables below a folder."""
    return {"category": "7 Population", "subcategory": "This run" if folder == "results" else "Printed tables"}


def population_figure(folder, name, title):
    """A figure of the population for the report."""
    return report(
        f"{folder}/figures/{name}.png",
        caption=f"../report/population_{name}.rst",
        labels={"result": title, "as": "a figure"},
        **population_section(folder),
    )


def population_regressions(folder):
    """The table of the regressions for the report."""
    printed = "" if folder == "results" else "_printed"
    return report(
        f"{folder}/tables/significance.ecsv",
        caption=f"../report/population_significance{printed}.rst",
        labels={"result": "regressions", "as": "an ECSV file"},
        **population_section(folder),
    )
