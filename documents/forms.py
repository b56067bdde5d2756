"""The form of a knowledge base; the page and the API both validate with it."""

from typing import Any

from django import forms
from django.db import connection, transaction
from django.utils.text import slugify

from .models import KnowledgeBase, Membership


class KnowledgeBaseForm(forms.ModelForm):
    """Makes a knowledge base of a name; its slug, if none is given, is made from the name."""

    slug = forms.SlugField(max_length=100, required=False)

    class Meta:
        model = KnowledgeBase
        fields = ["name", "slug"]

    def save_for(self, user: Any) -> KnowledgeBase:
        """Save it with the user as its owner."""
        with transaction.atomic():
            if not self.instance.slug:
                with connection.cursor() as cursor:  # two of one name at once: a double click
                    cursor.execute("LOCK documents_knowledgebase IN SHARE ROW EXCLUSIVE MODE")
                self.instance.slug = self._free_slug(
                    slugify(self.instance.name) or "knowledge-base"
                )
            knowledge_base: KnowledgeBase = self.save()
            Membership.objects.create(
                knowledge_base=knowledge_base, user=user, role=Membership.Role.OWNER
            )
        return knowledge_base

    @staticmethod
    def _free_slug(wanted: str) -> str:
        """`wanted`, or `wanted-2` and so on where it is taken, be it by one the user cannot see."""
        stem = wanted[:90]
        taken = set(
            KnowledgeBase.objects.filter(slug__startswith=stem).values_list("slug", flat=True)
        )
        slug, number = stem, 2
        while slug in taken:
            slug, number = f"{stem}-{number}", number + 1
        return slug
