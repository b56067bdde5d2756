"""Pages of a list of documents, the last as quick as the first."""

from typing import Any

from django.core.paginator import EmptyPage, Page, PageNotAnInteger, Paginator


class Pages(Paginator):
    """Each document comes with what `explain()` needs; that is asked for the page's rows only."""

    def number(self, wanted: Any) -> int:
        """The page that a person means: the first for no number, the last beyond the end."""
        try:
            return self.validate_number(wanted)
        except PageNotAnInteger:
            return 1
        except EmptyPage:
            return 1 if int(wanted) < 1 else self.num_pages

    def _get_page(self, object_list: Any, *args: Any) -> Page:
        return Page(object_list.explained_page(), *args)
