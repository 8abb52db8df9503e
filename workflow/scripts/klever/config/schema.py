"""Read the YAML files of a survey as plain values and put in the defaults of their schemas."""

import copy
import difflib
import math
import re
from collections.abc import Mapping
from pathlib import Path

import yaml

__all__ = [
    "NUMBER", "Problems", "check_yaml", "closest", "complete", "is_type", "load_schema", "nearest", "plain",
    "read_yaml", "resolved",
]  # fmt: skip

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_YAML_NUMBER = re.compile(r"[+-]?([0-9]{1,30}|([0-9]+\.[0-9]*|\.[0-9]+)([eE][+-][0-9]{1,3})?)")
_NUMERIC = ("number", "integer")
_DEEPEST = 30
_MOST = 100_000


class Problems(list):
    """Messages ``file: entry: problem``, one per problem found."""

    def add(self, file, entry, problem):
        """Append one message; `entry` is a key path or a table's line, empty if the problem is the file's."""
        text = f"{file}: {entry}: {problem}" if entry else f"{file}: {problem}"
        if text not in self:
            self.append(text)


def nearest(value, choices, prefix=""):
    """Return the end of a message: the choice that `value` probably means, else the choices.

    Parameters
    ----------
    value : object
        What was written.
    choices : iterable of str
        What is valid.
    prefix : str, optional
        Put before the choice that is named, for example ``lines.``.
    """
    names = list(dict.fromkeys(map(str, choices)))
    found = closest(value, names)
    if found is not None:
        return f"; did you mean {prefix}{found}?"
    if len(names) == 1:
        return f"; the only choice is {prefix}{names[0]}"
    return f"; choose one of {', '.join(names)}" if 1 < len(names) <= 15 else ""


def closest(value, choices):
    """Return the choice that `value` probably means, None if it is like none of them."""
    names = {choice.casefold(): choice for choice in map(str, choices)}
    found = difflib.get_close_matches(str(value)[:100].casefold(), names, n=1, cutoff=0.6)
    return names[found[0]] if found else None


def check_yaml(path, label=None):
    """Return the problems of a YAML file that its parser does not report, or that keep it from being read.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.
    label : str, optional
        How messages name the file; its path by default.

    Returns
    -------
    list of str
        One message for each key that is given twice (YAML silently keeps the last), with both line numbers.
    """
    problems = Problems()
    read_yaml(path, label or str(path), problems)
    return list(problems)


def read_yaml(path, label, problems):
    """Return the content of a YAML file as plain Python values; None, and a message in `problems`, if there is none."""
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        problems.add(label, "", f"the file does not exist ({path}).")
        return None
    except (OSError, ValueError) as error:
        problems.add(label, "", f"the file cannot be read ({_reason(error)}).")
        return None
    loader = None
    try:
        loader = _LOADER(content)
        node = loader.get_single_node()
        if node is None:
            return {}
        _find_duplicates(node, "", label, problems, set())
        if _too_large(node, label, problems):
            return None
        document = loader.construct_document(node)
        return {} if document is None else plain(document, label, problems)  # a lone `~` is as empty as no text
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else ""
        what = getattr(error, "problem", None) or _reason(error)
        problems.add(label, where, f"is not valid YAML ({what}); look for a missing colon, bracket, quote or a tab.")
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        problems.add(label, "", f"holds a value YAML cannot read ({_reason(error)}).")
    finally:
        if loader is not None:
            loader.dispose()
    return None


def _reason(error):
    """Return the first line of an error."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]


def _find_duplicates(node, path, label, problems, seen):
    """Report keys given twice anywhere below `node`; `seen` stops at anchors that contain themselves."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _find_duplicates(item, f"{path}[{index}]", label, problems, seen)
    elif isinstance(node, yaml.MappingNode):
        first = {}
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            entry = f"{path}.{name}" if path else name
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and name in first:
                problems.add(label, f"line {line}: {entry}", f"the key is given twice (first on line {first[name]}).")
            first.setdefault(name, line)
            _find_duplicates(value, entry, label, problems, seen)


def _too_large(value, label, problems):
    """Report a few lines of anchors and aliases that stand for thousands of millions of values; return whether so."""
    count = _count(value, {})
    if count == math.inf:
        problems.add(label, "", "is nested too deeply: an anchor is used inside itself.")
    elif count > _MOST:
        problems.add(
            label, "", f"stands for more than {_MOST} values by its anchors and aliases; write out what is meant."
        )
    return count > _MOST


