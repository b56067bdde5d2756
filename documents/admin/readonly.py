"""What the admin shows and does not let anybody write."""

from typing import Any

from django.contrib import admin


def person(field: str, description: str) -> Any:
    """A column with a user's name: Django would link it to a page that operators may not open."""

    @admin.display(description=description)
    def name(self: Any, row: Any) -> str:
        return str(getattr(row, field) or "")

    return name


class ReadOnly:
    """A window without a handle: rows are looked at, never written by hand."""

    def has_add_permission(self, *args: Any) -> bool:
        return False

    def has_change_permission(self, *args: Any) -> bool:
        return False

    def has_delete_permission(self, *args: Any) -> bool:
        return False
