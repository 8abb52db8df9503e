"""CITATION.cff: what the Citation File Format 1.2.0 asks for, and that it names the paper and this version."""

import re

import jsonschema
import yaml

from klever import __version__

_PERSONS = {
    "type": "array", "minItems": 1, "uniqueItems": True,
    "items": {"anyOf": [
        {"type": "object", "required": ["name"], "additionalProperties": False,
         "properties": {"name": {"type": "string", "minLength": 1}}},
        {"type": "object", "required": ["family-names"], "additionalProperties": False,
         "properties": {key: {"type": "string", "minLength": 1}
                        for key in ("family-names", "given-names", "name-particle", "affiliation", "orcid")}},
    ]},
}  # fmt: skip
_DOI = {"type": "string", "pattern": r"^10\.\d{4,9}/[^ ]+$"}
_TEXT = {"type": "string", "minLength": 1}
# The part of the format's schema that this file uses; any other key is refused.
SCHEMA = {
    "type": "object", "additionalProperties": False,
    "required": ["authors", "cff-version", "message", "title"],
    "properties": {
        "cff-version": {"const": "1.2.0"}, "message": _TEXT, "title": _TEXT, "abstract": _TEXT, "version": _TEXT,
        "license": {"enum": ["BSD-3-Clause"]}, "type": {"enum": ["software", "dataset"]}, "authors": _PERSONS,
        "keywords": {"type": "array", "items": _TEXT, "minItems": 1, "uniqueItems": True},
        "preferred-citation": {
            "type": "object", "additionalProperties": False, "required": ["authors", "title", "type"],
            "properties": {
                "type": {"enum": ["article", "software"]}, "title": _TEXT, "journal": _TEXT, "authors": _PERSONS,
                "volume": {"type": ["integer", "string"]}, "start": {"type": ["integer", "string"]},
                "year": {"type": ["integer", "string"]}, "doi": _DOI,
            },
        },
    },
}  # fmt: skip


def citation(pytestconfig):
    return yaml.safe_load((pytestconfig.rootpath / "CITATION.cff").read_text(encoding="utf-8"))


def test_it_follows_the_format(pytestconfig):
    errors = [error.message for error in jsonschema.Draft7Validator(SCHEMA).iter_errors(citation(pytestconfig))]
    assert errors == []


def test_it_names_this_version_and_the_paper(pytestconfig):
    found = citation(pytestconfig)
    assert found["version"] == __version__
    paper = found["preferred-citation"]
    assert (paper["doi"], paper["volume"], paper["start"]) == ("10.1093/mnras/stz3379", 492, "821")
    assert paper["authors"][0]["family-names"] == "Curti"


def test_the_licence_is_that_of_the_project(pytestconfig):
    assert re.search(r"BSD 3-Clause", (pytestconfig.rootpath / "LICENSE").read_text(encoding="utf-8"))
