"""`make run` whose workers do one document at a time."""

import sys

from deploy.local import __main__ as make_run
from deploy.local import application

if __name__ == "__main__":
    application.WORKER_THREADS = 1
    sys.exit(make_run.main())
