"""Inviting to a knowledge base: a link, shown to who makes it and sent by mail when he wants it."""

import logging
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.http import Http404, HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse

from documents import audit, members
from documents.connections import release
from documents.models import KnowledgeBase

from .models import Invitation

log = logging.getLogger(__name__)


def invite(
    request: HttpRequest, knowledge_base: KnowledgeBase, role: str, days: int, email: str
) -> tuple[Invitation, str, bool]:
    """Make an invitation; returns it, its link, and whether a mail went out with it."""
    with transaction.atomic():
        invitation, secret = Invitation.issue(knowledge_base, request.user, role, days, email)
        detail = f"invited {_whom(invitation)} as {role}, for {days} days"
        audit.record(audit.Action.SHARED, request.user, knowledge_base, detail=detail)
    link = request.build_absolute_uri(reverse("invitation", args=[secret]))
    sent = bool(email) and settings.MAIL and _send(request.user, invitation, link)
    return invitation, link, sent


def accept(invitation: Invitation, user: Any) -> str:
    """The user becomes a member; returns his role. Raises Http404 when it is used up meanwhile."""
    with transaction.atomic():
        if not invitation.use():
            raise Http404
        return members.join(invitation.knowledge_base, user, invitation.role)


def withdraw(knowledge_base: KnowledgeBase, by: Any, invitation_id: int) -> None:
    """It counts no more. Raises Http404."""
    with transaction.atomic():
        own = Invitation.objects.select_for_update().filter(knowledge_base=knowledge_base)
        invitation = own.filter(pk=invitation_id).first()
        if invitation is None:
            raise Http404
        invitation.delete()
        detail = f"withdrew the invitation of {_whom(invitation)} as {invitation.role}"
        audit.record(audit.Action.SHARED, by, knowledge_base, detail=detail)


def _whom(invitation: Invitation) -> str:
    return invitation.email or "all who have a link"


def _send(by: Any, invitation: Invitation, link: str) -> bool:
    context = {"invitation": invitation, "link": link, "by": by}
    text = render_to_string("accounts/invitation.txt", context)
    subject = f"{by} invites you to “{invitation.knowledge_base.name}”"
    release()  # a mail server takes its time
    try:
        send_mail(" ".join(subject.split()), text, None, [invitation.email])
    except OSError as error:  # smtplib's are OSErrors
        log.warning("cannot send an invitation: %s", error)
        return False
    return True
