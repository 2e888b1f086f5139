"""Settings of every process. What differs between installations comes from the environment (see config/env.py)."""

from datetime import timedelta
from pathlib import Path

from kombu import Queue

from config import env, providers

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = Path(env.text("TASUKI_VAR", str(BASE_DIR / "var")))
VAR_DIR.mkdir(parents=True, exist_ok=True)

SERVICES = env.services(VAR_DIR)
EMBEDDED = SERVICES.embedded
DEBUG = env.boolean("DEBUG", default=False)
SECRET_KEY = env.secret_key(VAR_DIR, embedded=EMBEDDED)
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS", [])

INSTALLED_APPS = [
    "config.apps.ConfigConfig",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "channels",
    "corsheaders",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_results",
    "providers.apps.ProvidersConfig",
    "queueing.apps.QueueingConfig",
    "ai_tasks.apps.AiTasksConfig",
    "chat.apps.ChatConfig",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "config.static.StaticFilesMiddleware",
    "ai_tasks.api.middleware.RequestIdMiddleware",
    "ai_tasks.api.middleware.RateLimitMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "ai_tasks.api.middleware.ContentSecurityPolicyMiddleware",
    "config.middleware.Sessions",
    "config.middleware.Locale",
    "django.middleware.common.CommonMiddleware",
    "config.middleware.Csrf",
    "config.middleware.Authentication",
    "config.middleware.Messages",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Before the apps': its admin/base_site.html is the frame of every admin page.
        "DIRS": [BASE_DIR / "ai_tasks" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {"default": SERVICES.database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"
PASSWORD_RESET_TIMEOUT = 24 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
HTTPS_ONLY = env.boolean("HTTPS_ONLY", default=False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS_ONLY
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]
SECURE_HSTS_SECONDS = env.integer("HSTS_SECONDS", 365 * 86_400) if HTTPS_ONLY else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = env.boolean("HSTS_SUBDOMAINS", default=False)
if env.boolean("BEHIND_PROXY", default=False):
    # The proxy must set this header itself, whatever a client sent.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# W003 looks for Django's own CSRF middleware by name; ours is a subclass. W005 and W021: whether other hosts of the
# domain speak HTTPS is theirs to say (HSTS_SUBDOMAINS).
SILENCED_SYSTEM_CHECKS = ["security.W003", "security.W005", "security.W021"]
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ja", "日本語")]
LOCALE_PATHS = [BASE_DIR / app / "locale" for app in ("providers", "queueing", "ai_tasks", "chat", "config")]
TIME_ZONE = "UTC"
USE_I18N = USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STATIC_ROOT.mkdir(exist_ok=True)
WHITENOISE_USE_FINDERS = EMBEDDED or DEBUG
WHITENOISE_AUTOREFRESH = False

# Counts of calls; what it forgets does no harm.
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 100_000}}
    if EMBEDDED
    else {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": SERVICES.redis_url,
        "KEY_PREFIX": "tasuki:cache",
        "OPTIONS": {"socket_timeout": 0.5, "socket_connect_timeout": 0.5},
    }
}

# Pages of other origins that may use the APIs, by key: browsers send them no cookies.
CORS_ALLOWED_ORIGINS = env.words("CORS_ALLOWED_ORIGINS", [])
CORS_URLS_REGEX = r"^/(api|v1)/"
CORS_ALLOW_HEADERS = ["authorization", "content-type", "idempotency-key", "last-event-id", "x-request-id"]
CORS_EXPOSE_HEADERS = ["idempotency-replayed", "location", "retry-after", "x-request-id", "x-tasuki-task"]

CHANNEL_LAYERS = {
    "default": {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 10_000}}
    if EMBEDDED
    else {
        # The other Redis layer drops messages silently beyond 100 a process.
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [SERVICES.redis_url], "prefix": "tasuki"},
    }
}

