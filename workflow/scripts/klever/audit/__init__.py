"""Claims of the paper recomputed from its printed tables and from the run."""
