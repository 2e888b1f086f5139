"""What the tree itself promises: the repositories' verbs, and modules and functions of a readable size."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from ai_tasks.models import AIGenerationTask
from chat.models import ChatSession
from config.settings import BASE_DIR
from queueing.models import TaskQueue

APPS = ("config", "chat", "ai_tasks", "queueing", "providers")
MODULE_LINES = 300
FUNCTION_LINES = 40
TOO_VAGUE = {"services", "utils", "helpers", "common", "misc"}
"""A module is named after what is in it."""

VERBS = {
    AIGenerationTask: """find_by_id save delete find_pending_tasks find_processing_tasks find_failed_tasks
        find_timed_out_tasks find_by_user count_active_by_user find_by_type find_by_related_entity
        claim_next_pending_task release_task renew complete fail
        count_by_status calculate_average_processing_time get_provider_statistics""",
    ChatSession: """find_by_id save delete find_active_by_user find_by_user_and_item find_inactive_sessions
        add_message get_message_history count_messages count_active_sessions calculate_average_session_length
        get_token_usage_by_user""",
    TaskQueue: """enqueue enqueue_with_priority dequeue peek remove reorder_by_priority
        get_queue_length get_queue_stats is_queue_full move_to_dlq get_dlq_items retry_from_dlq""",
}


def modules(*folders: str) -> Iterator[Path]:
    """Yield the project's Python files in these folders, less the generated ones."""
    for folder in folders:
        yield from (path for path in sorted((BASE_DIR / folder).rglob("*.py")) if "migrations" not in path.parts)


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function and method of a file."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    yield from (node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def height(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many lines a function has, its docstring aside."""
    start = node.lineno
    if ast.get_docstring(node) and len(node.body) > 1:
        start += (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
    return (node.end_lineno or 0) - start + 1


@pytest.mark.parametrize(("model", "verb"), [(model, verb) for model, verbs in VERBS.items() for verb in verbs.split()])
def test_every_repository_has_every_verb(model: type, verb: str) -> None:
    method = getattr(model.objects, verb, None)  # type: ignore[attr-defined]

    assert callable(method), f"{model.__name__}.objects.{verb} is missing"
    assert method.__doc__, f"{model.__name__}.objects.{verb} does not say what it does"


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in modules(*APPS, "tests")}

    assert [f"{path.relative_to(BASE_DIR)}: {n}" for path, n in lengths.items() if n > MODULE_LINES] == []


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{path.relative_to(BASE_DIR)}:{node.lineno} {node.name}: {height(node)}"
        for path in modules(*APPS, "tests")
        for node in functions(path)
        if height(node) > FUNCTION_LINES
    ]

    assert long == []


def test_no_module_is_a_drawer_for_everything() -> None:
    assert [str(path.relative_to(BASE_DIR)) for path in modules(*APPS) if path.stem in TOO_VAGUE] == []


def test_every_module_and_public_function_says_what_it_does() -> None:
    silent = []
    for path in modules(*APPS):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if tree.body and not ast.get_docstring(tree):
            silent.append(str(path.relative_to(BASE_DIR)))
        nodes = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
        nameless = [node for node in nodes if not node.name.startswith("_") and not ast.get_docstring(node)]
        silent += [f"{path.relative_to(BASE_DIR)}:{node.lineno} {node.name}" for node in nameless]

    assert silent == []


def test_no_model_hides_behaviour_in_save_or_signals() -> None:
    hidden = []
    for path in modules(*APPS):
        text = path.read_text(encoding="utf-8")
        if "django.db.models.signals" in text or "django.dispatch" in text:
            hidden.append(f"{path.relative_to(BASE_DIR)}: signals")
        if path.stem == "models":
            hidden += [f"{path.relative_to(BASE_DIR)}: save" for node in functions(path) if node.name == "save"]

    assert hidden == []
