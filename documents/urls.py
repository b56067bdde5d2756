from django.urls import path

from . import reading, selection, views

urlpatterns = [
    path("", views.knowledge_bases, name="knowledge-bases"),
    path("kb/<str:slug>/", views.documents, name="documents"),
    path("kb/<str:slug>/bulk", views.bulk, name="bulk"),
    path("kb/<str:slug>/upload", views.upload, name="upload"),
    path("kb/<str:slug>/selection", selection.selection, name="selection"),
    path("documents/<uuid:document_id>/", views.document, name="document"),
    path("documents/<uuid:document_id>/content", views.content, name="content"),
    path("documents/<uuid:document_id>/text/", reading.text, name="text"),
    path("documents/<uuid:document_id>/pages/<int:number>/", reading.page, name="page"),
    path(
        "documents/<uuid:document_id>/pages/<int:number>/picture", reading.picture, name="picture"
    ),
    path("documents/<uuid:document_id>/requeue", views.requeue, name="requeue"),
    path("documents/<uuid:document_id>/delete", views.delete, name="delete"),
    path("documents/<uuid:document_id>/restore", views.restore, name="restore"),
    path("documents/<uuid:document_id>/tags", views.tag, name="tag"),
    path("documents/<uuid:document_id>/replace", views.replace, name="replace"),
]
