"""Progress of a long run: the Rich logger of Snakemake, with jobs done of all and the time left.

Found by Snakemake as ``--logger klever`` when this folder is on ``PYTHONPATH``, as the Makefile puts it.
"""

import time

from rich.progress import MofNCompleteColumn, TimeRemainingColumn
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_logger_plugin_rich import LogHandler as RichLogHandler


class LogHandler(RichLogHandler):
    """Progress bars in a terminal; elsewhere a line each time another twentieth of the jobs is done."""

    def __post_init__(self):
        """Add the columns the Rich logger lacks."""
        super().__post_init__()
        self.progress.columns = (*self.progress.columns, MofNCompleteColumn(), TimeRemainingColumn())
        self.started = time.monotonic()
        self.reported = 0

    def emit(self, record):
        """Pass the record on; report progress in words where no bar can be drawn."""
        super().emit(record)
        if getattr(record, "event", None) == LogEvent.PROGRESS and not self.console.is_terminal:
            self._report(record.done, record.total)

    def _report(self, done, total):
        if done < total and (done - self.reported) * 20 < total:
            return
        self.reported = done
        elapsed = time.monotonic() - self.started
        left = elapsed * (total - done) / done
        self.console.print(f"{done} of {total} jobs done, {_clock(elapsed)} elapsed, about {_clock(left)} left")


def _clock(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"
