"""Who looks at the console."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

SignIn = Callable[..., Client]


@pytest.fixture
def sign_in(db: None) -> SignIn:
    """Return a function that signs a member of the staff in, with these permissions (`app.codename`) and no other."""

    def sign(*permissions: str, **of_user: bool) -> Client:
        user = User.objects.create_user("carol", **{"is_staff": True} | of_user)
        for permission in permissions:
            app, codename = permission.split(".")
            user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
        client = Client()
        client.force_login(user)
        return client

    return sign


@pytest.fixture
def root(sign_in: SignIn) -> Client:
    """Return a client signed in as somebody who may see everything."""
    return sign_in(is_superuser=True)
