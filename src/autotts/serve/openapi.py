"""The OpenAPI description of a service, made from the models that check requests."""

from typing import Any

from pydantic.json_schema import models_json_schema

from autotts.serve.body import ChatBody, CompletionBody
from autotts.serve.choosing import BETA_HEADER
from autotts.serve.deployment import Deployment
from autotts.serve.responses import ResponsesBody
from autotts.version import __version__

_REFS = "#/components/schemas/{model}"


def description(deployment: Deployment, *, keys: bool = False) -> dict[str, Any]:
    """OpenAPI 3.1, as JSON.

    Args:
        keys: whether clients must show one.
    """
    bodies: Any = [(body, "validation") for body in (ChatBody, CompletionBody, ResponsesBody)]
    _, schemas = models_json_schema(bodies, ref_template=_REFS)
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": f"{deployment.name} under autotts",
            "version": __version__,
            "description": "OpenAI-compatible; the answer is a vote over branches, and `beta` says"
            " how much may be spent on it.",
        },
        "paths": {
            "/v1/chat/completions": {"post": _answering("chat", "ChatBody")},
            "/v1/completions": {"post": _answering("complete", "CompletionBody")},
            "/v1/responses": {"post": _answering("respond", "ResponsesBody")},
            "/v1/models": {"get": _reading("models", "The names under which to ask.", "403")},
            "/v1/models/{model}": {"get": _of_model()},
            "/health": {"get": _reading("health", "Requests are taken.", "503")},
            "/metrics": {"get": _reading("metrics", "For Prometheus.", "403", "text/plain")},
        },
        "components": {"schemas": {**schemas["$defs"], "Error": _ERROR}},
    }
    if keys:
        scheme = {"type": "http", "scheme": "bearer"}
        described["components"]["securitySchemes"] = {"key": scheme}
        for path, methods in described["paths"].items():
            if path != "/health":
                for operation in methods.values():
                    operation["security"] = [{"key": []}]
                    operation["responses"]["401"] = _reply("401")
    return described


_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}

_ERRORS = {
    "400": "Something in the request is not allowed; the message says what is.",
    "401": "No key, or a wrong one.",
    "403": "A page of another site asks where no key is needed.",
    "404": "There is no such model.",
    "413": "The body is too large.",
    "429": "Too many requests wait; Retry-After says when to come back.",
    "502": "The upstream can't go on.",
    "503": "The service is ending.",
}


def _reply(status: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": _REFS.format(model="Error")}}}
    return {"description": _ERRORS[status], "content": content}


def _answering(operation: str, body: str) -> dict[str, Any]:
    kinds = {
        "application/json": {"schema": {"type": "object"}},
        "text/event-stream": {},
    }
    errors = ("400", "403", "404", "413", "429", "502")
    return {
        "operationId": operation,
        "parameters": [
            {
                "name": BETA_HEADER,
                "in": "header",
                "required": False,
                "schema": {"type": "number", "minimum": 0, "maximum": 1},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": _REFS.format(model=body)}}},
        },
        "responses": {
            "200": {"description": "The answer, or a stream of events.", "content": kinds},
            **{status: _reply(status) for status in errors},
        },
    }


def _reading(
    operation: str, text: str, error: str, kind: str = "application/json"
) -> dict[str, Any]:
    replies = {"200": {"description": text, "content": {kind: {}}}, error: _reply(error)}
    if error == "503":  # which says how it is, as 200 does
        replies[error]["content"] = {kind: {}}
    return {"operationId": operation, "responses": replies}


def _of_model() -> dict[str, Any]:
    described = _reading("model", "One of the names.", "403")
    described["responses"]["404"] = _reply("404")
    name = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
    return {**described, "parameters": [name]}
