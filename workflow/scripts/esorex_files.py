"""Write sets of frames and command files for esorex from a folder of raw frames of KMOS or SINFONI.

Each observation (science frames of one setup, without a gap of an hour) gets a folder with its sets of frames and
`reduce.sh`, which turns raw frames into reconstructed exposures, sky included, as config/exposures.tsv takes them.

    python workflow/scripts/esorex_files.py raw/ --static calib/kmos-4.0/cal --output esorex/
"""

import argparse
import sys
from pathlib import Path

from klever.errors import InputError
from klever.reduce.esorex import observations, steps_of, write_steps
from klever.reduce.rawframes import read_raw
from klever.reduce.staticframes import static_frames


def esorex_files(raw, static, output):
    """Write the files and say what they are.

    Parameters
    ----------
    raw : list of path-like
        Files, or folders of FITS files.
    static : list of path-like
        Folders with the static calibrations of the pipelines; may be empty.
    output : path-like
        Folder of the observations' folders.

    Returns
    -------
    list of pathlib.Path
        Command files.

    Raises
    ------
    InputError
        A raw frame cannot be read, there is no science frame, or a calibration is missing.
    """
    frames = [frame for path in raw_files(raw) if (frame := read_raw(path)) is not None]
    written = []
    for observation in observations(frames):
        steps = steps_of(observation, frames)
        wanted = {tag for step in steps for tag in step.static}
        found = {}
        for folder in static:
            found = static_frames(folder, wanted, observation.setup.partition("_")[0]) | found
        folder = Path(output) / observation.name
        missing = write_steps(folder, observation, steps, found)
        written.append(folder / "reduce.sh")
        print(f"{written[-1]}: {len(observation.science)} exposures, {len(observation.standard)} of a standard star")
        if missing:
            print(f"  static calibrations not found: {', '.join(missing)}; see the head of the file")
        if not observation.standard:
            print("  no standard star: the cubes will stay in counts")
    return written


def raw_files(paths):
    """Return the absolute paths of all FITS files, those of folders included.

    Raises
    ------
    InputError
        A path does not exist, or there is none.
    """
    found = []
    for path in map(Path, paths):
        if not path.exists():
            raise InputError(f"{path} does not exist; give the folder of the raw frames.")
        patterns = ("*.fits", "*.fits.Z", "*.fits.gz", "*.fits.fz")
        found += [path] if path.is_file() else [file for pattern in patterns for file in path.rglob(pattern)]
    if not found:
        raise InputError(f"there is no FITS file in {', '.join(map(str, paths))}; give the folder of the raw frames.")
    return sorted({str(path.resolve()) for path in found})


def main():
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("raw", nargs="+", help="raw frames, or folders of them, with their calibrations")
    parser.add_argument("--static", nargs="*", default=[], help="folders of static calibrations of the pipelines")
    parser.add_argument("--output", default="esorex", help="where to write")
    arguments = parser.parse_args()
    try:
        esorex_files(arguments.raw, arguments.static, arguments.output)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
