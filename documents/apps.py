from django.apps import AppConfig
from django.contrib.postgres.indexes import OpClass
from django.db.models import OrderBy
from django.db.models.functions import Collate
from django.db.models.indexes import IndexExpression

from . import deadlines


class DocumentsConfig(AppConfig):
    name = "documents"
    verbose_name = "Operation"  # as the admin calls it, which shows our machinery there

    def ready(self) -> None:
        deadlines.install()
        # For the index `document_name`. All else of django.contrib.postgres stays out: it would ask
        # PostgreSQL for types that we do not use.
        IndexExpression.register_wrappers(OrderBy, OpClass, Collate)
