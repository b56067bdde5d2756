from django.urls import path

from . import views

urlpatterns = [
    path("", views.knowledge_bases, name="knowledge-bases"),
    path("kb/<str:slug>/", views.documents, name="documents"),
    path("kb/<str:slug>/upload", views.upload, name="upload"),
    path("documents/<uuid:document_id>/", views.document, name="document"),
    path("documents/<uuid:document_id>/content", views.content, name="content"),
    path("documents/<uuid:document_id>/requeue", views.requeue, name="requeue"),
    path("documents/<uuid:document_id>/delete", views.delete, name="delete"),
    path("documents/<uuid:document_id>/restore", views.restore, name="restore"),
    path("documents/<uuid:document_id>/replace", views.replace, name="replace"),
]
