"""Which compressed replies are read: those that can't grow without bound in one step.

A megabyte of a reply that was compressed twice, or by zstd, may stand for gigabytes, which the HTTP
client unpacks before anybody can count them. Of one layer of gzip each piece that it reads grows
by a thousand times at most.
"""

from collections.abc import Mapping

ASKED_FOR = {"accept-encoding": "gzip, deflate"}
_READ = frozenset({"", "identity", "gzip", "deflate"})


def refused(headers: Mapping[str, str]) -> str:
    """The compression of a reply that must not be unpacked; "" where there is none.

    Args:
        headers: by name in lower case, or in any case where the mapping minds none.
    """
    encoding = headers.get("content-encoding", "").strip().lower()
    return "" if encoding in _READ else encoding
