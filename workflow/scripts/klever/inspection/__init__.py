"""What ``make check`` finds in the input files."""
