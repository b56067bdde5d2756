"""Who may see and change what: knowledge bases, their members, and API tokens."""

import hashlib
import secrets
import unicodedata
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Optional, Self

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

from formats import tessdata


def validate_languages(value: str) -> None:
    """Of text recognition: those that there are."""
    unknown = set(value.split("+")) - set(tessdata.languages())
    if value and unknown:
        raise ValidationError(
            f"There is no model of {', '.join(sorted(unknown)) or 'this'}; "
            f"there are {', '.join(tessdata.languages())}."
        )


class KnowledgeBaseQuerySet(models.QuerySet["KnowledgeBase"]):
    def visible_to(self, user: Any) -> Self:
        """Those of which the user or a group of his is a member; all of them for a superuser.

        Of these only the one for which he has a token, when he calls with such a one.
        """
        found = self if user.is_superuser else self.filter(pk__in=_shared_with(user))
        token = ApiToken.used_by(user)
        if token and token.knowledge_base_id:
            return found.filter(pk=token.knowledge_base_id)
        return found

    def editable_by(self, user: Any) -> Self:
        """Those of the visible ones into which the user may put documents."""
        visible = self.visible_to(user)
        token = ApiToken.used_by(user)
        if token and token.read_only:
            return visible.none()
        return visible if user.is_superuser else visible.filter(pk__in=_shared_with(user, EDITING))

    def called(self, q: str) -> Self:
        """Those in whose names this stands, as it is written; all of them for nothing."""
        return self.filter(name__icontains=unicodedata.normalize("NFC", q)) if q else self

    def meant_by(self, words: Iterable[str]) -> Self:
        """Those in whose names one of these stands, or whose slugs they are: what people type."""
        meant = models.Q(pk__in=[])
        for each in words:
            each = unicodedata.normalize("NFC", each)
            meant |= models.Q(name__icontains=each) | models.Q(slug=each.lower())
        return self.filter(meant)

    def named(self, slugs: Iterable[str]) -> Self:
        """Those of these slugs, however a client composes its letters.

        What no slug can be PostgreSQL is not asked for: it cannot hold a NUL.
        """
        names = {unicodedata.normalize("NFC", slug) for slug in slugs if slug.isprintable()}
        return self.filter(slug__in=names)


class KnowledgeBaseManager(models.Manager.from_queryset(KnowledgeBaseQuerySet)):  # type: ignore[misc]
    """Of those that are there for people: not of those that are being removed."""

    def get_queryset(self) -> models.QuerySet["KnowledgeBase"]:
        found: models.QuerySet[KnowledgeBase] = super().get_queryset().filter(deleted_at=None)
        return found


class KnowledgeBase(models.Model):
    """A set of documents that are searched together and shared with the same people.

    Its slug is made when it is saved first: what can be read of the name, in whatever script, and
    a random end. So no slug has to be searched for, and none tells that others have such a name.
    Once it is deleted (documents/removal.py) it is there for nobody, until its row goes, too.
    """

    SLUG_END = 7  # characters of 31: of a million of one name the next meets one with 1 in 27,000
    SLUG_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # none that looks like another

    name = models.CharField(max_length=100)
    description = models.CharField(max_length=500, blank=True, db_default="")
    slug = models.CharField(max_length=100, unique=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    languages = models.CharField(
        "languages of its scans",
        max_length=100,
        blank=True,
        default="",
        db_default="",
        validators=[validate_languages],
        help_text="For text recognition, such as deu+eng; empty: found page by page.",
    )
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, through="Membership")
    deleted_at = models.DateTimeField(null=True, editable=False, help_text="no way back from here")
    deleted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
    )

    objects = KnowledgeBaseManager()
    with_deleted = KnowledgeBaseQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        indexes = [
            models.Index(fields=["name", "id"], name="knowledge_base_name"),
            # What the relay looks for at every tick: documents/removal.py.
            models.Index(
                fields=["deleted_at"],
                condition=Q(deleted_at__isnull=False),
                name="knowledge_base_deleted",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self.slug:
            self.slug = self.slug_like(self.name)
        if not self._state.adding:  # what is deleted meanwhile stays so, whoever renames it
            kept = {"id", "deleted_at", "deleted_by"}
            fields = {field.name for field in self._meta.concrete_fields}
            kwargs.setdefault("update_fields", fields - kept)
        super().save(*args, **kwargs)

    def get_absolute_url(self) -> str:
        return reverse("documents", args=[self.slug])

    @classmethod
    def unknown(cls, slug: str) -> str:
        """What is said to an operator who typed it, and may know the name only."""
        meant = cls.objects.meant_by([slug]).order_by("name")[:10]
        named = "".join(f"\n  {each.slug}  ({each.name})" for each in meant)
        hint = f" Is it one of these?{named}" if named else ""
        return f"There is no knowledge base “{slug}”.{hint}"

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
        """The highest role that the user has here, himself or in a group.

        A superuser is an owner everywhere. With a token that may only read, all are viewers.
        """
        token = ApiToken.used_by(user)
        if token and token.knowledge_base_id not in (None, self.pk):
            return None
        if user.is_superuser:
            roles = [Membership.Role.OWNER.value]
        else:
            personal = self.membership_set.filter(user=user).values_list("role")
            of_groups = self.groupmembership_set.filter(group__user=user).values_list("role")
            roles = [role for (role,) in personal.union(of_groups, all=True)]
        role = max(roles, key=Membership.Role.values.index, default=None)
        return Membership.Role.VIEWER.value if role and token and token.read_only else role


class Membership(models.Model):
    """Who may see (viewer), change (editor) and share (owner) a knowledge base.

    documents/members.py keeps that each has an owner.
    """

    class Role(models.TextChoices):  # each may what those before it may
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


class GroupMembership(models.Model):
    """The same for all who are in a group, as long as they are."""

    knowledge_base = models.ForeignKey(KnowledgeBase, on_delete=models.CASCADE)
    group = models.ForeignKey(Group, on_delete=models.CASCADE)
    role = models.CharField(max_length=10, choices=Membership.Role, default=Membership.Role.VIEWER)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["knowledge_base", "group"], name="one_role_per_group")
        ]

    def __str__(self) -> str:
        return f"{self.group} ({self.role})"


