"""Where a request comes from, and who may see the admin at all."""

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse


def client_address(request: HttpRequest) -> str | None:
    """The client's address as the outermost of our TRUSTED_PROXIES saw it, or None.

    Each proxy adds to the right of X-Forwarded-For whom it was called by. What stands further left
    was sent by the client, who can write there whatever he likes.
    """
    hops = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    seen = [*hops, request.META.get("REMOTE_ADDR", "")][-1 - settings.TRUSTED_PROXIES :]
    try:
        address = ip_address(seen[0].strip())
    except ValueError:  # a socket of the file system, or a proxy that adds nothing
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)  # as one listener for both has it


def client_network(request: HttpRequest) -> str | None:
    """Whom failed logins are counted for: the client's address, or its /64 in IPv6.

    Who has one address there has 2 ** 64 of them.
    """
    address = client_address(request)
    if address is None or ":" not in address:
        return address
    return str(ip_network(f"{address}/64", strict=False).network_address)


def login_name(request: HttpRequest, credentials: dict[str, Any] | None) -> str | None:
    """Whom somebody said to be, as long as the table of failures can hold it."""
    name: str | None = (credentials or request.POST).get("username")
    return name and name[:255]


def admin_for_its_networks(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: outside of ADMIN_ALLOWED_NETWORKS, if there are any, there is no admin: 404."""

    def middleware(request: HttpRequest) -> HttpResponse:
        # With a slash, or Django's redirect to the address with one would tell that it is there.
        if f"{request.path_info}/".startswith(f"/{settings.ADMIN_PATH}") and not _may(request):
            raise Http404
        return get_response(request)

    return middleware


def _may(request: HttpRequest) -> bool:
    if not settings.ADMIN_ALLOWED_NETWORKS:
        return True
    address = client_address(request)
    return address is not None and any(
        ip_address(address) in network for network in settings.ADMIN_ALLOWED_NETWORKS
    )
