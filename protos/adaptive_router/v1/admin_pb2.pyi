from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListPoliciesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPoliciesResponse(_message.Message):
    __slots__ = ("members", "champion", "previous", "snapshot_version", "changes", "evidence")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    CHAMPION_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_VERSION_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[PolicyMember]
    champion: str
    previous: str
    snapshot_version: int
    changes: _containers.RepeatedCompositeFieldContainer[PolicyChange]
    evidence: Evidence
    def __init__(self, members: _Optional[_Iterable[_Union[PolicyMember, _Mapping]]] = ..., champion: _Optional[str] = ..., previous: _Optional[str] = ..., snapshot_version: _Optional[int] = ..., changes: _Optional[_Iterable[_Union[PolicyChange, _Mapping]]] = ..., evidence: _Optional[_Union[Evidence, _Mapping]] = ...) -> None: ...

class Evidence(_message.Message):
    __slots__ = ("prompts", "gold", "spent_usd", "worth_usd", "spent_today_usd", "budget_usd", "outlook")
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    GOLD_FIELD_NUMBER: _ClassVar[int]
    SPENT_USD_FIELD_NUMBER: _ClassVar[int]
    WORTH_USD_FIELD_NUMBER: _ClassVar[int]
    SPENT_TODAY_USD_FIELD_NUMBER: _ClassVar[int]
    BUDGET_USD_FIELD_NUMBER: _ClassVar[int]
    OUTLOOK_FIELD_NUMBER: _ClassVar[int]
    prompts: int
    gold: int
    spent_usd: float
    worth_usd: float
    spent_today_usd: float
    budget_usd: float
    outlook: str
    def __init__(self, prompts: _Optional[int] = ..., gold: _Optional[int] = ..., spent_usd: _Optional[float] = ..., worth_usd: _Optional[float] = ..., spent_today_usd: _Optional[float] = ..., budget_usd: _Optional[float] = ..., outlook: _Optional[str] = ...) -> None: ...

class PolicyMember(_message.Message):
    __slots__ = ("name", "policy", "gain")
    NAME_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    GAIN_FIELD_NUMBER: _ClassVar[int]
    name: str
    policy: str
    gain: Gain
    def __init__(self, name: _Optional[str] = ..., policy: _Optional[str] = ..., gain: _Optional[_Union[Gain, _Mapping]] = ...) -> None: ...

class Gain(_message.Message):
    __slots__ = ("mean", "low", "high", "events", "effective")
    MEAN_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_FIELD_NUMBER: _ClassVar[int]
    mean: float
    low: float
    high: float
    events: int
    effective: float
    def __init__(self, mean: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., events: _Optional[int] = ..., effective: _Optional[float] = ...) -> None: ...

class PolicyChange(_message.Message):
    __slots__ = ("cause", "move", "by", "before", "champion", "refused", "at_unix_ms", "found")
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    MOVE_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    CHAMPION_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    AT_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    cause: str
    move: str
    by: str
    before: str
    champion: str
    refused: str
    at_unix_ms: int
    found: Gain
    def __init__(self, cause: _Optional[str] = ..., move: _Optional[str] = ..., by: _Optional[str] = ..., before: _Optional[str] = ..., champion: _Optional[str] = ..., refused: _Optional[str] = ..., at_unix_ms: _Optional[int] = ..., found: _Optional[_Union[Gain, _Mapping]] = ...) -> None: ...

class PromotePolicyRequest(_message.Message):
    __slots__ = ("name", "wait_ms")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    name: str
    wait_ms: int
    def __init__(self, name: _Optional[str] = ..., wait_ms: _Optional[int] = ...) -> None: ...

class PromotePolicyResponse(_message.Message):
    __slots__ = ("position", "change")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    position: str
    change: PolicyChange
    def __init__(self, position: _Optional[str] = ..., change: _Optional[_Union[PolicyChange, _Mapping]] = ...) -> None: ...

class RollbackPolicyRequest(_message.Message):
    __slots__ = ("wait_ms",)
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    wait_ms: int
    def __init__(self, wait_ms: _Optional[int] = ...) -> None: ...

class RollbackPolicyResponse(_message.Message):
    __slots__ = ("position", "change")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    position: str
    change: PolicyChange
    def __init__(self, position: _Optional[str] = ..., change: _Optional[_Union[PolicyChange, _Mapping]] = ...) -> None: ...

