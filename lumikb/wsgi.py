"""The WSGI application, for lumikb/serving."""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lumikb.settings")
application = get_wsgi_application()
get_resolver().url_patterns  # noqa: B018 (before the fork: the first request need not import it all)
