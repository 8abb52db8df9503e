"""Check values against a JSON schema and turn its errors into sentences: file, entry, problem, nearest valid choice."""

import re

from klever.config.schema import NUMBER, closest, is_type, nearest, resolved

__all__ = ["check", "describe"]

_TYPES = {
    "number": "a number", "integer": "a whole number", "string": "text", "array": "a list, for example [a, b]",
    "object": "a section of keys", "boolean": "true or false",
}  # fmt: skip
# How units are also written, for the search of the nearest one.
_SPELLINGS = (
    (r"\bA(ng(strom)?s?)?\b", "Angstrom"),
    (r"\b(micron|µm|μm)\b", "um"),
    (r"/\s*([A-Za-z]+)(\d?)", lambda match: f" {match[1]}-{match[2] or 1}"),
)


def check(value, schema, label, problems):
    """Append to `problems` everything in `value` that the schema does not allow.

    Parameters
    ----------
    value : object
        Plain values, after `klever.config.schema.complete`.
    schema : dict
        JSON schema, draft 2020-12.
    label : str
        How messages name the file.
    problems : klever.config.schema.Problems
        Receives the messages.
    """
    from jsonschema import Draft202012Validator

    for error in Draft202012Validator(schema).iter_errors(value):
        for entry, problem in describe(error, schema):
            problems.add(label, entry, problem)


def describe(error, root):
    """Yield (entry, problem) for an error of jsonschema; `root` is the schema that was used.

    Parameters
    ----------
    error : jsonschema.ValidationError
        One error.
    root : dict
        The whole schema, where misplaced keys are looked for.
    """
    entry = _entry(error.absolute_path)
    value, kind, rule, schema = error.instance, error.validator, error.validator_value, error.schema
    if kind == "additionalProperties":
        yield from _unknown_keys(entry, value, schema, root)
    elif kind == "anyOf":
        yield from _alternatives(error, entry, root)
    elif kind == "required":
        for key in rule:
            if key not in value:
                yield _join(entry, key), f"is missing ({_description(schema, key, root)})."
    else:
        yield entry, _sentence(kind, value, rule, schema)


def _sentence(kind, value, rule, schema):
    about = schema.get("description", "") if isinstance(schema, dict) else ""
    match kind:
        case "type":
            return wrong_type(value, rule, about)
        case "enum" | "const":
            choices = rule if kind == "enum" else [rule]
            return f"{_shown(value)} is not a valid choice{nearest(value, choices)}"
        case "pattern":
            nearest_example = _like(value, schema.get("examples", []))
            return f"{_shown(value)} {about.rstrip('.') if nearest_example else about}{nearest_example}"
        case "minimum":
            return f"{value} must be at least {rule}. {about}".rstrip()
        case "maximum":
            return f"{value} must be at most {rule}. {about}".rstrip()
        case "exclusiveMinimum":
            return f"{value} must be greater than {rule}. {about}".rstrip()
        case "exclusiveMaximum":
            return f"{value} must be less than {rule}. {about}".rstrip()
        case "minItems" | "maxItems":
            bound = "at least" if kind == "minItems" else "at most"
            return f"has {len(value)} values, {bound} {rule} expected. {about}".rstrip()
        case "uniqueItems":
            return f"{_shown(value)} names the same thing twice."
        case "minLength":
            return f"is empty. {about}".rstrip()
    return f"{_shown(value)} is not allowed ({kind} {rule})."


def wrong_type(value, expected, about=""):
    """Return the sentence for a value of the wrong type; knows what YAML 1.1 does to numbers like 1e-3."""
    if value is None:
        return "is empty; give a value or remove the key."
    text = value.strip() if isinstance(value, str) else ""
    if expected in {"number", "integer"} and NUMBER.fullmatch(text) and "e" in text.lower():
        mantissa, exponent = re.split("[eE]", text)
        mantissa = mantissa if "." in mantissa else f"{mantissa}.0"
        exponent = exponent if exponent[0] in "+-" else f"+{exponent}"
        return f"{value!r} is text to YAML, which wants a point and a sign; write {mantissa}e{exponent}"
    return f"{_shown(value)} is not {_TYPES.get(expected, expected)}. {about}".rstrip()


def _shown(value):
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _like(value, examples):
    """Return the nearest example; a number before a unit is kept."""
    if not examples:
        return ""
    number = re.match(rf"\s*({NUMBER.pattern})[\s*]+", str(value))
    prefix = f"{number[1]} " if number and float(number[1]) > 0 else ""
    rest = str(value)[number.end() :] if number else str(value)
    for pattern, text in _SPELLINGS:
        rest = re.sub(pattern, text, rest)
    return nearest(re.sub(r"\^|\*\*|\.(?=[a-z])", "", rest), examples, prefix)


def _unknown_keys(entry, value, schema, root):
    known = schema.get("properties", {})
    patterns = schema.get("patternProperties", {})
    for key in value:
        if key in known or any(re.search(pattern, key) for pattern in patterns):
            continue
        full = _join(entry, key)
        if patterns:
            yield full, f"{key!r} is not a valid name here: {schema.get('description', schema.get('title', ''))}"
            continue
        elsewhere = _elsewhere(key, entry, root) if closest(key, known) is None else ""
        yield full, "unknown key" + (elsewhere or nearest(key, known, f"{entry}." if entry else ""))


def _elsewhere(key, entry, root):
    """Return a hint if `key` is (nearly) the name of a key of some section."""
    places = {}
    for section, part in root.get("properties", {}).items():
        for name in resolved(part, root).get("properties", {}):
            places.setdefault(name, f"{section}.{name}")
    name = closest(key, places)
    if name is None:
        return ""
    parts = entry.split(".")
    inside = ".".join(parts[:2]) + "." if parts[0] == "overrides" and len(parts) > 1 else ""
    return f"; did you mean {inside}{places[name]}?"


def _alternatives(error, entry, root):
    """Report what is wrong with the alternative of the same type as the value."""
    for index, branch in enumerate(error.validator_value):
        if is_type(error.instance, resolved(branch, root).get("type")):
            for inner in error.context:
                if inner.schema_path[0] == index:
                    where = [*error.absolute_path, *list(inner.relative_path)]
                    for tail, problem in describe(inner, root):
                        yield (_entry(where) if tail in ("", entry) else tail), problem
            return
    yield entry, f"{_shown(error.instance)} {error.schema.get('description', 'is not valid.')}"


def _description(schema, key, root):
    """Return what the schema says of a key; a branch of it may only require the key and leave the rest to the root."""
    entry = schema.get("properties", {}).get(key) or root.get("$defs", {}).get("lens", {}).get("properties", {}).get(
        key
    )
    return resolved(entry or {}, root).get("description", "needed").rstrip(".")


def _entry(path):
    """Return a key path such as ``lines.groups[2]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text


def _join(entry, key):
    return f"{entry}.{key}" if entry else key
