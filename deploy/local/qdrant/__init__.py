"""Qdrant's own engine behind the part of Qdrant's REST API that LumiKB needs, for one machine.

    QDRANT_API_KEY=secret python -m deploy.local.qdrant --port 6333 --data .lumikb/qdrant

The engine is qdrant_edge, one shard per collection, in a directory of that name under `--data`. An
edge shard has one owner, so this process holds it and the stock qdrant-client speaks to it as to a
server. A second process on the same directory is refused.

What differs from a Qdrant server:
- an update is always applied before the answer (`wait=false` waits too) and is in the write-ahead
  log, which outlives a SIGKILL; only a power cut may cost what the kernel had not yet written;
- the engine holds Python's interpreter lock, so requests run one after another;
- a shard is made anew once a fifth of its points has changed: swept of the deleted ones, and from
  GRAPH_FROM (requests.py) on with a graph (HNSW) over its vectors; by a process of its own, on a
  copy that takes the shard's place (rebuild.py). For so long the disk holds it three times. Below
  that size, and for what was written since, search is exact;
- what api.Api and requests do not list is answered with 404 or 400, never with a guess.
"""
