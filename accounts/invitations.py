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
    invitation, secret = Invitation.issue(knowledge_base, request.user, role, days, email)
    whom = email or "all who have a link"
    detail = f"invited {whom} as {role}, for {days} days"
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
