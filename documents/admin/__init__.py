"""The operators' window: what is stuck, what failed and why, and buttons that call lifecycle."""

from django.contrib import admin

from . import access, audit, bulk, documents, machinery  # noqa: F401 (they register their models)

admin.site.site_header = "LumiKB"
admin.site.site_title = "LumiKB"
admin.site.index_title = "Operations"
admin.site.enable_nav_sidebar = False  # the width is the documents'
