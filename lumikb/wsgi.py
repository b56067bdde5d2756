"""The WSGI application, for lumikb/serving."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver
from environs import EnvNotSetError

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lumikb.settings")
if not settings.SECRET_KEY_IS_GIVEN:  # each process, and each start, would end everybody's session
    raise EnvNotSetError('Environment variable "SECRET_KEY" not set: the web signs with it')
application = get_wsgi_application()
get_resolver().url_patterns  # noqa: B018 (before the fork: the first request need not import it all)
