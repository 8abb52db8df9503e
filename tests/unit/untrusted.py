"""What a reader may do with a bad file: read it or say what is wrong, soon and in little memory."""

import resource
import signal
import time

from hypothesis import HealthCheck, settings

from klever.errors import ConfigError, InputError

LONGEST, LARGEST = 5.0, 1000.0  # s, MB


def many(examples):
    """Settings of hypothesis: so many inputs, the same each time."""
    health = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=health)


def told(read, name):
    """Call `read`: a result, or a sentence that holds `name`; an endless loop is broken off."""
    before, start = _peak(), time.monotonic()
    handler = signal.signal(signal.SIGALRM, _too_long)
    signal.setitimer(signal.ITIMER_REAL, 4 * LONGEST)
    try:
        read()
    except (InputError, ConfigError) as error:
        assert name in str(error)
        assert len(str(error)) < 5000
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    assert time.monotonic() - start < LONGEST
    assert _peak() - before < LARGEST


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def _too_long(*_):
    raise AssertionError(f"not done after {4 * LONGEST} s")
