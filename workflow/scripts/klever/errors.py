"""Errors whose message is a sentence for an astronomer."""

__all__ = ["ConfigError", "InputError", "KleverError"]


class KleverError(Exception):
    """Base of every error that klever raises on purpose; the message says what to do."""


class InputError(KleverError):
    """An input file that cannot be used: the message names the file, the problem and the remedy."""


class ConfigError(KleverError):
    """A configuration that cannot be used: the message lists file, entry, problem and nearest valid choice."""
