"""Fields have names for those who cannot see what stands above or beside them."""

from typing import Any

from django import forms


class Named:
    """Of an inline: Django names only the fields that stand beside a label."""

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)  # type: ignore[misc]
        if field is not None:
            inner = getattr(field.widget, "widget", field.widget)  # of a related field, wrapped
            inner.attrs["aria-label"] = db_field.verbose_name.capitalize()
        return field


class NamedMoments:
    """Of a form: a moment is two fields, a date and a time, of which Django names neither."""

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)  # type: ignore[misc]
        if isinstance(field, forms.SplitDateTimeField):
            for widget, part in zip(field.widget.widgets, ("date", "time"), strict=True):
                widget.attrs["aria-label"] = f"{db_field.verbose_name.capitalize()}: {part}"
        return field
