from django.apps import AppConfig, apps
from django.contrib.admin.apps import AdminConfig
from django.core.files.storage import storages


class LumikbConfig(AppConfig):
    name = "lumikb"

    def ready(self) -> None:
        from . import checks, logins  # noqa: F401 (register themselves)

        apps.get_app_config("axes").verbose_name = "Logging in"  # in the admin

        # Made while there is one thread: of many that use it first, each would make its own, with
        # a client of its own, one after the other (64 uploads at once: 40 s for 2).
        storages["default"]


class LumikbAdminConfig(AdminConfig):
    default_site = "lumikb.adminsite.Site"
