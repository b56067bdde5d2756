"""What the admin shows and does not let anybody write."""

from typing import Any


class ReadOnly:
    """A window without a handle: rows are looked at, never written by hand."""

    def has_add_permission(self, *args: Any) -> bool:
        return False

    def has_change_permission(self, *args: Any) -> bool:
        return False

    def has_delete_permission(self, *args: Any) -> bool:
        return False
