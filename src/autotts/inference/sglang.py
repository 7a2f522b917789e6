"""SGLang: vLLM's token ids, `rid` for a request, and an abort endpoint that matches by prefix."""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from autotts.inference.exact import ExactServer
from autotts.inference.server import Context, Message, Sampling


class SglangServer(ExactServer):
    dialect = "sglang"
    known_by = "/get_model_info"

    def fields(self, sampling: Sampling, request_id: str, max_tokens: int) -> dict[str, JsonValue]:
        return {
            "top_k": sampling.top_k or -1,
            "return_token_ids": True,
            "rid": request_id,
            "skip_special_tokens": False,
        }

    async def render(
        self, messages: Sequence[Message], options: Mapping[str, JsonValue] | None = None
    ) -> Context:
        return await self.templated(messages, options, {"add_special_tokens": False})

    def abort_requests(self, request_id: str) -> dict[str, dict[str, JsonValue]]:
        # Ids are matched by prefix, so ours are long, and none is empty.
        return {"/abort_request": {"rid": request_id}}
