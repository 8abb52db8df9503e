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


def population_figures(folder, name, **labels):
    """A figure of the population for the report."""
    return report(
        f"{folder}/figures/{name}.pdf",
        caption=f"../report/population_{name}.rst",
        category="Population",
        labels=labels,
    )