class TenantLimits(_message.Message):
    __slots__ = ("requests_per_minute", "tokens_per_minute", "daily_usd", "monthly_usd", "arms", "observe", "degraded", "evidence")
    REQUESTS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    DAILY_USD_FIELD_NUMBER: _ClassVar[int]
    MONTHLY_USD_FIELD_NUMBER: _ClassVar[int]
    ARMS_FIELD_NUMBER: _ClassVar[int]
    OBSERVE_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    requests_per_minute: int
    tokens_per_minute: int
    daily_usd: float
    monthly_usd: float
    arms: _containers.RepeatedScalarFieldContainer[str]
    observe: str
    degraded: str
    evidence: str
    def __init__(self, requests_per_minute: _Optional[int] = ..., tokens_per_minute: _Optional[int] = ..., daily_usd: _Optional[float] = ..., monthly_usd: _Optional[float] = ..., arms: _Optional[_Iterable[str]] = ..., observe: _Optional[str] = ..., degraded: _Optional[str] = ..., evidence: _Optional[str] = ...) -> None: ...

class TenantLimitsChange(_message.Message):
    __slots__ = ("requests_per_minute", "tokens_per_minute", "daily_usd", "monthly_usd", "arms", "observe", "degraded", "evidence")
    REQUESTS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    DAILY_USD_FIELD_NUMBER: _ClassVar[int]
    MONTHLY_USD_FIELD_NUMBER: _ClassVar[int]
    ARMS_FIELD_NUMBER: _ClassVar[int]
    OBSERVE_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    requests_per_minute: int
    tokens_per_minute: int
    daily_usd: float
    monthly_usd: float
    arms: TenantArms
    observe: str
    degraded: str
    evidence: str
    def __init__(self, requests_per_minute: _Optional[int] = ..., tokens_per_minute: _Optional[int] = ..., daily_usd: _Optional[float] = ..., monthly_usd: _Optional[float] = ..., arms: _Optional[_Union[TenantArms, _Mapping]] = ..., observe: _Optional[str] = ..., degraded: _Optional[str] = ..., evidence: _Optional[str] = ...) -> None: ...

class TenantArms(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ...) -> None: ...

class TenantInfo(_message.Message):
    __slots__ = ("name", "limits")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    name: str
    limits: TenantLimits
    def __init__(self, name: _Optional[str] = ..., limits: _Optional[_Union[TenantLimits, _Mapping]] = ...) -> None: ...

class TenantKey(_message.Message):
    __slots__ = ("id", "last_four", "created_unix_ms", "expires_unix_ms", "expired")
    ID_FIELD_NUMBER: _ClassVar[int]
    LAST_FOUR_FIELD_NUMBER: _ClassVar[int]
    CREATED_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_FIELD_NUMBER: _ClassVar[int]
    id: str
    last_four: str
    created_unix_ms: int
    expires_unix_ms: int
    expired: bool
    def __init__(self, id: _Optional[str] = ..., last_four: _Optional[str] = ..., created_unix_ms: _Optional[int] = ..., expires_unix_ms: _Optional[int] = ..., expired: _Optional[bool] = ...) -> None: ...

class CreateTenantRequest(_message.Message):
    __slots__ = ("name", "limits", "key_expires_unix_ms")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    KEY_EXPIRES_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    name: str
    limits: TenantLimitsChange
    key_expires_unix_ms: int
    def __init__(self, name: _Optional[str] = ..., limits: _Optional[_Union[TenantLimitsChange, _Mapping]] = ..., key_expires_unix_ms: _Optional[int] = ...) -> None: ...

class CreateTenantResponse(_message.Message):
    __slots__ = ("tenant", "key", "facts")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    tenant: TenantInfo
    key: str
    facts: TenantKey
    def __init__(self, tenant: _Optional[_Union[TenantInfo, _Mapping]] = ..., key: _Optional[str] = ..., facts: _Optional[_Union[TenantKey, _Mapping]] = ...) -> None: ...

class UpdateTenantRequest(_message.Message):
    __slots__ = ("name", "limits")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    name: str
    limits: TenantLimitsChange
    def __init__(self, name: _Optional[str] = ..., limits: _Optional[_Union[TenantLimitsChange, _Mapping]] = ...) -> None: ...

