"""The survey's configuration: loading, defaults, checks, and the settings of each galaxy."""