EDITING = (Membership.Role.EDITOR, Membership.Role.OWNER)


def _shared_with(user: Any, roles: Iterable[str] = ()) -> models.QuerySet[Any, Any]:
    """In one of these roles, or in any."""
    one = Q(role__in=roles) if roles else Q()
    personal = Membership.objects.filter(one, user=user.pk).values("knowledge_base")
    of_groups = GroupMembership.objects.filter(one, group__user=user.pk).values("knowledge_base")
    return personal.union(of_groups, all=True)


class ApiToken(models.Model):
    """A key to the API in its user's name. Only its hash is kept: it is shown once.

    It may never do more than its user; and less, when it may only read, or is for one knowledge
    base.
    """

    PREFIX = "lumikb_"
    SEEN_EVERY = timedelta(minutes=5)  # its last use is not written more often

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    name = models.CharField(max_length=100, help_text="what it is for")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="empty: it has no end")
    last_used_at = models.DateTimeField(null=True, editable=False)
    read_only = models.BooleanField(default=False, db_default=False)
    knowledge_base = models.ForeignKey(
        KnowledgeBase, null=True, blank=True, on_delete=models.CASCADE, help_text="empty: for all"
    )

    def __str__(self) -> str:
        return self.name

    @property
    def is_limited(self) -> bool:
        """May it do less than its user?"""
        return self.read_only or self.knowledge_base_id is not None

    @property
    def is_over(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @classmethod
    def issue(cls, user: Any, name: str, **limits: Any) -> str:
        """Make a token and return its secret, which cannot be read again."""
        token = cls(user=user, name=name, **limits)
        secret = token.renew()
        token.save()
        return secret

    def renew(self) -> str:
        """Give it a new secret, not saved yet; returns it."""
        secret = self.PREFIX + secrets.token_urlsafe(32)
        self.digest = self.digest_of(secret)
        return secret

    @classmethod
    def user_of(cls, secret: str) -> Any | None:
        """The active user to whom the secret belongs, who then calls with it, or None.

        Guesses are not counted: a guess costs a hash and a look-up, and 256 random bits are not
        guessed.
        """
        if not secret.startswith(cls.PREFIX):
            return None
        lasting = Q(expires_at=None) | Q(expires_at__gt=Now())
        tokens = cls.objects.filter(lasting, user__is_active=True).select_related("user")
        token = tokens.filter(digest=cls.digest_of(secret)).first()
        if token is None:
            return None
        token._is_used()
        token.user.api_token = token  # type: ignore[attr-defined]
        return token.user

    @staticmethod
    def used_by(user: Any) -> Optional["ApiToken"]:
        """The token with which he calls, if he does."""
        return getattr(user, "api_token", None)

    def _is_used(self) -> None:
        now = timezone.now()
        if self.last_used_at is None or now - self.last_used_at > self.SEEN_EVERY:
            ApiToken.objects.filter(pk=self.pk).update(last_used_at=now)

    @staticmethod
    def digest_of(secret: str) -> str:
        """What is kept of a secret."""
        # The secret has 256 random bits: a plain hash cannot be searched, a slow one is no safer.
        return hashlib.sha256(secret.encode()).hexdigest()
