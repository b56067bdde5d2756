"""Every setting of LumiKB, read from the environment.

A variable that is missing or malformed stops the start with an error that names it.
`make run` sets the variables of the embedded servers (deploy/local); README.md lists them all.
"""

import os
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from secrets import token_urlsafe
from typing import Any
from urllib.parse import urlsplit

from environs import EnvError, FileAwareEnv, validate

from lumikb.broker import Client

env = FileAwareEnv(strip_whitespace=True)  # NAME_FILE names a file with the value: a secret
BASE_DIR = Path(__file__).resolve().parent.parent
MiB = 1024 * 1024
# Once these were set in .env, to which the file that has come since would say: there is none.
for _name in ("EMAIL_URL", "OIDC_CLIENT_SECRET", "RERANK_API_KEY"):
    if os.environ.get(_name) and f"{_name}_FILE" in os.environ:
        raise EnvError(f"{_name} and {_name}_FILE are both set: move the secret into that file")


def _path_of_host(text: str) -> str:
    return f"/{text.strip('/')}".rstrip("/")


# LiteLLM fetches a price list from the network when it is imported, unless this is set before.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

# --- Django -----------------------------------------------------------------------------------

# What the web signs with. The other processes sign nothing and are not given it: theirs is made up
# at each start, and lumikb/wsgi.py serves nobody with such a one.
_secret_key = env.str(
    "SECRET_KEY",
    None,
    validate=validate.Length(min=32, error="must have 32 characters or more; 64 random ones, say"),
)
SECRET_KEY_IS_GIVEN = _secret_key is not None
SECRET_KEY = _secret_key or token_urlsafe(48)
DEBUG = env.bool("DEBUG", False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", [])

INSTALLED_APPS = [
    "django_dramatiq",  # sets the broker when it is loaded: before every app that has actors
    "lumikb.apps.LumikbAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "ninja",
    "csp",
    "axes",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
    "lumikb.apps.LumikbConfig",
    "documents",
    "processing",
    "search",
    "accounts",
]
MIGRATION_MODULES = {
    "django_dramatiq": None
}  # its Task table is a second truth that we do not keep

MIDDLEWARE = [
    "lumikb.errors.retry_after",  # around all that may answer 503
    "lumikb.caching.kept_nowhere",  # around all but the static files' own word
    "documents.uploads.close_files",  # around all that may read a body
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "lumikb.network.admin_for_its_networks",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.clock.in_chosen_zone",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "lumikb.errors.method_not_allowed",
    "lumikb.head.as_get",
    "lumikb.throttle.remember_browsers",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "lumikb.urls"
WSGI_APPLICATION = "lumikb.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "knowledge-bases"
LOGOUT_REDIRECT_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("MinimumLengthValidator", "CommonPasswordValidator", "NumericPasswordValidator")
]

LANGUAGE_CODE = "en-us"
TIME_ZONE = env.str("TIME_ZONE", "UTC")
USE_TZ = True
FORMAT_MODULE_PATH = "lumikb.formats"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Below which path of its host all of this is, as /kb. SCRIPT_NAME: requests come with it, and the
# server takes it off (lumikb/serving). FORCE_SCRIPT_NAME: a proxy has taken it off already.
SCRIPT_NAME = _path_of_host(env.str("SCRIPT_NAME", ""))
FORCE_SCRIPT_NAME = _path_of_host(env.str("FORCE_SCRIPT_NAME", "")) or SCRIPT_NAME or None
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = f"{FORCE_SCRIPT_NAME or ''}/"  # another may be beside us

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True  # serves the apps' files as they stand: nothing to collect or build

# Seconds that a person's request may spend on storage, or on embedding and Qdrant together: workers
# have the time of those who do not wait. With what comes on top, an answer is there within 20 s.
REQUEST_TIMEOUT = env.float("REQUEST_TIMEOUT", 18)

# --- Security ---------------------------------------------------------------------------------

# Proxies between a client and us, each of which adds to X-Forwarded-For; the last also sets
# X-Forwarded-Proto. A client can write these headers too: count no proxy that is not there.
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", 0, validate=validate.Range(min=0))
HTTPS = env.bool("HTTPS", False)
if HTTPS:
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = True
    # Asked from within, without TLS.
    SECURE_REDIRECT_EXEMPT = [rf"^{(FORCE_SCRIPT_NAME or '')[1:]}/?(health/|metrics)"]
    SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", 365 * 24 * 3600)
    if TRUSTED_PROXIES:
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# Whether HSTS is for a domain's other hosts too (W005), and for browsers' lists of such domains
# (W021), is for the owner of the domain to decide, in the proxy.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SESSION_COOKIE_AGE = 3600 * env.int("SESSION_HOURS", 7 * 24)
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Strict"  # the session's is Lax: a link in a mail finds people logged in

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}

