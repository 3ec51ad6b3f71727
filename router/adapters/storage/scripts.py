"""Scripts, and which commands may be sent again when it is not known if they were executed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

REPEATABLE_SCRIPTS: Final = frozenset(
    {
        *("decision_record", "decision_settle", "decision_feedback", "decision_reasked"),
        *("decision_audited", "decision_defaulted", "events_learned"),
        "decision_evidence",
        *("quota_reserve", "quota_settle", "once_claim", "once_finish", "once_release"),
        *(
            "cache_put",
            "cache_evict",
            "cache_claim",
            "cache_renew",
            "health_states",
            "health_succeeded",
        ),
        *("lease_acquire", "lease_release", "snapshot_load", "tenant_find"),
        *("tenant_keys", "tenant_key_add", "tenant_delete"),
        *("probe", "quota_renew", "quota_due", "quota_orphan", "quota_usage", "quota_forget"),
        *("once_renew", "health_give_back", "events_marks", "events_renew", "snapshot_latest"),
        *("server_info", "server_may", "session_feedback"),
    }
)
"""Scripts that know by an id, an owner or a value that they were executed before, or only read."""

REPEATABLE_COMMANDS: Final = frozenset(
    {
        *("GET", "HGET", "HGETALL", "HKEYS", "HMGET", "HVALS", "HLEN", "INFO", "PING", "HELLO"),
        *("SCAN", "XINFO", "XLEN", "XRANGE", "XREAD", "XREVRANGE", "ZCARD", "ZRANGE", "ZSCORE"),
        *("ZRANGEBYSCORE", "ZREVRANGE", "HSETEX", "EXISTS", "TTL", "MGET", "ROLE", "TIME"),
        *("CONFIG", "MEMORY", "LRANGE"),
    }
)


@dataclass(frozen=True, slots=True)
class Script:
    source: bytes
    sha: str
    is_repeatable: bool = False


def load(*names: str) -> Script:
    """The files of `lua/` in this order as one script: what is shared first."""
    folder = files(__package__).joinpath("lua")
    source = b"\n".join(folder.joinpath(f"{name}.lua").read_bytes() for name in names)
    # The server names a script by its SHA-1; nothing is protected by it.
    sha = hashlib.sha1(source, usedforsecurity=False).hexdigest()
    return Script(source, sha, names[-1] in REPEATABLE_SCRIPTS)
