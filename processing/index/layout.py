"""How the vectors are laid out in Qdrant: shards and copies, what is in memory, and how exactly.

The settings are those of the collections that are made from now on. One that is there stays as it
was made; Qdrant itself can change all of it but the number of shards (deploy/README.md).
"""

from typing import Any

from django.conf import settings
from qdrant_client import models

DENSE = "dense"
SPARSE = "bm25"
OVERSAMPLING = 2.0  # of the passages asked for, compared by their shortened vectors first
# Shortened vectors stay in memory where the whole ones are on the disk.
SCALAR = models.ScalarQuantizationConfig(
    type=models.ScalarType.INT8,
    quantile=0.99,  # the outliers beyond it are cut off (Qdrant's own advice)
    always_ram=True,
)
QUANTIZATION: dict[str, models.QuantizationConfig] = {
    "scalar": models.ScalarQuantization(scalar=SCALAR),
    "binary": models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True)),
}


def of_collection(dimensions: int) -> dict[str, Any]:
    """What `QdrantClient.create_collection` is given beside the name. What is not set is left to
    the server's own configuration.
    """
    on_disk = settings.QDRANT_ON_DISK or None
    return {
        "vectors_config": {
            DENSE: models.VectorParams(
                size=dimensions, distance=models.Distance.COSINE, on_disk=on_disk
            )
        },
        "sparse_vectors_config": {
            SPARSE: models.SparseVectorParams(
                modifier=models.Modifier.IDF,
                index=models.SparseIndexParams(on_disk=True) if on_disk else None,
            )
        },
        "hnsw_config": models.HnswConfigDiff(on_disk=True) if on_disk else None,
        "quantization_config": QUANTIZATION.get(settings.QDRANT_QUANTIZATION),
        "shard_number": settings.QDRANT_SHARDS,
        "replication_factor": settings.QDRANT_REPLICAS,
        "write_consistency_factor": settings.QDRANT_WRITE_CONSISTENCY,
    }


def of_search() -> models.SearchParams | None:
    """How vectors are compared: where they were shortened, the best are compared again whole, so
    that a score is a cosine, as search's sense of what fits asks for.
    """
    if settings.QDRANT_QUANTIZATION not in QUANTIZATION:
        return None
    rescored = models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
    return models.SearchParams(quantization=rescored)
