"""The OpenAPI description of a service, made from the models that check requests."""

from typing import Any

from pydantic.json_schema import models_json_schema

from autotts.serve.body import ChatBody, CompletionBody
from autotts.serve.choosing import BETA_HEADER
from autotts.serve.deployment import Deployment
from autotts.serve.responses import ResponsesBody
from autotts.version import __version__

_REFS = "#/components/schemas/{model}"


def description(deployment: Deployment) -> dict[str, Any]:
    """OpenAPI 3.1, as JSON."""
    bodies: Any = [(body, "validation") for body in (ChatBody, CompletionBody, ResponsesBody)]
    _, schemas = models_json_schema(bodies, ref_template=_REFS)
    return {
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
            "/v1/models": {"get": _reading("models", "The names under which to ask.")},
            "/health": {"get": _reading("health", "Whether requests are taken.")},
        },
        "components": {"schemas": schemas["$defs"]},
    }


def _answering(operation: str, body: str) -> dict[str, Any]:
    replies = {
        "200": "The answer, or a stream of events.",
        "400": "Something in the request is not allowed; the message says what is.",
        "401": "No key, or a wrong one.",
        "404": "There is no such model.",
        "413": "The body is too large.",
        "429": "Too many requests wait; Retry-After says when to come back.",
        "502": "The upstream can't go on.",
    }
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
        "responses": {status: {"description": text} for status, text in replies.items()},
    }


def _reading(operation: str, text: str) -> dict[str, Any]:
    return {"operationId": operation, "responses": {"200": {"description": text}}}