# Celery: the van, not the queue. Messages carry ids and may be lost, doubled, late or reordered without harm.
CELERY_BROKER_URL = SERVICES.broker_url
CELERY_RESULT_BACKEND = "django-db"
CELERY_RESULT_EXTENDED = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = CELERY_RESULT_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_DEFAULT_QUEUE = "control"
CELERY_TASK_CREATE_MISSING_QUEUES = True
# Once more, at once, on a new connection: beat's would never be made anew. Who must not wait says retry=False.
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
CELERY_IMPORTS = ["ai_tasks.compat.celery_tasks"]
CELERY_WORKER_POOL = "threads"
CELERY_WORKER_CONSUMER = "config.consumer:Consumer"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = SERVICES.broker == "redis"
CELERY_WORKER_ENABLE_REMOTE_CONTROL = True
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_ENABLE_PREFETCH_COUNT_REDUCTION = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_CONNECTION_TIMEOUT = 2
CELERY_BROKER_POOL_ACQUIRE_TIMEOUT = 3
# RabbitMQ's alone: a host that is gone says nothing.
CELERY_BROKER_HEARTBEAT = 10
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "memory": {"polling_interval": 0.01},
    "redis": {
        "global_keyprefix": "tasuki:",
        "visibility_timeout": 3600,
        "socket_timeout": 10,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 25,
    },
    # Without the bounds, a thread that publishes waits until the broker is back.
    "rabbitmq": {"confirm_publish": True, "max_retries": 0, "read_timeout": 10, "write_timeout": 10},
}[SERVICES.broker]
CELERY_BEAT_MAX_LOOP_INTERVAL = 1
# In no file: one that a kill left half written would stop beat at every start; and nothing here waits for days.
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "ai_tasks.api.authentication.ApiKeyAuthentication",
        "ai_tasks.api.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["ai_tasks.api.parsers.BoundedJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "ai_tasks.api.negotiation.FirstRenderer",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "ai_tasks.api.problems.handle",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Tasuki",
    "DESCRIPTION": "Durable AI tasks: every request is a row before it is a call.",
    "VERSION": "0.1.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_NAME_OVERRIDES": {
        "PriorityEnum": "ai_tasks.api.serializers.PRIORITIES",
        "ApiKeyStateEnum": "ai_tasks.api.key_documents.STATES",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "ai_tasks.api.docs.with_common_answers",
        "ai_tasks.api.examples.with_examples",
    ],
}

