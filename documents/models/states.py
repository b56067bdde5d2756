"""The states of a document."""

from django.db import models


class Status(models.TextChoices):
    PENDING = "pending", "Waiting"
    PROCESSING = "processing", "Processing"
    READY = "ready", "Ready"
    FAILED = "failed", "Failed"


class Stage(models.TextChoices):
    """Where the pipeline is, in this order; empty unless PROCESSING."""

    FETCH = "fetch", "Fetching the file"
    PARSE = "parse", "Reading the text"
    EMBED = "embed", "Preparing the passages for search"
    INDEX = "index", "Adding the passages to the index"
