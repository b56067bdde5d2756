"""What somebody changes of his own account is in the audit, without what is secret of it.

allauth tells of most of it by signals: when it is done, some of it in a transaction of its own.
"""

from typing import Any

from allauth.account.signals import email_confirmed, email_removed, user_signed_up
from allauth.mfa.signals import authenticator_added, authenticator_removed, authenticator_reset
from allauth.socialaccount.signals import social_account_added, social_account_removed
from django.dispatch import receiver

from documents import audit


def record(user: Any, detail: str) -> None:
    """In the transaction that does it, where there is one."""
    audit.record(audit.Action.CHANGED, user, what="own account", detail=detail)


@receiver(user_signed_up)
def _signed_up(user: Any, **kwargs: Any) -> None:
    record(user, "made")


@receiver(email_confirmed)
def _has_address(email_address: Any, **kwargs: Any) -> None:
    record(email_address.user, f"mail address {email_address.email}")


@receiver(email_removed)
def _has_no_address(user: Any, email_address: Any, **kwargs: Any) -> None:
    record(user, f"no mail address {email_address.email} any more")


@receiver([authenticator_added, authenticator_reset])
def _has_factor(user: Any, authenticator: Any, **kwargs: Any) -> None:
    record(user, f"second factor: {authenticator.get_type_display()}")


@receiver(authenticator_removed)
def _has_no_factor(user: Any, authenticator: Any, **kwargs: Any) -> None:
    record(user, f"no second factor any more: {authenticator.get_type_display()}")


@receiver(social_account_added)
def _is_connected(sociallogin: Any, **kwargs: Any) -> None:
    record(sociallogin.user, f"logs in with {sociallogin.account.provider}, too")


@receiver(social_account_removed)
def _is_not_connected(socialaccount: Any, **kwargs: Any) -> None:
    record(socialaccount.user, f"logs in with {socialaccount.provider} no more")
