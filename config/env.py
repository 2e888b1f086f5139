"""Read the environment: unset means embedded, a wrong value stops the start with one clear sentence."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

env = environ.Env()

SUSPENDED_SECONDS = 5
"""How long a transaction may stand still before PostgreSQL ends it: its process is suspended, and holds up others."""
SILENCE = {"tcp_user_timeout": 10_000, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
"""
After about ten seconds without a word from the database's host, a statement fails (libpq's; ms, s, s, probes).

A host that was cut off says nothing: by itself, Linux waits for a quarter of an hour.
"""
BROKERS = {"redis": "redis", "rediss": "redis", "amqp": "rabbitmq", "amqps": "rabbitmq", "memory": "memory"}


def text(name: str, default: str = "") -> str:
    """Return NAME, or the content of the file that NAME_FILE points to, or the default."""
    value = os.environ.get(name, "").strip()
    path = os.environ.get(f"{name}_FILE", "").strip()
    if value or not path:
        return value or default
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE names {path!r}, which cannot be read: {error.strerror}.") from error


def boolean(name: str, default: bool) -> bool:
    """Return NAME as a truth value."""
    value = text(name).lower()
    if value in ("", "1", "true", "yes", "on", "0", "false", "no", "off"):
        return default if value == "" else value in ("1", "true", "yes", "on")
    raise ImproperlyConfigured(f"{name} must be true or false, not {value!r}.")


def integer(name: str, default: int, *, least: int = 0) -> int:
    """Return NAME as a whole number of at least `least`."""
    value = text(name)
    if not value:
        return default
    if not value.lstrip("-").isdigit() or int(value) < least:
        raise ImproperlyConfigured(f"{name} must be a whole number of at least {least}, not {value!r}.")
    return int(value)


def choice(name: str, default: str, *others: str) -> str:
    """Return NAME, one of these words in any case."""
    value = text(name, default)
    found = next((word for word in (default, *others) if word.lower() == value.lower()), None)
    if found is None:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join((default, *others))}, not {value!r}.")
    return found


def words(name: str, default: list[str]) -> list[str]:
    """Return NAME split at commas."""
    return [word.strip() for word in text(name).split(",") if word.strip()] or default


def secret_key(folder: Path, *, embedded: bool) -> str:
    """Return SECRET_KEY; an embedded installation makes its own once and keeps it in `folder`."""
    if key := text("SECRET_KEY"):
        return key
    if not embedded:
        raise ImproperlyConfigured("SECRET_KEY must be set when DATABASE_URL is: every process needs the same one.")
    path = folder / "secret_key"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(50), encoding="utf-8")
    return path.read_text(encoding="utf-8")


@dataclass(frozen=True)
class Services:
    """Which database, broker and channel layer this process uses."""

    database: dict[str, Any]
    broker_url: str
    broker: str
    redis_url: str

    @property
    def embedded(self) -> bool:
        """Is everything inside this one process?"""
        return self.broker == "memory"

    @property
    def queue_arguments(self) -> dict[str, str] | None:
        """What Celery's queues are declared with: RabbitMQ's are replicated and outlive a node."""
        return {"x-queue-type": "quorum"} if self.broker == "rabbitmq" else None


def services(folder: Path) -> Services:
    """
    Return the combination that the environment names, or refuse it.

    Legal: nothing set (embedded: SQLite, in-memory broker and layer); PostgreSQL with Redis; PostgreSQL with RabbitMQ,
    and Redis for the channel layer.
    """
    database_url, redis_url = text("DATABASE_URL"), text("REDIS_URL")
    broker_url = text("CELERY_BROKER_URL") or redis_url or "memory://localhost/"
    broker = BROKERS.get(urlsplit(broker_url).scheme)
    if broker is None:
        raise ImproperlyConfigured("CELERY_BROKER_URL must start with redis://, rediss://, amqp:// or amqps://.")
    database = _database(database_url, folder)
    distributed = database["ENGINE"].endswith("postgresql")
    if distributed != (broker != "memory") or distributed != bool(redis_url):
        raise ImproperlyConfigured(
            "DATABASE_URL (PostgreSQL) and REDIS_URL go together: set both to run as several processes, "
            "or neither (nor CELERY_BROKER_URL) to run embedded in one."
        )
    return Services(database, broker_url, broker, redis_url)


def _database(url: str, folder: Path) -> dict[str, Any]:
    if not url:
        return _sqlite(str(folder / "tasuki.sqlite3"))
    try:
        database = dict(env.db_url_config(url))
    except Exception as error:
        raise ImproperlyConfigured(
            "DATABASE_URL is not a database address such as postgres://u:p@host/name."
        ) from error
    if database["ENGINE"].endswith("sqlite3"):
        return _sqlite(str(database["NAME"]))
    if not database["ENGINE"].endswith("postgresql"):
        raise ImproperlyConfigured("DATABASE_URL must name PostgreSQL (postgres://...) or SQLite (sqlite:///...).")
    pool = {"min_size": 0, "max_size": integer("DATABASE_POOL_SIZE", 24, least=2), "timeout": 10}
    is_pooled = boolean("BEHIND_PGBOUNCER", default=False)
    # PgBouncer refuses this word of the handshake; its own idle_transaction_timeout does the same.
    patience = {} if is_pooled else {"options": f"-c idle_in_transaction_session_timeout={SUSPENDED_SECONDS}s"}
    bounds = {"pool": pool, "connect_timeout": 5, "prepare_threshold": None}
    database["OPTIONS"] = {**patience, **SILENCE, **database.get("OPTIONS", {}), **bounds}
    database["DISABLE_SERVER_SIDE_CURSORS"] = is_pooled
    return database


def _sqlite(path: str) -> dict[str, Any]:
    """IMMEDIATE and WAL: without them, transactions that read before they write lock each other out."""
    options = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;PRAGMA cache_size=-32000;",
    }
    # A file for tests too: an in-memory database is shared between threads by table locks that nobody waits for.
    test = {"NAME": f"{path}.test"}
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": path, "OPTIONS": options, "TEST": test}


def logging() -> dict[str, Any]:
    """Return how and what is logged: to standard error, in lines for people, or of JSON."""
    levels = ("WARNING", "DEBUG", "INFO", "ERROR", "CRITICAL")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"},
            "json": {"()": "ai_tasks.log_lines.JsonLines"},
        },
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": choice("LOG_FORMAT", "line", "json")}},
        "root": {"handlers": ["console"], "level": choice("LOG_LEVEL", *levels)},
    }
