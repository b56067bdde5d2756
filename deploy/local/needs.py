"""Which secrets each process gets: those that it needs, and no others.

An environment can be read by whoever reads files of the process, and is inherited by all that it
starts.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

ROLES = {"web": "", "worker": "WORKER_", "relay": "OPS_", "reconcile": "OPS_", "migrate": "OWNER_"}
NEEDS = {
    "web": {
        *("SECRET_KEY", "METRICS_TOKEN", "DATABASE_URL", "OPS_DATABASE_URL", "REDIS_URL"),
        *("QDRANT_API_KEY", "EMBEDDING_API_KEY", "RERANK_API_KEY"),
        *("S3_ACCESS_KEY", "S3_SECRET_KEY"),
    },
    "worker": {
        *("DATABASE_URL", "REDIS_URL", "QDRANT_API_KEY", "EMBEDDING_API_KEY"),
        *("S3_ACCESS_KEY", "S3_SECRET_KEY"),
    },
    "relay": {"DATABASE_URL", "REDIS_URL"},
    "reconcile": {  # it looks for messages in Redis, and embeds when the model was changed
        *("DATABASE_URL", "REDIS_URL", "QDRANT_API_KEY", "EMBEDDING_API_KEY"),
        *("S3_ACCESS_KEY", "S3_SECRET_KEY"),
    },
    "migrate": {"DATABASE_URL"},
    "admin": {"DATABASE_URL", "DJANGO_SUPERUSER_PASSWORD"},
    "embeddings": {"EMBEDDING_API_KEY"},
    "qdrant": {"QDRANT_API_KEY"},
    "redis": set[str](),  # it has a file
}
SECRETS = set[str]().union(*NEEDS.values()) | {
    *("WORKER_DATABASE_URL", "OWNER_DATABASE_URL", "LUMIKB_ADMIN_PASSWORD"),
}


def environment(kind: str, env: Mapping[str, str]) -> dict[str, str]:
    """What of `env` a process of this kind gets; one of the application with its role's database.

    lumikb/settings.py asks all of them for the address of Redis: those that do not use it get it
    without the password.
    """
    given = dict(env)
    if "DATABASE_URL" in NEEDS[kind]:
        given["DATABASE_URL"] = env[f"{ROLES.get(kind, '')}DATABASE_URL"]
    kept = {name: value for name, value in given.items() if name not in SECRETS - NEEDS[kind]}
    if "DATABASE_URL" in NEEDS[kind]:
        redis = urlsplit(env["REDIS_URL"])
        without_password = redis._replace(netloc=redis.netloc.rpartition("@")[2]).geturl()
        kept = {"REDIS_URL": without_password} | kept
    return kept
