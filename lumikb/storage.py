"""S3 and MinIO behind Django's storage API, with the costs of django-storages' own taken out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any
