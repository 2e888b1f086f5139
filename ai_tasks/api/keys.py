"""API keys over HTTP: each user's own."""

import re
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ai_tasks import clock, key_ring
from ai_tasks.api import key_documents as documents
from ai_tasks.api.authentication import HasScope, key_of, user_of
from ai_tasks.api.budgets import shapes_of
from ai_tasks.api.documents import problem_answers
from ai_tasks.api.filters import PAGING, wrong
from ai_tasks.api.once import IDEMPOTENCY_KEY, create_once
from ai_tasks.api.operators import PAGING as PAGING_PARAMETERS
from ai_tasks.api.problems import refuse
from ai_tasks.models import ApiKey
from ai_tasks.pagination import page
from ai_tasks.representation import moment
from queueing.states import Priority

KEY_ID = re.compile(r"[1-9][0-9]{0,17}")
NO_STORE = {"Cache-Control": "no-store"}


class KeyView(APIView):
    """A view for who is signed in, and for keys with the scope `keys`."""

    permission_classes = (HasScope,)
    scope: str | None = "keys"

    def key(self, request: Request, key_id: str) -> ApiKey:
        """Return the caller's key; anybody else's is as missing as one that never was."""
        mine = key_ring.of_user(user_of(request), clock.now())
        found = mine.filter(pk=key_id).first() if KEY_ID.fullmatch(key_id) else None
        if found is None:
            raise refuse("not_found", "There is no such API key.")
        return found

    def handle_exception(self, error: Exception) -> Response:
        """Answer 403 where a key may not do this to that key."""
        is_refusal = isinstance(error, key_ring.NotAllowed)
        return super().handle_exception(refuse("permission_denied", str(error)) if is_refusal else error)


class KeyCollection(KeyView):
    """`/keys`"""

    @extend_schema(
        operation_id="listKeys",
        summary="List API keys",
        parameters=PAGING_PARAMETERS,
        responses={200: documents.KeyList, **problem_answers(422)},
    )
    def get(self, request: Request) -> Response:
        """Return the caller's keys, newest first, without their texts; those that ended for thirty days more."""
        for name in request.query_params:
            if name not in PAGING:
                raise wrong(name, "unknown parameter")
        now = clock.now()
        mine = key_ring.of_user(user_of(request), now)
        return Response(page(mine, request.query_params, lambda rows: [_shape(row, now) for row in rows]))

    @extend_schema(
        operation_id="createKey",
        summary="Create an API key",
        parameters=[IDEMPOTENCY_KEY],
        request=documents.KeyCreate,
        responses={201: documents.KeyWithText, **problem_answers(409, 422)},
    )
    def post(self, request: Request) -> Response:
        """Make a key; its text is in this answer and nowhere else: sent again, `key` is null."""
        wish = documents.KeyCreate(data=request.data)
        wish.is_valid(raise_exception=True)
        owner, actor, now = user_of(request), key_of(request), clock.now()

        def make() -> tuple[UUID, tuple[ApiKey, str | None]]:
            made, text = key_ring.create(owner, now, actor=actor, **wish.validated_data)
            return UUID(int=made.pk), (made, text)

        def find(object_id: UUID) -> tuple[ApiKey, str | None] | None:
            found = ApiKey.objects.filter(owner=owner, pk=object_id.int).first()
            return (found, None) if found else None

        (made, text), is_replayed = create_once(request, call="POST /keys", make=make, find=find)
        headers = {"Location": reverse("api:key", kwargs={"key_id": str(made.pk)}), **NO_STORE}
        replayed = {"Idempotency-Replayed": "true"} if is_replayed else {}
        return Response(_shape(made, now) | {"key": text}, 201, headers=headers | replayed)


class KeyDetail(KeyView):
    """`/keys/{id}`"""

    @extend_schema(
        operation_id="getKey",
        summary="Get an API key",
        responses={200: documents.KeyDocument, **problem_answers(404)},
    )
    def get(self, request: Request, key_id: str) -> Response:
        """Return what is known of a key; its text is not."""
        return Response(_shape(self.key(request, key_id), clock.now()))

    @extend_schema(
        operation_id="changeKey",
        summary="Change an API key's name and limits",
        request=documents.KeyChange,
        responses={200: documents.KeyDocument, **problem_answers(404, 409, 422)},
    )
    def patch(self, request: Request, key_id: str) -> Response:
        """Change what is given; a limit counts at once."""
        key, now = self.key(request, key_id), clock.now()
        wish = documents.KeyChange(data=request.data)
        wish.is_valid(raise_exception=True)
        key_ring.change(key, now, actor=key_of(request), **wish.validated_data)
        return Response(_shape(self.key(request, key_id), now))


class KeyRevoke(KeyView):
    """`/keys/{id}/revoke`"""

    scope = None

    @extend_schema(
        operation_id="revokeKey",
        summary="Revoke an API key",
        request=None,
        responses={200: documents.KeyDocument, **problem_answers(404)},
    )
    def post(self, request: Request, key_id: str) -> Response:
        """End the key at once and for good; its tasks and costs stay. Idempotent."""
        now = clock.now()
        key_ring.revoke(self.key(request, key_id), now, actor=key_of(request))
        return Response(_shape(self.key(request, key_id), now))


class KeyRotate(KeyView):
    """`/keys/{id}/rotate`"""

    scope = None

    @extend_schema(
        operation_id="rotateKey",
        summary="Give an API key another text",
        request=documents.KeyRotation,
        responses={200: documents.KeyWithText, **problem_answers(404, 409, 422)},
    )
    def post(self, request: Request, key_id: str) -> Response:
        """Return the new text, in this answer alone; the old one is good for `overlap_seconds` more."""
        key, now = self.key(request, key_id), clock.now()
        wish = documents.KeyRotation(data=request.data)
        wish.is_valid(raise_exception=True)
        overlap = timedelta(seconds=wish.validated_data["overlap_seconds"])
        text = key_ring.rotate(key, now, actor=key_of(request), overlap=overlap)
        return Response(_shape(self.key(request, key_id), now) | {"key": text}, headers=NO_STORE)


def _shape(key: ApiKey, now: datetime) -> dict[str, Any]:
    budget = key_ring.budget_of(key)
    is_overlapping = key.old_digest_until is not None and key.old_digest_until > now
    return {
        "object": "api_key",
        "id": key.pk,
        "name": key.name,
        "prefix": key.prefix,
        "state": _state(key, now),
        "scopes": key.scopes,
        "priority_ceiling": Priority(key.priority_ceiling).word,
        "requests_per_minute": key.requests_per_minute,
        "budget": shapes_of([budget], now)[0] if budget else None,
        "created_at": moment(key.created_at),
        "expires_at": moment(key.expires_at),
        "revoked_at": moment(key.revoked_at),
        "last_used_at": moment(key.last_used_at),
        "old_key_until": moment(key.old_digest_until) if is_overlapping else None,
    }


def _state(key: ApiKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "active"