ADMIN_PATH = env.str("ADMIN_PATH", "admin").strip("/") + "/"
# Networks from which the admin is there at all, as 10.0.0.0/8; none: from everywhere.
try:
    ADMIN_ALLOWED_NETWORKS = env.list("ADMIN_ALLOWED_NETWORKS", [], subcast=ip_network)
except ValueError as error:
    raise EnvError(f'Environment variable "ADMIN_ALLOWED_NETWORKS" invalid: {error}') from error

# Who guesses passwords: so many for a user from one address, then none for a while.
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AXES_FAILURE_LIMIT = env.int("LOGIN_FAILURES", 5, validate=validate.Range(min=1))
AXES_COOLOFF_TIME = timedelta(minutes=env.int("LOGIN_LOCKOUT_MINUTES", 15))
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]  # or anybody could lock out anybody
# Of all names from one network together; many people may be behind it.
LOGIN_FAILURES_PER_NETWORK = env.int(
    "LOGIN_FAILURES_PER_NETWORK", 30, validate=validate.Range(min=1)
)
AXES_HANDLER = "lumikb.throttle.Handler"
AXES_CLIENT_IP_CALLABLE = "lumikb.network.client_network"
AXES_USERNAME_CALLABLE = "lumikb.network.login_name"
AXES_LOCKOUT_CALLABLE = "lumikb.errors.locked_out"
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # it ends when we say that it does
# Neither logged nor kept with a failure; people type passwords into the wrong field.
AXES_SENSITIVE_PARAMETERS = ["username", "csrfmiddlewaretoken"]
AXES_VERBOSE = False
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False  # lumikb/admin.py

# --- Accounts ---------------------------------------------------------------------------------

# Who may make an account by himself: who is invited, and who has a mail address of these domains,
# which he has to show. None: an operator makes accounts.
SIGNUP_DOMAINS: list[str] = env.list("SIGNUP_DOMAINS", [], subcast=str.lower)

# Another place that knows people (OpenID Connect): its issuer, and what it calls us.
OIDC_ISSUER = env.str("OIDC_ISSUER", "")
OIDC_NAME = env.str("OIDC_NAME", "Single sign-on")
OIDC_CLIENT_ID = env.str("OIDC_CLIENT_ID", "")
OIDC_CLIENT_SECRET = env.str("OIDC_CLIENT_SECRET", "")
# At each login its groups of these names are ours, and who is in this one may see the admin.
OIDC_GROUPS: list[str] = env.list("OIDC_GROUPS", [])
OIDC_STAFF_GROUP = env.str("OIDC_STAFF_GROUP", "")
OIDC_GROUPS_CLAIM = env.str("OIDC_GROUPS_CLAIM", "groups")
OIDC_SCOPES = env.str("OIDC_SCOPES", "openid profile email").split()

