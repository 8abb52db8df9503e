"""Lens models of Lenstool: the parameters of the best model (best.par) and the chain of its samples (bayes.dat)."""
