"""What: one module a task type, found by walking this package and, later, a folder of the user's own."""

import importlib
import pkgutil
from functools import cache
from typing import cast

from marshmallow import Schema

from dashboard.handlers.contract import Handler, ParamsDocument
from dashboard.i18n import language


@cache
def installed() -> dict[str, Handler]:
    """Every task type by its ``KEY``, in alphabetical order. Tests add theirs with ``register``."""
    found: dict[str, Handler] = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        if hasattr(module, "KEY"):
            found[module.KEY] = cast(Handler, module)
    return dict(sorted(found.items()))


def register(handler: Handler) -> None:
    """Adds a task type that lives elsewhere; one with the same ``KEY`` is replaced."""
    installed()[handler.KEY] = handler


def load_params(handler: Handler, params: ParamsDocument) -> ParamsDocument:
    """``params`` as the handler's schema loads them. Raises ValidationError. The schema is made once a language:
    making one takes longer than all the rest of a short run."""
    loaded: ParamsDocument = _schema(handler.Params, language()).load(params)
    return loaded


@cache
def _schema(params: type[Schema], code: str) -> Schema:
    """``code``: the language in force, in which a schema of ours keeps some of its words."""
    return params()


def find(key: object) -> Handler | None:
    """The handler of a task type, None if there is none of that name (or the name is no text)."""
    return installed().get(key) if isinstance(key, str) else None
