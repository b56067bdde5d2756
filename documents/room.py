"""When there is no room: on a disk of this machine, or on PostgreSQL's."""

import errno

# The disk is full, somebody's share of it is, or a file reached the process's limit.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
DISK_FULL = "53100"  # PostgreSQL's code


def is_full(error: BaseException | None) -> bool:
    """Whether this error, or one that it was raised from, says so."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        if getattr(error, "sqlstate", None) == DISK_FULL:
            return True
        error = error.__cause__
    return False