def _count(value, counted, depth=0):
    """Return how many values a collection, or node of YAML, holds with its aliases written out; infinite in itself."""
    if isinstance(value, yaml.MappingNode):
        inside = [part for pair in value.value for part in pair]
    elif isinstance(value, Mapping):
        inside = value.values()
    else:
        inside = value.value if isinstance(value, yaml.SequenceNode) else value
        if not isinstance(inside, list | tuple):
            return 1
    if depth > _DEEPEST:
        return 1
    if id(value) not in counted:
        counted[id(value)] = math.inf
        counted[id(value)] = 1 + sum(_count(part, counted, depth + 1) for part in inside)
    return counted[id(value)]


def plain(value, label, problems, path="", depth=0):
    """Return `value` as dicts with text keys, lists and scalars; report what is not, NaN and infinity.

    A mapping of Snakemake may be any kind of dict; parameters must be plain for their text form to be stable.
    """
    if depth == 0 and _too_large(value, label, problems):
        return None
    if depth > _DEEPEST:
        problems.add(label, path.split(".")[0], "is nested too deeply.")
        return None
    if isinstance(value, Mapping):
        result = {}
        for key, item in value.items():
            if not isinstance(key, str):
                problems.add(label, path, f"the key {key!r} is not text; put it in quotes.")
                continue
            result[str(key)] = plain(item, label, problems, f"{path}.{key}" if path else str(key), depth + 1)
        return result
    if isinstance(value, list | tuple):
        return [plain(item, label, problems, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        problems.add(label, path, f"{value} is not a finite number.")
        return math.nan  # passes every range check: one message is enough
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    problems.add(label, path, f"{value!r} is read as {type(value).__name__}; put it in quotes if it is text.")
    return str(value)


def load_schema(path):
    """Return a JSON schema written in YAML."""
    return yaml.load(Path(path).read_bytes(), Loader=_LOADER)


def resolved(schema, root):
    """Follow a ``$ref`` into ``$defs``; keywords beside it win."""
    if not isinstance(schema, dict) or "$ref" not in schema:
        return schema
    target = resolved(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root)
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


def complete(value, schema, root=None, defaults=True):
    """Return `value` with the schema's defaults put in and whole numbers made float where the schema says number.

    Sections that are left empty (None) count as missing.  Numbers inside ``--config section={key: 1.5}`` come from
    Snakemake as text and are read as YAML reads them.  Below keys chosen by the user (``patternProperties``: the
    galaxies of ``overrides``) nothing is put in.
    """
    root = schema if root is None else root
    schema = resolved(schema, root)
    kind = schema.get("type")
    if kind in _NUMERIC or any(branch.get("type") in _NUMERIC for branch in schema.get("anyOf", [])):
        value = _number(value)
    if "anyOf" in schema:
        for branch in (resolved(branch, root) for branch in schema["anyOf"]):
            if is_type(value, branch.get("type")):
                return complete(value, branch, root, defaults)
        return value
    if kind == "object":
        value = {} if value is None else value
        return _complete_section(value, schema, root, defaults) if isinstance(value, dict) else value
    if kind == "array" and isinstance(value, list):
        return [complete(item, schema.get("items", {}), root, defaults) for item in value]
    if kind == "number" and is_type(value, "number"):
        try:
            return float(value)
        except OverflowError:
            return value
    return int(value) if kind == "integer" and isinstance(value, float) and value.is_integer() else value


def _number(value):
    """Return the number that YAML would read in a text, else the value; 1e-3 is none to YAML and stays text."""
    if isinstance(value, str) and _YAML_NUMBER.fullmatch(value):
        return int(value) if value.lstrip("+-").isdigit() else float(value)
    return value


def _complete_section(value, schema, root, defaults):
    result = {}
    known = {key: resolved(entry, root) for key, entry in schema.get("properties", {}).items()}
    for key, entry in known.items():
        if not isinstance(entry, dict):
            continue
        if key in value:
            result[key] = complete(value[key], entry, root, defaults)
        elif defaults and "default" in entry:
            result[key] = copy.deepcopy(entry["default"])
        elif defaults and entry.get("type") == "object" and "default" not in entry and "properties" in entry:
            if not entry.get("required"):
                result[key] = complete({}, entry, root)
    for key in value:
        if key not in result:
            patterns = schema.get("patternProperties", {})
            entry = next((part for pattern, part in patterns.items() if re.search(pattern, key)), {})
            result[key] = complete(value[key], entry, root, defaults=False)
    return result


def is_type(value, kind):
    """Return whether `value` is of a JSON type (None: of any)."""
    python = {"number": (int, float), "integer": int, "string": str, "array": list, "object": dict, "boolean": bool}
    return kind is None or (isinstance(value, python[kind]) and (kind == "boolean" or not isinstance(value, bool)))
