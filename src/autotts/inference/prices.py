"""What tokens cost."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """Dollars per million tokens, of what is read, read from a cache, and decoded."""

    prompt: float = 0.0
    cached: float = 0.0
    decoded: float = 0.0

    def of(self, prompt_tokens: float, cached_tokens: float, tokens: float) -> float:
        fresh = prompt_tokens - cached_tokens
        paid = fresh * self.prompt + cached_tokens * self.cached + tokens * self.decoded
        return paid / 1e6
