"""The task types that the settings name."""

from functools import cache

from django.conf import settings
from django.utils.module_loading import import_string
from jsonschema import Draft202012Validator

from ai_tasks.errors import InvalidInput, Mistake, UnknownTaskType
from ai_tasks.task_types.base import TaskType

MISTAKES_SHOWN = 20


@cache
def all_types() -> dict[str, TaskType]:
    """Return every task type by name, in the order of AI_TASK_TYPES."""
    found: list[TaskType] = [import_string(path) for path in settings.AI_TASK_TYPES]
    return {task_type.name: task_type for task_type in found}


@cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(all_types()[name].input_schema)


def get(name: str) -> TaskType:
    """Return the task type of that name; raises UnknownTaskType."""
    if found := all_types().get(name):
        return found
    public = ", ".join(sorted(kind.name for kind in all_types().values() if kind.is_public))
    raise UnknownTaskType(
        f"There is no task type of that name. Known: {public}.", errors=(Mistake("/type", "unknown"),)
    )


def validate(name: str, value: object) -> None:
    """Check an input against its type's schema; raises InvalidInput with a JSON pointer for each mistake."""
    found = sorted(_validator(name).iter_errors(value), key=lambda error: list(map(str, error.absolute_path)))
    mistakes = tuple(
        Mistake("/input" + "".join(f"/{_escape(str(part))}" for part in error.absolute_path), error.message[:300])
        for error in found[:MISTAKES_SHOWN]
    ) or tuple(get(name).mistakes(value))
    if not mistakes:
        return
    raise InvalidInput(f"The input does not fit the schema of {name}.", errors=mistakes)


def _escape(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")
