from django.conf import settings
from django.contrib import admin
from django.urls import include, path

from . import health, metrics
from .api import api

urlpatterns = [
    path("", include("documents.urls")),
    path("", include("accounts.urls")),
    path("", include("search.urls")),
    path(settings.ADMIN_PATH, admin.site.urls),
    path("api/v1/", api.urls),
    path("health/live", health.live),
    path("health/serving", health.serving),
    path("health/ready", health.ready, name="health-ready"),
    path("metrics", metrics.metrics),
]
handler400 = "lumikb.errors.bad_request"
handler403 = "lumikb.errors.permission_denied"
handler404 = "lumikb.errors.not_found"
handler500 = "lumikb.errors.server_error"
