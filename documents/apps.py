from django.apps import AppConfig

from . import deadlines


class DocumentsConfig(AppConfig):
    name = "documents"

    def ready(self) -> None:
        deadlines.install()
