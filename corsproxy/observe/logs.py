"""Configures the program's own log: format, level and target.

Messages are written by a `LineWriter`, like the access log, because a full pipe on standard error must
not block the event loop. Each message is one line, whatever it contains.
"""

import json
import logging
from typing import Final

from corsproxy.observe.access_log import stamp
from corsproxy.observe.writer import LineWriter
from corsproxy.policy.compiled import LogSettings
from corsproxy.policy.printable import printable, printable_lines

# The key in `extra` of the fields of a message; their names are those of ECS, or `corsproxy.…`.
FIELDS: Final = "fields"

_LEVELS: Final = {"WARNING": "warn", "CRITICAL": "fatal"}


class JsonFormatter(logging.Formatter):
    """Formats a message as one JSON object with the field names of the Elastic Common Schema."""

    def format(self, record: logging.LogRecord) -> str:
        """Return `record` as one line."""
        entry: dict[str, object] = {
            "@timestamp": stamp(),
            "log.level": _LEVELS.get(record.levelname, record.levelname.lower()),
            "message": record.getMessage(),
            "ecs.version": "8.11.0",
            "event.dataset": "corsproxy.log",
            "log.logger": record.name,
        }
        entry.update(getattr(record, FIELDS, {}))
        if record.exc_info is not None:
            entry["error.stack_trace"] = self.formatException(record.exc_info)
        return json.dumps(entry, separators=(",", ":"), default=str)


class TextFormatter(logging.Formatter):
    """Formats a message as one line of text; a traceback follows, indented."""

    def format(self, record: logging.LogRecord) -> str:
        """Return `record` as text."""
        line = f"{record.levelname} {printable(record.getMessage())}"
        if record.exc_info is None:
            return line
        trace = printable_lines(self.formatException(record.exc_info)).replace("\n", "\n  ")
        return f"{line}\n  {trace}"


class _Handler(logging.Handler):
    """Passes lines to a writer; closing it, as `logging` does at exit, writes what is left."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        self._writer.write(self.format(record) + "\n")

    def close(self) -> None:
        self._writer.close()
        super().close()


def configure(settings: LogSettings, target: int, *, is_terminal: bool) -> None:
    """Log all messages of at least the level of `settings` to the file descriptor `target`."""
    as_json = settings.format == "json" or (settings.format == "auto" and not is_terminal)
    formatter = JsonFormatter() if as_json else TextFormatter()

    def lost_line(count: int) -> str:
        text = "%d log messages were lost: the reader of the log is too slow or gone"
        lost = logging.LogRecord("corsproxy", logging.WARNING, "", 0, text, (count,), None)
        return formatter.format(lost) + "\n"

    handler = _Handler(LineWriter(target, lost_line))
    handler.setFormatter(formatter)
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
