"""What a call is charged: what is said of it, as far as that can be true."""

from autotts.discovery.explorer import Usage

MOST_TOKENS, MOST_USD = 10**12, 1e6
"""What no call costs: a figure above is an error of whoever says it."""


def is_tokens(amount: object) -> bool:
    """Whether this can be a number of tokens, or of calls."""
    return type(amount) is int and 0 <= amount <= MOST_TOKENS


def is_usd(amount: object) -> bool:
    """Whether this can be a price: a finite number, no less than nothing."""
    # Infinity and NaN fail the comparison, and so do integers that no float holds.
    return (type(amount) is int or type(amount) is float) and 0 <= amount <= MOST_USD


def settled(said: Usage, reserved: Usage) -> Usage:
    """What to charge for a call: what is said of it, but its reservation where that can't be."""

    def tokens(name: str) -> int:
        amount = getattr(said, name)
        return amount if is_tokens(amount) else getattr(reserved, name)  # type: ignore[no-any-return]

    return Usage(
        calls=tokens("calls"),
        input_tokens=tokens("input_tokens"),
        output_tokens=tokens("output_tokens"),
        usd=said.usd if said.usd is None or is_usd(said.usd) else reserved.usd,
    )
