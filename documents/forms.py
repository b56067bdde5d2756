"""The form of a knowledge base; the page and the API both validate with it."""

from typing import Any

from django import forms
from django.db import IntegrityError, transaction
from django.utils.text import slugify

from .models import KnowledgeBase, Membership

MOST_NAMESAKES = 1000


class KnowledgeBaseForm(forms.ModelForm):
    """Makes a knowledge base of a name; its slug, if none is given, is made from the name."""

    slug = forms.SlugField(max_length=100, required=False)

    class Meta:
        model = KnowledgeBase
        fields = ["name", "slug"]

    def save_for(self, user: Any) -> KnowledgeBase:
        """Save it with the user as its owner; its slug is that of the form or made from the name.

        The unique constraint says which are taken, by one the user cannot see or just now by the
        first half of a double click: then it is `name-2` and so on.
        """
        stem = self.instance.slug or slugify(self.instance.name)[:90] or "knowledge-base"
        for number in range(1, MOST_NAMESAKES):
            self.instance.slug = stem if number == 1 else f"{stem}-{number}"
            try:
                return self._save(user)
            except IntegrityError:
                continue
        raise IntegrityError(f"no free slug like {stem}")

    def _save(self, user: Any) -> KnowledgeBase:
        with transaction.atomic():
            knowledge_base: KnowledgeBase = self.save()
            knowledge_base.membership_set.create(user=user, role=Membership.Role.OWNER)
        return knowledge_base