ACCOUNT_ADAPTER = "accounts.adapters.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory" if SIGNUP_DOMAINS else "none"
ACCOUNT_FORMS = {
    "signup": "accounts.signup.SignupForm",
    "reauthenticate": "accounts.login.ReauthenticateForm",
}
# Nobody keeps another's address from him, or learns whose it is; none is a key here.
ACCOUNT_UNIQUE_EMAIL = False
ACCOUNT_PREVENT_ENUMERATION = "strict"
ACCOUNT_CHANGE_EMAIL = True  # one each, which counts when it is confirmed
ACCOUNT_EMAIL_SUBJECT_PREFIX = "LumiKB: "
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 600  # seconds
# Who guesses is the business of axes (below), also for the codes of a second factor.
ACCOUNT_RATE_LIMITS = {"login": None, "login_failed": None, "reauthenticate": None}
MFA_FORMS = {
    "authenticate": "accounts.second_factor.AuthenticateForm",
    "reauthenticate": "accounts.second_factor.ReauthenticateForm",
}
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "LumiKB"
MFA_ALLOW_UNVERIFIED_EMAIL = True
USERSESSIONS_ADAPTER = "accounts.adapters.SessionsAdapter"
SOCIALACCOUNT_ADAPTER = "accounts.adapters.SocialAccountAdapter"
SOCIALACCOUNT_EMAIL_VERIFICATION = "none"  # the provider knows its people
SOCIALACCOUNT_LOGIN_ON_GET = True  # a form may not lead to another host: form-action
SOCIALACCOUNT_REQUESTS_TIMEOUT = 5  # seconds
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {
        "SCOPE": OIDC_SCOPES,
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [
            {
                "provider_id": "provider",
                "name": OIDC_NAME,
                "client_id": OIDC_CLIENT_ID,
                "secret": OIDC_CLIENT_SECRET,
                "settings": {"server_url": OIDC_ISSUER},
            }
        ]
        if OIDC_ISSUER
        else [],
    }
}

# --- Mail -------------------------------------------------------------------------------------

# smtp://user:password@host:587/?tls=True; without it nothing is sent, and links are handed over.
MAIL = bool(env.str("EMAIL_URL", ""))
_mail = env.dj_email_url("EMAIL_URL", "")
if MAIL and "EMAIL_BACKEND" not in _mail:
    raise EnvError('Environment variable "EMAIL_URL" invalid: begin it with smtp://')
EMAIL_BACKEND = _mail["EMAIL_BACKEND"] if MAIL else "django.core.mail.backends.dummy.EmailBackend"
EMAIL_HOST, EMAIL_PORT = _mail["EMAIL_HOST"], _mail["EMAIL_PORT"]
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _mail["EMAIL_HOST_USER"], _mail["EMAIL_HOST_PASSWORD"]
EMAIL_USE_TLS, EMAIL_USE_SSL = _mail["EMAIL_USE_TLS"], _mail["EMAIL_USE_SSL"]
EMAIL_TIMEOUT = 10  # seconds
DEFAULT_FROM_EMAIL = env.str("MAIL_FROM", "LumiKB <lumikb@localhost>")

# --- PostgreSQL -------------------------------------------------------------------------------

# Connections of a process; its role says which kind it is (deploy/postgres/roles.sql).
WEB_POOL_SIZE = env.int("WEB_POOL_SIZE", 10)
WORKER_POOL_SIZE = env.int("WORKER_POOL_SIZE", 2)  # its threads share them: benchmarks/workers.py
OPS_POOL_SIZE = 2  # relay, reconcile, and the web's health and metrics
# Processes of each kind on all machines together, for `manage.py check --database default`.
WEB_PROCESSES = env.int("WEB_PROCESSES", 2)
WORKER_PROCESSES = env.int("WORKER_PROCESSES", 1)
RELAY_PROCESSES = env.int("RELAY_PROCESSES", 1)


def _database(url: dict[str, Any], pool: dict[str, Any], **options: Any) -> dict[str, Any]:
    network = {  # seconds; a connection whose other end is gone is noticed while it is idle, too
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }
    return url | {
        "ENGINE": "lumikb.postgresql",  # a deadline on every call
        "OPTIONS": url.get("OPTIONS", {}) | network | {"pool": pool} | options,
    }


