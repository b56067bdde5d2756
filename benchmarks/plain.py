"""What benchmarks/uploads.py compares with: the plainest view that stores a file and inserts a row.

Settings, URLs and view in one: no user, no permission, no hash, no check of the file, no duplicate
found before its bytes are stored, no outbox, no event; the rest (gunicorn, storage, pool) is ours.
"""

from typing import Any

from django.urls import path

from lumikb.settings import *  # noqa: F403

ROOT_URLCONF = __name__
MIDDLEWARE = ["allauth.account.middleware.AccountMiddleware"]  # allauth does not start without it
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]


def upload(request: Any) -> Any:
    from django.core.files.storage import default_storage
    from django.http import JsonResponse

    from documents.models import Document

    file = request.FILES["file"]
    document = Document(knowledge_base_id=1, filename=file.name, size=file.size)
    default_storage.save(document.storage_key, file)
    document.save(force_insert=True)
    return JsonResponse({"id": document.pk}, status=201)


urlpatterns = [path("upload", upload)]
