"""Model servers: decode, probe, abort; token ids in and out, checked on every reply."""

from autotts.inference.connecting import connect, connected
from autotts.inference.examining import Examined, examine
from autotts.inference.http import Patience
from autotts.inference.server import (
    Capabilities,
    Context,
    Decoded,
    Logprobs,
    Message,
    Sampling,
    Server,
    Tally,
    ids_of,
    joined,
)

__all__ = [
    "Capabilities",
    "Context",
    "Decoded",
    "Examined",
    "Logprobs",
    "Message",
    "Patience",
    "Sampling",
    "Server",
    "Tally",
    "connect",
    "connected",
    "examine",
    "ids_of",
    "joined",
]
