"""gunicorn's settings; deployments override them on its command line."""

import os
import threading

control_socket_disable = True  # two products on one machine would share its path
wsgi_app = "lumikb.wsgi"
preload_app = True  # imports Django once; nothing connects before the fork
worker_class = "lumikb.serving.worker.Worker"
worker_connections = 4096  # of a process, if it may have so many files
workers = int(os.environ.get("WEB_CONCURRENCY") or "2")
# A thread holds no database connection while bytes move, and costs 0.5 MB. 256 clients that upload
# at once, into an S3 that answers after 2 s, to one process: 12 s with 64 threads, 69 s with 8.
threads = 64
timeout = 60  # seconds without a sign of life from a process; clients' are in lumikb/serving
graceful_timeout = 20
keepalive = 5
accesslog = None


def post_worker_init(worker: object) -> None:
    """Load what the first search would wait for; after the fork, beside the serving."""
    from search import retrieval

    threading.Thread(target=retrieval.warm_up, daemon=True).start()
