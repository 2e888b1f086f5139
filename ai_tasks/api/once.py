"""`Idempotency-Key`: a create call that is sent again returns what it made the first time."""

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from django.db import transaction
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from ai_tasks import clock
from ai_tasks.access import idempotency
from ai_tasks.access.idempotency import InFlight, Mismatch
from ai_tasks.api.authentication import user_of
from ai_tasks.api.problems import refuse
from ai_tasks.errors import InvalidInput, Mistake

Made = TypeVar("Made")

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 200},
    OpenApiParameter.HEADER,
    description="Sent again with the same body it gives the same object, for a day.",
)


def create_once(
    request: Request,
    *,
    call: str,
    make: Callable[[], tuple[UUID, Made]],
    find: Callable[[UUID], Made | None],
    body: Any = None,
) -> tuple[Made, bool]:
    """
    Make the object, once per Idempotency-Key of the caller; return it and whether it was there already.

    `call` names method and path. `make`, which is atomic by itself, returns the object's id and the object; with a key
    it runs in the key's transaction. `find` gets that id when the key is sent again. `body` stands for a request's that
    is not JSON. Raises InvalidInput, and Refused: 409, 422 or, when it is gone, 404.
    """

    def make_one() -> tuple[list[UUID], Made]:
        object_id, made = make()
        return [object_id], made

    return create_all_once(request, call=call, make=make_one, find=lambda object_ids: find(object_ids[0]), body=body)


def create_all_once(
    request: Request,
    *,
    call: str,
    make: Callable[[], tuple[list[UUID], Made]],
    find: Callable[[list[UUID]], Made | None],
    body: Any = None,
) -> tuple[Made, bool]:
    """Make several objects, once per Idempotency-Key; otherwise as `create_once`."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return make()[1], False
    if not idempotency.KEY.fullmatch(key):
        mistake = Mistake("Idempotency-Key", "not 1 to 200 printable ASCII characters")
        raise InvalidInput("The Idempotency-Key cannot be used.", errors=(mistake,))
    with transaction.atomic():
        record, is_new = _claim(request, key, call, request.data if body is None else body)
        if is_new:
            object_ids, made = make()
            type(record).objects.filter(pk=record.pk).update(object_ids=[str(each) for each in object_ids])
            return made, False
        earlier = None if record.object_ids is None else find([UUID(each) for each in record.object_ids])
        if earlier is None:
            raise refuse("not_found", "What was made with this Idempotency-Key is deleted.")
        return earlier, True


def _claim(request: Request, key: str, call: str, body: Any) -> tuple[Any, bool]:
    digest = idempotency.digest_of(body)
    owner_id = user_of(request).pk
    try:
        return idempotency.claim(owner_id=owner_id, key=key, call=call, digest=digest, now=clock.now())
    except Mismatch as error:
        raise refuse("idempotency_mismatch", "This Idempotency-Key was used for another request.") from error
    except InFlight as error:
        raise refuse("idempotency_in_flight", "The first request with this key has not ended yet.") from error
