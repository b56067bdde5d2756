"""Qdrant's own engine behind the part of Qdrant's REST API that LumiKB needs, for one machine.

    QDRANT_API_KEY=secret python -m deploy.local.qdrant --port 6333 --data .lumikb/qdrant

The engine is qdrant_edge, one shard per collection, in a directory of that name under `--data`. An
edge shard has one owner, so this process holds it and the stock qdrant-client speaks to it as to a
server. A second process on the same directory is refused.

What differs from a Qdrant server:
- an update is always applied before the answer (`wait=false` waits too) and is in the write-ahead
  log, which outlives a SIGKILL; only a power cut may cost what the kernel had not yet written;
- search is exact, there is no HNSW (why: requests.shard_config): 1.4 ms for 20,000 vectors of 384
  numbers, 5 ms for 60,000. Beyond some 300,000 chunks run a real server;
- the engine holds Python's interpreter lock, so requests run one after another;
- deleted points are swept out once they are a fifth of a collection and nobody has asked for
  anything for 5 s. That freezes the process for 0.7 s per 20,000 points;
- what api.Api and requests do not list is answered with 404 or 400, never with a guess.
"""
