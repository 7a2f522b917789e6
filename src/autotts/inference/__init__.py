"""Model servers: decode, probe, abort; token ids in and out, checked."""
