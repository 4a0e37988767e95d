"""Log lines of server and worker: one line each to stderr, tracebacks plain.

The renderer's own choice draws every local variable of every frame; of a page's frames that is
tens of thousands of lines, and the request waits for them.
"""

import sys

import structlog

from app.settings import Settings


def configure(settings: Settings) -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
    )
