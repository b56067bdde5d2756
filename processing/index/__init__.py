"""What search and processing share: words, vectors, and the index that holds both.

All of processing that search may import; so its errors are to be had here, too.
"""

from processing.errors import (
    Misconfigured,
    PermanentError,
    ProcessingError,
    RetryableError,
    ServiceUnavailable,
)

__all__ = [
    "Misconfigured",
    "PermanentError",
    "ProcessingError",
    "RetryableError",
    "ServiceUnavailable",
]
