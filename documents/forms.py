"""The forms of a knowledge base; the pages and the API both validate with them."""

from typing import Any

from django import forms
from django.db import transaction
from django.http import Http404

from . import audit
from .filetypes import visible
from .models import KnowledgeBase, Membership


class _NamedForm(forms.ModelForm):
    """Of something with a name that people tell apart by looking at it."""

    def clean_name(self) -> str:
        name = " ".join(str(self.cleaned_data["name"]).split())
        if any("\ud800" <= character <= "\udfff" for character in name):
            raise forms.ValidationError("Half of a surrogate pair is no character.")
        if not (name := visible(name)):
            raise forms.ValidationError("Nothing of this name can be seen.")
        return name


class KnowledgeBaseForm(_NamedForm):
    """Makes a knowledge base of a name; `slug` is what its slug is to begin with, else the name."""

    slug = forms.CharField(max_length=100, required=False)

    class Meta:
        model = KnowledgeBase
        fields = ["name"]

    def save_for(self, user: Any) -> KnowledgeBase:
        """Save it with the user as its owner."""
        if wish := self.cleaned_data["slug"]:
            self.instance.slug = KnowledgeBase.slug_like(wish)
        with transaction.atomic():
            knowledge_base: KnowledgeBase = self.save()
            knowledge_base.membership_set.create(user=user, role=Membership.Role.OWNER)
            audit.record(audit.Action.CHANGED, user, knowledge_base, detail="made")
        return knowledge_base


class AboutForm(_NamedForm):
    """A knowledge base's name and description."""

    class Meta:
        model = KnowledgeBase
        fields = ["name", "description"]
        widgets = {"description": forms.Textarea(attrs={"rows": 3})}

    def save_for(self, user: Any) -> KnowledgeBase:
        """Raises Http404 when it is deleted meanwhile."""
        there = KnowledgeBase.objects.filter(pk=self.instance.pk)
        with transaction.atomic():
            was = there.select_for_update(no_key=True).first()
            if was is None:
                raise Http404
            changes = []
            if was.name != self.cleaned_data["name"]:
                changes.append(f"renamed from “{was.name}”")
            if was.description != self.cleaned_data["description"]:
                changes.append("described anew")
            if changes:
                there.update(**self.cleaned_data)
                detail = ", ".join(changes)
                audit.record(audit.Action.CHANGED, user, self.instance, detail=detail)
        knowledge_base: KnowledgeBase = self.instance
        return knowledge_base