# What this project adds.
AI_PROVIDERS = providers.settings()
"""Provider instances by name; keys stay in the environment and are read at use. A file of them is followed."""
AI_DEFAULT_ROUTE = env.words("AI_DEFAULT_ROUTE", ["simulator/sim-1"])
"""Candidates of the route `default`, written to the database once, when it is first made."""
AI_TASK_TYPES = [
    "ai_tasks.task_types.text.TEXT_GENERATE",
    "ai_tasks.task_types.language.TEXT_SUMMARIZE",
    "ai_tasks.task_types.language.TEXT_TRANSLATE",
    "ai_tasks.task_types.reading.TEXT_CLASSIFY",
    "ai_tasks.task_types.reading.JSON_EXTRACT",
    "ai_tasks.task_types.embedding.EMBEDDING_CREATE",
    "ai_tasks.task_types.probe.PROVIDER_PROBE",
    "chat.replies.CHAT_REPLY",
    "chat.titles.CHAT_TITLE",
]
AI_REQUESTS_PER_MINUTE = env.integer("AI_REQUESTS_PER_MINUTE", 0, least=0)
"""How often each API key, or who is signed in, may call the APIs, unless the key says otherwise; 0: as they like."""
AI_LEASE = timedelta(seconds=env.integer("AI_LEASE_SECONDS", 90, least=3))
"""How long a worker may be silent before its work is given to another; renewed six times in it."""
AI_LOST_CHARGE_GRACE = timedelta(seconds=env.integer("AI_LOST_CHARGE_GRACE_SECONDS", 600))
"""How long a lost attempt waits for its late result before it is charged by estimate."""
AI_WORKER_THREADS = env.integer("AI_WORKER_THREADS", 64, least=1)
"""Tasks that one worker process runs at once."""
AI_CONTROL_THREADS = 2
"""Threads beside them that only sweeps use, so that rescue never waits behind the work to be rescued."""
AI_QUEUE_TOTAL_MARK = env.integer("AI_QUEUE_TOTAL_MARK", 1_000_000, least=1)
"""Entries of all queues together from which on new ones are refused; the marks of each queue are in its row."""
AI_KEEP_PAYLOADS = timedelta(days=env.integer("AI_KEEP_PAYLOADS_DAYS", 90, least=1))
"""How long after its end a task keeps what it was asked and answered; its row and its bill are kept for good."""
AI_KEEP_DEAD_LETTERS = timedelta(days=env.integer("AI_KEEP_DEAD_LETTERS_DAYS", 90, least=1))
"""How long dead letters are kept that were redriven or discarded; open ones are kept, and so are their payloads."""
AI_FILE_BYTES = env.integer("AI_FILE_BYTES", 100_000_000, least=1)
"""The largest file of /v1/files."""
AI_FILES_BYTES_PER_USER = env.integer("AI_FILES_BYTES_PER_USER", 2_000_000_000, least=1)
"""What all files of a user may have together; what batches write is not refused, but counts."""
AI_KEEP_FILES = timedelta(days=env.integer("AI_KEEP_FILES_DAYS", 30, least=1))
"""How long a file is kept of which nobody said how long."""
AI_BATCH_LINE_BYTES = env.integer("AI_BATCH_LINE_BYTES", 1_000_000, least=1_000)
"""The longest line of a batch's file: as the body of the call that it stands for."""
AI_BATCH_LIVE_LINES = env.integer("AI_BATCH_LIVE_LINES", 10_000, least=1)
"""How many requests of a user's batches wait at once; the others are begun as these end."""
AI_WEBHOOK_ALLOW_PRIVATE = env.boolean("AI_WEBHOOK_ALLOW_PRIVATE", default=False)
"""May webhooks go to private, loopback and link-local addresses? Whoever has an API key then reaches into yours."""
AI_WEBHOOK_THREADS = env.integer("AI_WEBHOOK_THREADS", 2, least=1)
"""Threads of a worker process that only send webhooks, each up to 20 at once."""
AI_METRICS_TOKEN = env.text("METRICS_TOKEN")
"""What Prometheus brings to /metrics as a bearer token; empty: anybody may read it."""
AI_TRACES_ENDPOINT = env.text("OTEL_EXPORTER_OTLP_ENDPOINT")
"""Where OpenTelemetry's spans are sent to, by OTLP over HTTP; empty: nothing is traced."""
AI_TRACE_PROVIDERS = env.boolean("AI_TRACE_PROVIDERS", default=False)
"""Are providers told which trace a call belongs to?"""
AI_ENVIRONMENT = env.text("AI_ENVIRONMENT", "")
"""What the console calls this installation in its head, as `production`; empty: nothing."""
AI_ALERT_EMAILS = env.words("AI_ALERT_EMAILS", [])
"""Whom alerts are mailed to; nobody: they are on the console and on `/ws/operations/` alone."""
EMAIL_HOST = env.text("EMAIL_HOST", "localhost")
EMAIL_PORT = env.integer("EMAIL_PORT", 25, least=1)
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = env.text("EMAIL_HOST_USER"), env.text("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = env.boolean("EMAIL_USE_TLS", default=False)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "tasuki@localhost")
AI_DISPATCHER = env.boolean("AI_DISPATCHER", default=True)
"""May this process hand work to Celery?"""

AI_CHAT_CONTEXT_TOKENS = env.integer("AI_CHAT_CONTEXT_TOKENS", 64_000, least=1_000)
"""The most that a reply's prompt takes from its conversation, however large the model's window is."""
AI_CHAT_TITLES = env.boolean("AI_CHAT_TITLES", default=True)
"""Are chats named by a model, in a task of low priority after the first reply?"""

CELERY_TASK_CREATE_MISSING_QUEUE_TYPE = "quorum" if SERVICES.broker == "rabbitmq" else None
CELERY_TASK_QUEUES = [
    Queue(name, routing_key=name, queue_arguments=SERVICES.queue_arguments)
    for name in [*(f"ai.{slug}.{lane}" for slug in AI_PROVIDERS for lane in ("default", "long")), "control", "webhooks"]
]
CELERY_WORKER_CONCURRENCY = AI_WORKER_THREADS + AI_CONTROL_THREADS + AI_WEBHOOK_THREADS

LOGGING = env.logging()
