"""Ionised gas: reddening, line ratios, star formation, BPT diagrams (paper, Sect. 3.3, 3.4.1, 4.1)."""
