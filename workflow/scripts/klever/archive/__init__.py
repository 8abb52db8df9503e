"""Files from the ESO archive and MAST: looked up, downloaded, checked, and recorded in a lock file."""
