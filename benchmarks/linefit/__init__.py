"""Benchmark of the line fit: one simulated cube, our engines, and what one would use instead."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
if str(ROOT / "workflow/scripts") not in sys.path:
    sys.path.insert(0, str(ROOT / "workflow/scripts"))
