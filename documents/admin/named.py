"""Fields of a table have their column's name, for those who cannot see the column."""

from typing import Any


class Named:
    """Of an inline: Django names only the fields that stand beside a label."""

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)  # type: ignore[misc]
        if field is not None:
            inner = getattr(field.widget, "widget", field.widget)  # of a related field, wrapped
            inner.attrs["aria-label"] = db_field.verbose_name.capitalize()
        return field
