"""Triggers in the product's PostgreSQL that note every write to a document and what belongs to it.

Each note says in which transaction and when it was written, and under which epoch: the row's own,
for an event its worker's; a passage has none.
"""

from collections.abc import Sequence

from tests.e2e.stores import Row, Stores

AUDIT = """
CREATE TABLE audit (
    id bigserial PRIMARY KEY,
    "table" text NOT NULL,
    operation text NOT NULL,
    document_id uuid NOT NULL,
    epoch integer,
    kind text,
    transaction bigint NOT NULL DEFAULT txid_current(),
    written_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    written jsonb := to_jsonb(CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END);
BEGIN
    INSERT INTO audit ("table", operation, document_id, epoch, kind) VALUES (
        TG_TABLE_NAME, TG_OP, (COALESCE(written->>'document_id', written->>'id'))::uuid,
        (COALESCE(written->>'lease_epoch', written->>'epoch'))::integer, written->>'kind'
    );
    RETURN NULL;
END $$;
"""
TRIGGER = """
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON {}
FOR EACH ROW EXECUTE FUNCTION audit();
"""
TABLES = ("documents_document", "documents_chunk", "documents_documentevent")


class Audit:
    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        stores.sql(AUDIT + "".join(map(TRIGGER.format, TABLES)))

    def last(self) -> int:
        """The number of the last note."""
        return int(self._stores.sql("SELECT COALESCE(max(id), 0) AS id FROM audit")[0]["id"])

    def since(self, last: int, documents: Sequence[str]) -> list[Row]:
        """What was written to these documents after that note."""
        return self._stores.sql(
            "SELECT * FROM audit WHERE id > %s AND document_id = ANY(%s) ORDER BY id",
            last,
            list(documents),
        )

    def stale(self, documents: Sequence[str]) -> list[Row]:
        """Events that a worker wrote when a later one had claimed its document already.

        Epoch 0 is nobody's: the relay, the reconciler and people write such events.
        """
        return self._stores.sql(
            "SELECT late.* FROM audit late JOIN audit claimed USING (document_id) "
            "WHERE claimed.kind = 'claimed' AND claimed.id < late.id "
            """AND late."table" = 'documents_documentevent' """
            "AND late.epoch BETWEEN 1 AND claimed.epoch - 1 "
            "AND document_id = ANY(%s)",
            list(documents),
        )
