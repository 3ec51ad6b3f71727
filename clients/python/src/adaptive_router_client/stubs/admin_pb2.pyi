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
