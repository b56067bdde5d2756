"""Who may see and change what: knowledge bases, their members, and API tokens."""

import hashlib
import secrets
import unicodedata
from collections.abc import Iterable
from typing import Any, Self

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import models
from django.db.models.functions import Now
from django.urls import reverse


class KnowledgeBaseQuerySet(models.QuerySet["KnowledgeBase"]):
    def visible_to(self, user: Any) -> Self:
        """Those of which the user is a member; all of them for a superuser."""
        return self if user.is_superuser else self.filter(membership__user_id=user.pk)

    def named(self, slugs: Iterable[str]) -> Self:
        """Those of these slugs, however a client composes its letters.

        What no slug can be PostgreSQL is not asked for: it cannot hold a NUL.
        """
        names = {unicodedata.normalize("NFC", slug) for slug in slugs if slug.isprintable()}
        return self.filter(slug__in=names)


class KnowledgeBase(models.Model):
    """A set of documents that are searched together and shared with the same people.

    Its slug is made when it is saved first: what can be read of the name, in whatever script, and
    a random end. So no slug has to be searched for, and none tells that others have such a name.
    """

    SLUG_END = 7  # characters of 31: of a million of one name the next meets one with 1 in 27,000
    SLUG_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # none that looks like another

    name = models.CharField(max_length=100)
    slug = models.CharField(max_length=100, unique=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, through="Membership")

    objects = KnowledgeBaseQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self.slug:
            self.slug = self.slug_like(self.name)
        super().save(*args, **kwargs)

    def get_absolute_url(self) -> str:
        return reverse("documents", args=[self.slug])

    @classmethod
    def slug_like(cls, text: str) -> str:
        """A new slug that begins with what can be read of the text: letters, marks and digits."""
        text = unicodedata.normalize("NFKC", text.lower().replace("'", "").replace("’", ""))
        words = "".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in text).split()
        room = 100 - 1 - cls.SLUG_END
        stem = "-".join(words)[:room].strip("-") or "knowledge-base"
        end = "".join(secrets.choice(cls.SLUG_ALPHABET) for _ in range(cls.SLUG_END))
        return f"{stem}-{end}"

    def role_of(self, user: Any) -> str | None:
        """The user's role here; a superuser is an owner everywhere."""
        if user.is_superuser:
            return Membership.Role.OWNER
        return self.membership_set.filter(user=user).values_list("role", flat=True).first()


class Membership(models.Model):
    """Who may see (viewer) and change (editor, owner) a knowledge base; the admin shares it."""

    class Role(models.TextChoices):
        VIEWER = "viewer"
        EDITOR = "editor"
        OWNER = "owner"

    knowledge_base = models.ForeignKey(KnowledgeBase, on_delete=models.CASCADE)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    role = models.CharField(max_length=10, choices=Role, default=Role.VIEWER)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["knowledge_base", "user"], name="one_role_per_member")
        ]

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"


class ApiToken(models.Model):
    """A key to the API in its user's name. Only its hash is kept: it is shown once."""

    PREFIX = "lumikb_"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    name = models.CharField(max_length=100, help_text="what it is for")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return self.name

    @classmethod
    def issue(cls, user: Any, name: str) -> str:
        """Make a token and return its secret, which cannot be read again."""
        token = cls(user=user, name=name)
        secret = token.renew()
        token.save()
        return secret

    def renew(self) -> str:
        """Give it a new secret, not saved yet; returns it."""
        secret = self.PREFIX + secrets.token_urlsafe(32)
        self.digest = self._digest(secret)
        return secret

    @classmethod
    def user_of(cls, secret: str) -> Any | None:
        """The active user to whom the secret belongs, or None.

        Guesses are not counted: a guess costs a hash and a look-up, and 256 random bits are not
        guessed.
        """
        if not secret.startswith(cls.PREFIX):
            return None
        users = get_user_model().objects.filter(is_active=True)
        return users.filter(apitoken__digest=cls._digest(secret)).first()

    @staticmethod
    def _digest(secret: str) -> str:
        # The secret has 256 random bits: a plain hash cannot be searched, a slow one is no safer.
        return hashlib.sha256(secret.encode()).hexdigest()
