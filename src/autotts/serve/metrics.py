"""What a service counts, in the format that Prometheus reads."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from autotts.serve.answering import Answer
from autotts.serve.turns import Turns

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_TOKENS = ("text", "decoded", "probe", "prompt", "cached")


class Metrics:
    """Counters of one service; each service has its own."""

    def __init__(self, turns: Turns) -> None:
        self._registry = registry = CollectorRegistry()
        chosen = ["controller"]
        self._requests = Counter(
            "autotts_requests", "Requests, by how they ended.", ["endpoint", "status"],
            registry=registry,
        )  # fmt: skip
        self._tokens = Counter(
            "autotts_tokens", "Tokens, by kind: text is what clients got.", ["kind"],
            registry=registry,
        )  # fmt: skip
        self._branches = Counter("autotts_branches", "Branches opened.", chosen, registry=registry)
        self._pruned = Counter("autotts_pruned", "Branches given up.", chosen, registry=registry)
        self._cancelled = Counter(
            "autotts_cancelled", "Episodes whose client left.", registry=registry
        )
        self._stops = Counter(
            "autotts_stops", "Episodes, by why they ended.", ["reason"], registry=registry
        )
        self._seconds = Histogram(
            "autotts_request_seconds", "From a request to the end of its reply.", chosen,
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._share = Histogram(
            "autotts_vote_share", "Share of the votes that the answer had.", chosen,
            buckets=_SHARES, registry=registry,
        )  # fmt: skip
        self._beta = Histogram(
            "autotts_beta", "Beta that requests asked for.", chosen, buckets=_SHARES,
            registry=registry,
        )  # fmt: skip
        Gauge("autotts_running", "Requests being answered.", registry=registry).set_function(
            lambda: turns.running
        )
        Gauge("autotts_waiting", "Requests that wait their turn.", registry=registry).set_function(
            lambda: turns.waiting
        )

    def ended(self, endpoint: str, status: int) -> None:
        self._requests.labels(endpoint, str(status)).inc()

    def cancelled(self) -> None:
        self._cancelled.inc()

    def answered(self, answer: Answer, seconds: float) -> None:
        account = answer.account
        spent = account.spent
        counts = (answer.tokens, spent.decoded, spent.probed, spent.prompt, spent.cached)
        for kind, count in zip(_TOKENS, counts, strict=True):
            self._tokens.labels(kind).inc(count)
        name = account.controller
        self._branches.labels(name).inc(account.branches)
        self._pruned.labels(name).inc(account.pruned)
        self._stops.labels(account.stop_reason).inc()
        self._seconds.labels(name).observe(seconds)
        self._share.labels(name).observe(account.vote_share)
        self._beta.labels(name).observe(account.beta)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)
