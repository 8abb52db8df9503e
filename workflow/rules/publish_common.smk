# What the rules of pages and figures share: the galaxies of Figs. 11, A1 and 7.
DISTURBED, APERTURE_EXAMPLE, MAP_EXAMPLES = gradient_figure_galaxies(
    SURVEY.survey_settings("figures")["figures"], GALAXIES
)


def disturbed_images(galaxy):
    """The broad-band images that Fig. 11 shows, by filter."""
    images = SURVEY.lens(galaxy)["images"]
    return {name: images[name] for name in images if name.upper() in {"F160W", "F814W"}}
