"""The operators' window on those who are locked out; users and groups in forms that all can use."""

from typing import Any

from axes.models import AccessAttempt
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest

# The two lists beside each other that Django makes with a script say to a screen reader what they
# may not (ARIA); the one that a browser has is as good.
for model in (Group, User):
    type(admin.site.get_model_admin(model)).filter_horizontal = ()


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

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """With the names: an attempt itself is called by its time alone."""
        operator: Any = request.user
        of_attempts = ContentType.objects.get_for_model(AccessAttempt)
        return LogEntry.objects.bulk_create(
            LogEntry(
                user=operator,
                content_type=of_attempts,
                object_id=attempt.pk,
                object_repr=f"{attempt.username} from {attempt.ip_address}"[:200],
                action_flag=DELETION,
            )
            for attempt in queryset
        )

    @admin.display(boolean=True)
    def locked(self, attempt: AccessAttempt) -> bool:
        """Until LOGIN_LOCKOUT_MINUTES after the last attempt."""
        return attempt.failures_since_start >= settings.AXES_FAILURE_LIMIT
