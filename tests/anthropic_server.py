"""Steps for `chat_server` in the protocol of Anthropic's messages, streamed as agents read it."""

import json
from typing import Any

from chat_server import Handler, Step


def plays(*script: Step) -> Step:
    """Goes through a script, a step for each turn of the agent.

    What it asks beside that, without tools (a title for the session, say), is no turn.
    """

    def step(handler: Handler) -> None:
        done = sum(message["role"] == "assistant" for message in handler.body["messages"])
        turn = script[min(done, len(script) - 1)] if handler.body.get("tools") else ends("A title")
        turn(handler)

    return step


def uses(tool: str, **arguments: Any) -> Step:
    """Has the agent call one of its tools."""
    return _streams({"type": "tool_use", "name": tool}, arguments)


def ends(text: str) -> Step:
    """Has the agent end with a few words."""
    return _streams({"type": "text"}, text)


def _streams(block: dict[str, Any], content: Any) -> Step:
    is_text = block["type"] == "text"

    def step(handler: Handler) -> None:
        handler.begin()

        def event(name: str, **fields: Any) -> None:
            handler.event({"type": name, **fields}, name)

        message = {
            "id": f"msg_{len(handler.body['messages'])}",
            "type": "message",
            "role": "assistant",
            "model": handler.body["model"],
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 100, "output_tokens": 1},
        }
        event("message_start", message=message)
        # An agent takes a call whose name it has seen for one that is done.
        call = {"id": f"toolu_{len(handler.body['messages'])}", "input": {}}
        begun = {**block, "text": ""} if is_text else {**block, **call}
        event("content_block_start", index=0, content_block=begun)
        if is_text:
            delta = {"type": "text_delta", "text": content}
        else:
            delta = {"type": "input_json_delta", "partial_json": json.dumps(content)}
        event("content_block_delta", index=0, delta=delta)
        event("content_block_stop", index=0)
        reason = {"stop_reason": "end_turn" if is_text else "tool_use", "stop_sequence": None}
        event("message_delta", delta=reason, usage={"output_tokens": 20})
        event("message_stop")

    return step


def results(requests: list[tuple[dict[str, str], Any]]) -> list[str]:
    """What the tools answered to the agent, call by call, as its last request tells."""
    found = []
    last = [body for _, body in requests if body.get("tools")][-1]
    for message in last["messages"]:
        parts = message["content"] if isinstance(message["content"], list) else []
        found += [json.dumps(p["content"]) for p in parts if p["type"] == "tool_result"]
    return found
