from django.urls import path

from . import views

urlpatterns = [
    path("search/", views.search_page, name="search"),
    path("documents/<uuid:document_id>/similar/", views.similar, name="similar"),
    path("passages/<uuid:chunk_id>/", views.passage, name="passage"),
]
