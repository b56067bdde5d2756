"""What the admin's first page says when an operator must know it."""

from django import template

from documents.models import Heartbeat

register = template.Library()


@register.simple_tag
def unfiltered_worker() -> bool:
    """Whether a worker of now cannot filter the system calls of its parsers."""
    return Heartbeat.unfiltered()