_url = env.dj_db_url("DATABASE_URL")
_pool_sizes = {"lumikb_worker": WORKER_POOL_SIZE, "lumikb_ops": OPS_POOL_SIZE}
DATABASES = {
    "default": _database(
        _url,
        {
            "min_size": 1,
            "max_size": _pool_sizes.get(_url["USER"], WEB_POOL_SIZE),
            "timeout": env.float("DB_POOL_TIMEOUT", 30),  # seconds a caller waits before its 503
            "max_lifetime": 1800,  # seconds
        },
    ),
    # Health and metrics: they answer when all connections of the web's are taken, and soon.
    "ops": _database(
        env.dj_db_url("OPS_DATABASE_URL", env.str("DATABASE_URL")),
        {"min_size": 0, "max_size": OPS_POOL_SIZE, "timeout": 2, "max_idle": 60},
        connect_timeout=2,
        statement_timeout=2,
    )
    | {"TEST": {"MIRROR": "default"}},
}

# --- Redis and Dramatiq -----------------------------------------------------------------------

REDIS_URL = env.str("REDIS_URL")
DRAMATIQ_BROKER = {
    "BROKER": "dramatiq.brokers.redis.RedisBroker",
    "OPTIONS": {
        "client": Client(REDIS_URL, timeout=env.float("REDIS_TIMEOUT", 3)),  # seconds a command
        "heartbeat_timeout": 60_000,  # milliseconds; shorter makes a busy worker look dead
        "maintenance_chance": 100_000,  # of 1,000,000: lost messages return in about 65 s
    },
    # The first is the outermost. TimeLimit is last: earlier, its timer still runs while the others
    # clean up and can kill the worker thread. No Retries: a retry is an outbox row due later.
    "MIDDLEWARE": [
        "processing.middleware.ReturnConnections",
        "dramatiq.middleware.Callbacks",
        "dramatiq.middleware.CurrentMessage",
        "processing.middleware.LogContext",
        "processing.middleware.Heartbeat",
        "dramatiq.middleware.TimeLimit",
    ],
}
DRAMATIQ_AUTODISCOVER_MODULES = ("actors",)

# --- Object storage ---------------------------------------------------------------------------

# Keys are `<knowledge base>/<document>/original` and `.../text-<epoch>`, or its parts with `-<n>`,
# and `.../page-<epoch>-<number>`, how a page looks.
S3_BUCKET = env.str("S3_BUCKET", "")
S3_TIMEOUT = env.float("S3_TIMEOUT", 180)  # seconds for a call with all its tries
if S3_BUCKET:
    DOCUMENT_STORAGE = {
        "BACKEND": "lumikb.storage.S3Storage",
        "OPTIONS": {
            "bucket_name": S3_BUCKET,
            "endpoint_url": env.str("S3_ENDPOINT_URL", None),
            "access_key": env.str("S3_ACCESS_KEY", None),
            "secret_key": env.str("S3_SECRET_KEY", None),
            "region_name": env.str("S3_REGION", "us-east-1"),
            "connect_timeout": env.float("S3_CONNECT_TIMEOUT", 30),  # seconds
            "read_timeout": env.float("S3_READ_TIMEOUT", 60),  # seconds
            "tries": env.int("S3_TRIES", 3),
            "timeout": S3_TIMEOUT,
        },
    }
else:
    DOCUMENT_STORAGE = {
        "BACKEND": "lumikb.storage.FileStorage",
        "OPTIONS": {"location": env.str("STORAGE_ROOT")},
    }
