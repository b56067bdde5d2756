"""The content types that we read, and the reader of each: (module of this package, function)."""

_OFFICE = "application/vnd.openxmlformats-officedocument"

# By name, so that the child imports only the one it needs: the libraries cost up to 0.2 s each.
READERS = {
    "application/pdf": ("pdf", "read"),
    f"{_OFFICE}.wordprocessingml.document": ("word", "read"),
    f"{_OFFICE}.presentationml.presentation": ("slides", "read"),
    f"{_OFFICE}.spreadsheetml.sheet": ("sheets", "read"),
    "application/epub+zip": ("epub", "read"),
    "text/markdown": ("markdown", "read"),
    "text/html": ("html", "read"),
    "text/plain": ("plain", "read_text"),
    "text/csv": ("plain", "read_csv"),
}
