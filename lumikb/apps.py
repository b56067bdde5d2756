from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.core.files.storage import storages


class LumikbConfig(AppConfig):
    name = "lumikb"

    def ready(self) -> None:
        from . import checks, logins  # noqa: F401 (register themselves)

        # Made while there is one thread: of many that use it first, each would make its own, with
        # a client of its own, one after the other (64 uploads at once: 40 s for 2).
        storages["default"]


class LumikbAdminConfig(AdminConfig):
    default_site = "lumikb.adminsite.Site"
