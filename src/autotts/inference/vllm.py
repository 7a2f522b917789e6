"""vLLM: `return_token_ids` and /tokenize; an abort endpoint only if it was started with one."""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from autotts.inference.exact import ExactServer
from autotts.inference.server import Context, Message, Sampling

_ABORT_PATHS = ("/inference/v1/abort_requests", "/abort_requests")
"""With --enable-scale-out, and in development mode."""


class VllmServer(ExactServer):
    dialect = "vllm"

    def fields(self, sampling: Sampling, request_id: str, max_tokens: int) -> dict[str, JsonValue]:
        return {
            "top_k": sampling.top_k,
            "return_token_ids": True,
            "request_id": request_id,
            "skip_special_tokens": False,
            "add_special_tokens": False,
        }

    async def render(
        self, messages: Sequence[Message], options: Mapping[str, JsonValue] | None = None
    ) -> Context:
        return await self.templated(messages, options, {"add_generation_prompt": True})

    def abort_requests(self, request_id: str) -> dict[str, dict[str, JsonValue]]:
        # Never an empty list, which stops every request. The engine knows a completion's request
        # by its prefix and the number of its prompt.
        ids: list[JsonValue] = [request_id, f"cmpl-{request_id}-0"]
        return {path: {"request_ids": ids} for path in _ABORT_PATHS}
