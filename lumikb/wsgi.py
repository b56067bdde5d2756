"""The WSGI application, for gunicorn."""

import os
from typing import Any

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lumikb.settings")
django_application = get_wsgi_application()


def application(environ: dict[str, Any], start_response: Any) -> Any:
    """Django, made to read bodies without a Content-Length (`Transfer-Encoding: chunked`).

    Django takes a missing length for an empty body. The server ends such a body by itself, so any
    length beyond what is accepted will do.
    """
    if environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked":
        from django.conf import settings

        from documents.uploads import ENVELOPE_BYTES

        environ["CONTENT_LENGTH"] = str(settings.UPLOAD_MAX_BYTES + ENVELOPE_BYTES)
    return django_application(environ, start_response)