STORAGES = {
    "default": DOCUMENT_STORAGE,
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
FILE_UPLOAD_PERMISSIONS = 0o600
FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o700

# --- Uploads ----------------------------------------------------------------------------------

UPLOAD_MAX_BYTES = env.int("UPLOAD_MAX_BYTES", 50 * MiB)
# So long the same Idempotency-Key is the same request.
IDEMPOTENCY_KEPT = timedelta(hours=env.int("IDEMPOTENCY_HOURS", 24))
FILE_UPLOAD_HANDLERS = ["documents.uploads.HashingUploadHandler"]
FILE_UPLOAD_TEMP_DIR = env.str("UPLOAD_TEMP_DIR", None)
DATA_UPLOAD_MAX_NUMBER_FILES = 100
NINJA_FIX_REQUEST_FILES_METHODS: set[str] = set()  # lumikb/api.py: not before the caller is known

# --- The document's life ----------------------------------------------------------------------

LEASE = timedelta(seconds=env.int("LEASE_SECONDS", 20))
MAX_ATTEMPTS = env.int("MAX_ATTEMPTS", 8)  # with the backoff below 20 minutes and more
MAX_DEATHS = env.int("MAX_DEATHS", 3)  # of workers over one document
RETRY_BACKOFF = timedelta(seconds=env.int("RETRY_BACKOFF_SECONDS", 10))  # doubled each try
RETRY_BACKOFF_MAX = timedelta(minutes=10)
OUTAGE_BACKOFF = timedelta(seconds=env.int("OUTAGE_BACKOFF_SECONDS", 10))  # doubled each probe
OUTAGE_BACKOFF_MAX = timedelta(seconds=60)  # so soon after its return a service is used again
POSTPONE_GIVE_UP = timedelta(hours=24)  # an outage longer than this fails the document
REPOST_AFTER = timedelta(seconds=env.int("REPOST_AFTER_SECONDS", 30))
STUCK_AFTER = timedelta(minutes=env.int("STUCK_AFTER_MINUTES", 15))
PURGE_AFTER = timedelta(hours=env.int("PURGE_AFTER_HOURS", 24))

# Of one person and of one knowledge base: documents=1000,bytes=5000000000,waiting=500,uploads=4,
# each of them or none. The admin may say otherwise of one: documents/limits.py.
LIMIT_KINDS = validate.ContainsOnly(["documents", "bytes", "waiting", "uploads"])
PERSON_LIMITS: dict[str, int] = (
    env.dict("PERSON_LIMITS", None, subcast_values=int, validate=LIMIT_KINDS) or {}
)
KNOWLEDGE_BASE_LIMITS: dict[str, int] = (
    env.dict("KNOWLEDGE_BASE_LIMITS", None, subcast_values=int, validate=LIMIT_KINDS) or {}
)
# Events, tombstones of purged documents, finished bulk actions, reports of the reconciler.
HISTORY_DAYS = env.int("HISTORY_DAYS", 400, validate=validate.Range(min=1))

# --- Audit ------------------------------------------------------------------------------------

AUDIT_DAYS = env.int("AUDIT_DAYS", 400, validate=validate.Range(min=1))
# What people search for is their own business, unless this is on: else how often, and where.
AUDIT_SEARCH_WORDS = env.bool("AUDIT_SEARCH_WORDS", False)

# --- Processing -------------------------------------------------------------------------------

TIME_LIMIT = timedelta(seconds=600)  # hard: Dramatiq interrupts the actor
# After so long a document makes room for others between two steps, and keeps what it has.
TURN = timedelta(seconds=env.float("TURN_SECONDS", 120, validate=validate.Range(min=0.1, max=240)))
# Without any progress for so long it is stopped, which counts as a try; TURN and this fit into the
# hard limit.
STALL = timedelta(seconds=env.float("STALL_SECONDS", 300, validate=validate.Range(max=300)))
PARSE_TIMEOUT = env.int("PARSE_TIMEOUT", 300)  # seconds
# "required": a worker does not start on a system where its parsers' system calls are not filtered.
PARSER_SANDBOX = env.str(
    "PARSER_SANDBOX", "best-effort", validate=validate.OneOf(["best-effort", "required"])
)
PARSE_MEMORY_BYTES = env.int("PARSE_MEMORY_BYTES", 1024 * MiB)
# A document with more is not read at all, and says so at once.
PARSE_MAX_CHARS = env.int("PARSE_MAX_CHARS", 60_000_000)  # more than 50 MiB of plain text have
PARSE_MAX_PAGES = env.int("PARSE_MAX_PAGES", 50_000)  # of a PDF
PARSE_MAX_CELLS = env.int("PARSE_MAX_CELLS", 2_000_000)  # of a workbook
OCR = env.str("OCR", "auto", validate=validate.OneOf(["auto", "off"]))
OCR_LANGUAGES = env.str("OCR_LANGUAGES", "")  # such as deu+eng; all that there are if empty
# A folder of further models; formats/tessdata.py asks the environment, because the parsers do, too.
OCR_TESSDATA = env.str("OCR_TESSDATA", "")
OCR_MAX_PAGES = env.int("OCR_MAX_PAGES", 1_000)  # of a document; those behind it are not read
CHUNK_MAX_CHARS = env.int(
    "CHUNK_MAX_CHARS", 1000
)  # of a passage; fewer when its tokens are too many
RELAY_WINDOW = env.int(
    "RELAY_WINDOW", 100
)  # messages in Redis at a time; the rest wait in PostgreSQL

EMBEDDING_MODEL = env.str(
    "EMBEDDING_MODEL"
)  # as LiteLLM names it, e.g. openai/text-embedding-3-small
EMBEDDING_DIMENSIONS = env.int("EMBEDDING_DIMENSIONS")
# Some models want to be told what they read; multilingual-e5: "query: " and "passage: ".
EMBEDDING_QUERY_PREFIX = env.str("EMBEDDING_QUERY_PREFIX", "")
EMBEDDING_PASSAGE_PREFIX = env.str("EMBEDDING_PASSAGE_PREFIX", "")
# What the model reads of a text; and where it says how many tokens one has, as vLLM's /tokenize.
EMBEDDING_MAX_TOKENS = env.int("EMBEDDING_MAX_TOKENS", 512, validate=validate.Range(min=64))
EMBEDDING_TOKENIZE_URL = env.str("EMBEDDING_TOKENIZE_URL", "")
EMBEDDING_API_BASE = env.str("EMBEDDING_API_BASE", None)
EMBEDDING_API_KEY = env.str("EMBEDDING_API_KEY", None)
EMBEDDING_TIMEOUT = env.float("EMBEDDING_TIMEOUT", 120)  # seconds for a batch
EMBEDDING_BATCH_SIZE = env.int("EMBEDDING_BATCH_SIZE", 32)

# The vectors of queries, 3 KB each and in each process: most people ask for a second page.
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "queries": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "LOCATION": "queries",
        "TIMEOUT": 600,  # seconds; another model may hide behind the same name
        "OPTIONS": {"MAX_ENTRIES": 1000},
    },
}

