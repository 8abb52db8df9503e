"""Run the benchmark of the line fit: table, ``benchmarks/results/linefit.json`` and ``linefit.png``.

Run: make bench, or python benchmarks/linefit/run.py [--markdown] [--stored] [--peers NAME ...]
"""

import argparse
import json
import os
import sys
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"
BENCHMARKS = Path(__file__).parents[1]
sys.path.insert(0, str(BENCHMARKS))

from linefit import measure, report  # noqa: E402
from linefit.problem import SFR, SIZE, simulated_problem  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--markdown", action="store_true", help="print the README's table too")
    parser.add_argument("--stored", action="store_true", help="measure nothing: table and figure of the stored results")
    parser.add_argument("--peers", nargs="*", default=measure.PEERS, choices=measure.PEERS, metavar="NAME",
                        help="of " + ", ".join(measure.PEERS))  # fmt: skip
    parser.add_argument("--size", type=float, default=SIZE, help="factor on the galaxy's size; 1 leaves spaxels empty")
    parser.add_argument("--sfr", type=float, default=SFR, help="factor on its star formation rate")
    parser.add_argument("--output", type=Path, default=BENCHMARKS / "results", help="folder of the results")
    options = parser.parse_args()
    stored = options.output / "linefit.json"
    if options.stored:
        results = json.loads(stored.read_text(encoding="utf-8"))
    else:
        results = measure.measure(simulated_problem(options.size, options.sfr), options.peers)
        options.output.mkdir(parents=True, exist_ok=True)
        stored.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(report.text_table(results))
    if options.markdown:
        print("\n" + report.markdown(results))
    report.draw(results, options.output / "linefit.png")


if __name__ == "__main__":
    main()
