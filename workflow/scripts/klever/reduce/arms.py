"""Which arm of KMOS points at which target of a pointing."""

from klever.errors import InputError
from klever.reduce.frames import detector_of, nearest_sky

__all__ = ["star_ifus", "target_ifus"]


def target_ifus(pointing, names):
    """Return the IFU of each target.

    Raises
    ------
    InputError
        No arm points at a target, another one does in another exposure, or it has no sky exposure.
    """
    first, by_name, found = pointing.objects[0], _arms(pointing), {}
    for name in names:
        if name not in by_name:
            raise InputError(
                f"no arm with data points at {name!r} (ESO OCS ARMn NAME) in {first.path} or another exposure; the "
                f"targets are {', '.join(by_name)}. Correct the pointing's row."
            )
        ifu = found[name] = by_name[name]
        for frame in pointing.objects:
            other = frame.targets.get(ifu)
            if frame.kinds.get(ifu) == "object" and other != name:
                raise InputError(
                    f"IFU {ifu} points at {name!r} in {first.path}, but at {other!r} in {frame.path}; give exposures "
                    "with another setting of the arms a pointing of their own."
                )
        nearest_sky(pointing.frames, first, ifu)
    return found


def _arms(pointing):
    """Targets and their IFUs: an arm may be switched off in some exposures, so all of them are looked at."""
    return {
        name: ifu
        for frame in reversed(pointing.objects)
        for ifu, name in frame.targets.items()
        if frame.kinds.get(ifu) == "object"
    }


def star_ifus(pointing, names):
    """Return the IFUs whose target is one of `names`, at most one per detector.

    Raises
    ------
    InputError
        A star is in no exposure, or two share a detector.
    """
    targets = _arms(pointing)
    found = {name: ifu for name, ifu in targets.items() if name in names}
    missing = [name for name in names if name not in found]
    if missing:
        raise InputError(
            f"no IFU with data points at the star {missing[0]!r} in {pointing.objects[0].path} or another exposure; "
            f"the targets are {', '.join(targets)}."
        )
    detectors = [detector_of(ifu) for ifu in found.values()]
    if len(set(detectors)) < len(detectors):
        raise InputError(f"{pointing.objects[0].path}: two of the stars {', '.join(names)} share a detector; name one.")
    return sorted(found.values())
