"""What is: knowledge bases, documents, and the rows that move them along.

These models declare; `lifecycle.py` says what happens. Nothing else writes a document's status,
attempts, lease or deletion, an outbox message or an event.
"""

from .access import ApiToken, GroupMembership, KnowledgeBase, Membership
from .audit import AuditEntry
from .bulk import BulkAction, BulkSlice
from .chunk import Chunk
from .counts import DocumentCount
from .document import Document
from .generation import Generation
from .limits import Limit, UploadUnderWay
from .page_picture import PagePicture
from .records import (
    DocumentError,
    DocumentEvent,
    Heartbeat,
    IdempotencyKey,
    Outage,
    OutboxMessage,
    ReconcileRun,
    Tally,
)
from .states import Stage, Status
from .text import TextPart

__all__ = [
    "ApiToken",
    "AuditEntry",
    "BulkAction",
    "BulkSlice",
    "Chunk",
    "Document",
    "DocumentCount",
    "DocumentError",
    "DocumentEvent",
    "Generation",
    "GroupMembership",
    "Heartbeat",
    "IdempotencyKey",
    "KnowledgeBase",
    "Limit",
    "Membership",
    "Outage",
    "OutboxMessage",
    "PagePicture",
    "ReconcileRun",
    "Stage",
    "Status",
    "Tally",
    "TextPart",
    "UploadUnderWay",
]
