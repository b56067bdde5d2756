"""What more than one reader has to say to the uploader."""

DAMAGED = "This file is damaged or not what its name says; save it again and upload the result."
ENCRYPTED = (
    "This file is protected by a password or a licence; remove the protection and upload it again."
)
NO_SUCH_PAGE = "This page cannot be shown: the file has no such page, or it is damaged."
TOO_LARGE_TO_DRAW = (
    "This page takes too long or too much memory to draw; open the original to see it."
)
NO_AREA = "This page has no area: there is nothing to be shown."
UNREADABLE = "We cannot read this file; open it in its own program, save it anew and upload that."
BROKE_OFF = "Reading this document broke off; save it in another format and upload the result."
TOO_SLOW = "Reading this document takes too long; split it and upload the parts."
TOO_MUCH_TEXT = "This document has too much text; split it and upload the parts."
TOO_MUCH_MEMORY = "This document needs more memory than we allow; split it and upload the parts."


def at(place: str, sentence: str) -> str:
    """With the place, where one is known: "Reading this document broke off at page 12; ..." """
    return sentence.replace(";", f" at {place};", 1) if place else sentence