# Seconds that a search waits for its vector; after that it goes by words alone.
SEARCH_EMBEDDING_TIMEOUT = env.float("SEARCH_EMBEDDING_TIMEOUT", 2)
# And for the index; after that there is no answer. One of a million passages takes 0.3.
SEARCH_INDEX_TIMEOUT = env.float("SEARCH_INDEX_TIMEOUT", 5)
# A model that puts the best passages into a better order, if any; and seconds that it may take.
RERANK_MODEL = env.str("RERANK_MODEL", "")  # as LiteLLM names it, e.g. cohere/rerank-v3.5
RERANK_API_BASE = env.str("RERANK_API_BASE", None)
RERANK_API_KEY = env.str("RERANK_API_KEY", None)
if EMBEDDING_API_BASE and not RERANK_API_BASE:  # one proxy has both; its key is nobody else's
    RERANK_API_BASE = EMBEDDING_API_BASE
    RERANK_API_KEY = RERANK_API_KEY or EMBEDDING_API_KEY
RERANK_TIMEOUT = env.float("RERANK_TIMEOUT", 1)
# The cosine of a passage that just answers a query, and how soon that changes: for a model that
# search/relevance.py does not know. Without them, no query of such a one is told that nothing fits.
RELEVANCE_COSINE = env.float("RELEVANCE_COSINE", None)
RELEVANCE_STEP = env.float("RELEVANCE_STEP", 0.04)

