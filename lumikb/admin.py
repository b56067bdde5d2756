"""The operators' window on those who are locked out."""

from typing import Any

from axes.models import AccessAttempt
from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest


@admin.register(AccessAttempt)
class FailedLoginAdmin(admin.ModelAdmin):
    """Who failed to log in, and from where. To delete a line is to unlock."""

    list_display = ("username", "ip_address", "failures_since_start", "locked", "attempt_time")
    search_fields = ["username", "ip_address"]
    fields = (*list_display, "user_agent", "path_info")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, attempt: Any = None) -> bool:
        return False

    @admin.display(boolean=True)
    def locked(self, attempt: AccessAttempt) -> bool:
        """Until LOGIN_LOCKOUT_MINUTES after the last attempt."""
        return attempt.failures_since_start >= settings.AXES_FAILURE_LIMIT
