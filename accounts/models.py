"""What is of people only: invitations, and what they have set for themselves."""

import hashlib
import secrets
from datetime import timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from documents.models import KnowledgeBase, Membership


class Profile(models.Model):
    """What somebody has set for himself, if he has."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    time_zone = models.CharField(max_length=100, blank=True, help_text="empty: the installation's")

    def __str__(self) -> str:
        return str(self.user)


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def live(self) -> Self:
        """Not over, and not used up: one that went by mail is for one person."""
        return self.filter(Q(email="") | Q(used_at=None), expires_at__gt=Now())


class Invitation(models.Model):
    """A link that makes whoever opens it and logs in a member. Only the hash of its end is kept.

    It counts as long as who made it is an owner. Without a mail address it is for everybody who
    has the link.
    """

    DAYS = (1, 7, 30)  # for which one may be made

    knowledge_base = models.ForeignKey(KnowledgeBase, on_delete=models.CASCADE)
    role = models.CharField(max_length=10, choices=Membership.Role)
    email = models.EmailField(blank=True)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.email or 'a link'} ({self.role})"

    @classmethod
    def issue(
        cls, knowledge_base: KnowledgeBase, by: Any, role: str, days: int, email: str = ""
    ) -> tuple["Invitation", str]:
        """Make one; returns it and its secret, which cannot be read again."""
        secret = secrets.token_urlsafe(32)
        invitation = cls.objects.create(
            knowledge_base=knowledge_base,
            role=role,
            email=email,
            digest=cls._digest(secret),
            created_by=by,
            expires_at=Now() + timedelta(days=days),
        )
        invitation.refresh_from_db(fields=["expires_at"])
        return invitation, secret

    @classmethod
    def of(cls, secret: str) -> "Invitation | None":
        """The one that this secret opens, while it counts."""
        found = cls.objects.live().filter(digest=cls._digest(secret))
        invitation = found.select_related("knowledge_base", "created_by").first()
        if invitation is None:
            return None
        return invitation if invitation.counts else None

    @property
    def counts(self) -> bool:
        """Whether who made it may invite still."""
        maker = self.created_by
        return maker.is_active and self.knowledge_base.role_of(maker) == Membership.Role.OWNER

    def use(self) -> bool:
        """Use it up, if it is for one person; False when somebody was faster."""
        if not self.email:
            return True
        return bool(Invitation.objects.live().filter(pk=self.pk).update(used_at=Now()))

    @staticmethod
    def _digest(secret: str) -> str:
        return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