class UpdateTenantResponse(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: TenantInfo
    def __init__(self, tenant: _Optional[_Union[TenantInfo, _Mapping]] = ...) -> None: ...

class ListTenantsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListTenantsResponse(_message.Message):
    __slots__ = ("tenants",)
    TENANTS_FIELD_NUMBER: _ClassVar[int]
    tenants: _containers.RepeatedCompositeFieldContainer[TenantInfo]
    def __init__(self, tenants: _Optional[_Iterable[_Union[TenantInfo, _Mapping]]] = ...) -> None: ...

class GetTenantUsageRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetTenantUsageResponse(_message.Message):
    __slots__ = ("tenant", "spent_daily_usd", "spent_monthly_usd", "reserved_usd", "requests_daily", "requests_monthly", "daily_usd_left", "monthly_usd_left", "requests_left", "tokens_left", "reservations", "orphans", "orphaned_usd")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SPENT_DAILY_USD_FIELD_NUMBER: _ClassVar[int]
    SPENT_MONTHLY_USD_FIELD_NUMBER: _ClassVar[int]
    RESERVED_USD_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_DAILY_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_MONTHLY_FIELD_NUMBER: _ClassVar[int]
    DAILY_USD_LEFT_FIELD_NUMBER: _ClassVar[int]
    MONTHLY_USD_LEFT_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_LEFT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_LEFT_FIELD_NUMBER: _ClassVar[int]
    RESERVATIONS_FIELD_NUMBER: _ClassVar[int]
    ORPHANS_FIELD_NUMBER: _ClassVar[int]
    ORPHANED_USD_FIELD_NUMBER: _ClassVar[int]
    tenant: TenantInfo
    spent_daily_usd: float
    spent_monthly_usd: float
    reserved_usd: float
    requests_daily: int
    requests_monthly: int
    daily_usd_left: float
    monthly_usd_left: float
    requests_left: int
    tokens_left: int
    reservations: int
    orphans: int
    orphaned_usd: float
    def __init__(self, tenant: _Optional[_Union[TenantInfo, _Mapping]] = ..., spent_daily_usd: _Optional[float] = ..., spent_monthly_usd: _Optional[float] = ..., reserved_usd: _Optional[float] = ..., requests_daily: _Optional[int] = ..., requests_monthly: _Optional[int] = ..., daily_usd_left: _Optional[float] = ..., monthly_usd_left: _Optional[float] = ..., requests_left: _Optional[int] = ..., tokens_left: _Optional[int] = ..., reservations: _Optional[int] = ..., orphans: _Optional[int] = ..., orphaned_usd: _Optional[float] = ...) -> None: ...

class DeleteTenantRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteTenantResponse(_message.Message):
    __slots__ = ("keys", "cached_answers", "under_way", "remains")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    CACHED_ANSWERS_FIELD_NUMBER: _ClassVar[int]
    UNDER_WAY_FIELD_NUMBER: _ClassVar[int]
    REMAINS_FIELD_NUMBER: _ClassVar[int]
    keys: int
    cached_answers: int
    under_way: int
    remains: _containers.RepeatedCompositeFieldContainer[TenantRemainder]
    def __init__(self, keys: _Optional[int] = ..., cached_answers: _Optional[int] = ..., under_way: _Optional[int] = ..., remains: _Optional[_Iterable[_Union[TenantRemainder, _Mapping]]] = ...) -> None: ...

class TenantRemainder(_message.Message):
    __slots__ = ("what", "why")
    WHAT_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    what: str
    why: str
    def __init__(self, what: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class AddTenantKeyRequest(_message.Message):
    __slots__ = ("name", "expires_unix_ms")
    NAME_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    name: str
    expires_unix_ms: int
    def __init__(self, name: _Optional[str] = ..., expires_unix_ms: _Optional[int] = ...) -> None: ...

class AddTenantKeyResponse(_message.Message):
    __slots__ = ("key", "facts")
    KEY_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    key: str
    facts: TenantKey
    def __init__(self, key: _Optional[str] = ..., facts: _Optional[_Union[TenantKey, _Mapping]] = ...) -> None: ...

class ListTenantKeysRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListTenantKeysResponse(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[TenantKey]
    def __init__(self, keys: _Optional[_Iterable[_Union[TenantKey, _Mapping]]] = ...) -> None: ...

class RevokeTenantKeyRequest(_message.Message):
    __slots__ = ("name", "key_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    key_id: str
    def __init__(self, name: _Optional[str] = ..., key_id: _Optional[str] = ...) -> None: ...

class RevokeTenantKeyResponse(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: TenantKey
    def __init__(self, key: _Optional[_Union[TenantKey, _Mapping]] = ...) -> None: ...
