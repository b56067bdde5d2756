from django.apps import AppConfig


class LumikbConfig(AppConfig):
    name = "lumikb"

    def ready(self) -> None:
        from . import checks  # noqa: F401 (registers them)