QDRANT_URL = env.str("QDRANT_URL")
QDRANT_API_KEY = env.str("QDRANT_API_KEY", None)
QDRANT_COLLECTION_PREFIX = env.str("QDRANT_COLLECTION_PREFIX", "lumikb")
QDRANT_TIMEOUT = env.float("QDRANT_TIMEOUT", 60)  # seconds for a call
# Of a collection that is made (processing/index/layout.py); without them, as the server has it.
QDRANT_SHARDS = env.int("QDRANT_SHARDS", None, validate=validate.Range(min=1))
QDRANT_REPLICAS = env.int("QDRANT_REPLICAS", None, validate=validate.Range(min=1))
QDRANT_WRITE_CONSISTENCY = env.int("QDRANT_WRITE_CONSISTENCY", None, validate=validate.Range(min=1))
if (QDRANT_WRITE_CONSISTENCY or 1) > (QDRANT_REPLICAS or 1):
    raise EnvError(
        'Environment variable "QDRANT_WRITE_CONSISTENCY" invalid: '
        f"{QDRANT_WRITE_CONSISTENCY} copies must take each write, and there are "
        f"{QDRANT_REPLICAS or 1} of them (QDRANT_REPLICAS)"
    )
QDRANT_QUANTIZATION = env.str(
    "QDRANT_QUANTIZATION", "none", validate=validate.OneOf(["none", "scalar", "binary"])
)
QDRANT_ON_DISK = env.bool("QDRANT_ON_DISK", False)

# --- Health and metrics -----------------------------------------------------------------------

METRICS_TOKEN = env.str("METRICS_TOKEN", None)  # Prometheus sends it; without one, no /metrics
# From when on /health/ready is red; the alerts have these numbers too (deploy/prometheus).
RELAY_LATE = timedelta(seconds=env.int("RELAY_LATE_SECONDS", 30))  # it ticks each second
RECONCILE_LATE = timedelta(minutes=env.int("RECONCILE_LATE_MINUTES", 60))  # it runs each 5

# --- Logging ----------------------------------------------------------------------------------

SECRETS = [
    SECRET_KEY,
    *(database["PASSWORD"] for database in DATABASES.values()),
    urlsplit(REDIS_URL).password,
    env.str("S3_ACCESS_KEY", None),
    env.str("S3_SECRET_KEY", None),
    QDRANT_API_KEY,
    EMBEDDING_API_KEY,
    EMAIL_HOST_PASSWORD,
    OIDC_CLIENT_SECRET,
    RERANK_API_KEY,
    METRICS_TOKEN,
]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "document": {"()": "processing.middleware.DocumentFilter"},
        "proportion": {"()": "lumikb.logs.Proportion"},
    },
    "formatters": {
        "line": {
            "()": "lumikb.logs.RedactingFormatter",
            "fmt": "%(asctime)s %(levelname)s %(name)s%(document)s %(message)s",
            "secrets": SECRETS,
        },
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["document", "proportion"],
        },
        "documents": {  # what went wrong with a document, for its page in the admin
            "class": "processing.trouble.DocumentLog",
            "formatter": "line",
            "filters": ["document"],
            "level": "WARNING",
        },
    },
    "root": {
        "handlers": ["console", "documents"],
        "level": env.str(
            "LOG_LEVEL", "INFO", validate=validate.OneOf(["DEBUG", "INFO", "WARNING"])
        ),
    },
    "loggers": {
        name: {"level": "WARNING"} for name in ("axes", "httpx", "LiteLLM", "dramatiq", "botocore")
    },
}
