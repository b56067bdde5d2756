"""Takes django_dramatiq's Task out of the admin: it has no table, and its page trusts HTML."""

from django.contrib import admin
from django_dramatiq.models import Task

admin.site.unregister(Task)
