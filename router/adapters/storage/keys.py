"""Every key of the store. What a caller chose stands in a key only as a digest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


def _digest(*parts: str) -> str:
    """Length-prefixed, so that no two lists of parts give the same digest by accident."""
    joined = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(joined.encode(errors="surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Keys:
    prefix: str = "ar:"

    @property
    def probe(self) -> str:
        """Written by probes of the store alone."""
        return f"{self.prefix}probe"

    def answer(self, exact: str) -> str:
        return f"{self.prefix}answer:{exact}"

    def answering(self, exact: str) -> str:
        """Names the request that is being answered for all that ask the same."""
        return f"{self.prefix}answering:{exact}"

    def wordings(self, partition: str) -> str:
        """Holds the exact hash and the embedding of each prompt of the partition, oldest first."""
        return f"{self.prefix}wordings:{partition}"

    def health(self, deployment: str) -> str:
        return f"{self.prefix}health:{deployment}"

    def usage(self, tenant: str) -> str:
        return f"{self.prefix}usage:{tenant}"

    def reservation(self, reservation_id: str) -> str:
        return f"{self.prefix}reservation:{reservation_id}"

    @property
    def reserved_until(self) -> str:
        """Sorted set of `TENANT/RESERVATION` by the end of its lease, in ms on the server."""
        return f"{self.prefix}reserved-until"

    def settled(self, tenant: str) -> str:
        """Sorted set of the reservations settled lately, by when, in ms on the server."""
        return f"{self.prefix}settled:{tenant}"

    @property
    def tenants(self) -> str:
        """Hash of names to limits."""
        return f"{self.prefix}tenants"

    @property
    def key_owners(self) -> str:
        """Hash of an API key's hash to the name of its tenant."""
        return f"{self.prefix}key-owners"

    @property
    def current_keys(self) -> str:
        """Hash of a tenant's name to the hash of the key that `create` or `rotate` made."""
        return f"{self.prefix}current-keys"

    @property
    def key_facts(self) -> str:
        """Hash of an API key's hash to its `KeyFacts`; keys of earlier versions have none."""
        return f"{self.prefix}key-facts"

    @property
    def generations(self) -> str:
        """Hash of a tenant's name to when it was made; tenants of earlier versions have none."""
        return f"{self.prefix}tenant-generations"

    def decision(self, decision_id: str) -> str:
        return f"{self.prefix}decision:{decision_id}"

    @property
    def events(self) -> str:
        return f"{self.prefix}events"

    @property
    def waiting(self) -> str:
        """Sorted set of decisions that nobody has judged, by the time they were made, in ms."""
        return f"{self.prefix}waiting"

    @property
    def learned(self) -> str:
        """Number of the last event that a published snapshot has consumed."""
        return f"{self.prefix}learned"

    def trial(self, name: str) -> str:
        """Lives for seconds, while it is tried what the server lets this user do."""
        return f"{self.prefix}probe:{name}"

    @property
    def epoch(self) -> str:
        """Random name of the log; another one when events were lost."""
        return f"{self.prefix}epoch"

    def of_change(self, decision_id: str) -> list[str]:
        """Keys of the scripts that change a decision and append to the stream."""
        return [self.decision(decision_id), self.events, self.learned, self.waiting]

    @property
    def policy_changes(self) -> str:
        """The newest changes of who serves, by the number of the event that caused them."""
        return f"{self.prefix}policy-changes"

    def session_decisions(self, digest: str) -> str:
        """List: the feedback on the session, "" for none; then ids of its decisions, newest last.

        digest: its `session_digest`, which is its tenant's alone.
        """
        return f"{self.prefix}session-decisions:{digest}"

    def session(self, tenant: str, session_id: str) -> str:
        return f"{self.prefix}session:{_digest(tenant, session_id)}"

    def turn(self, key: str) -> str:
        """Holds a conversation up to the answer of one turn. key: the tenant is a part of it."""
        return f"{self.prefix}turn:{key}"

    def idempotency(self, tenant: str, key: str) -> str:
        return f"{self.prefix}once:{_digest(tenant, key)}"

    @property
    def latest(self) -> str:
        """Version of the newest snapshot."""
        return f"{self.prefix}latest"

    @property
    def snapshots(self) -> str:
        """Hash of `VERSION:position` and `VERSION:payload`."""
        return f"{self.prefix}snapshots"

    @property
    def lease(self) -> str:
        return f"{self.prefix}lease"

    @property
    def fence(self) -> str:
        """Grows with every new holder of the lease and never expires."""
        return f"{self.prefix}fence"

    def terms(self, version: str, cluster: int) -> str:
        """Sorted set of the terms of a cluster by how often they were seen."""
        return f"{self.prefix}terms:{version}:{cluster}"

    def waiting_terms(self, version: str) -> str:
        """Hash of a cluster and a word to the groups of prompts it was seen in."""
        return f"{self.prefix}terms:{version}:waiting"

    @property
    def embeddings(self) -> str:
        """Hash of places to samples."""
        return f"{self.prefix}sampled-embeddings"

    @property
    def prompts(self) -> str:
        return f"{self.prefix}sampled-prompts"
