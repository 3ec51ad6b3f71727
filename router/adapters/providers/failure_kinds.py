"""Maps words of providers to kinds of failures: codes first, the message where no code tells."""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final

from router.adapters.providers.failure_text import FailureText


class FailureKind(Enum):
    KEY = auto()
    CREDIT = auto()
    MODEL = auto()
    CONTEXT = auto()
    CONTENT = auto()
    PARAMETER = auto()
    REQUEST = auto()
    RATE = auto()
    OUTPUT = auto()
    LATE = auto()
    BUSY = auto()


ACCOUNT: Final = (FailureKind.KEY, FailureKind.CREDIT, FailureKind.MODEL)
LIMITS: Final = (FailureKind.CONTEXT, FailureKind.CONTENT)

# Letters and digits of a code in lower case. The first row with one of its words in a code counts.
_WORDS: Final = {
    FailureKind.PARAMETER: """
        unsupportedparameter unsupportedvalue unknownparameter unsupportedparam
        extraforbidden unrecognizedargument unrecognizedparameter
        unrecognizedrequestargument unknownfield valueerrorextra
    """,
    FailureKind.CONTEXT: """
        contextlength contextwindow contextsize contextlimit prompttoolong inputtoolong
        requesttoolarge requesttoolong payloadtoolarge entitytoolarge stringabovemaxlength
        tokenlimitexceeded maxcontext exceedcontext promptlength
    """,
    FailureKind.CONTENT: """
        contentpolicy contentfilter contentmoderation contentblocked contentrefused
        responsibleai policyviolation datainspection moderation sensitive prohibitedcontent
        invalidprompt flagged unsafe guardrail safety riskcontrol
    """,
    FailureKind.CREDIT: """
        insufficientquota insufficientuserquota insufficientbalance insufficientcredit
        insufficientfunds insufficientaccount billing credit paymentrequired arrear overdue
        exceededcurrentquota quotaexhausted hardlimit spendlimit spendinglimit
        budgetexceeded usagelimit outofquota nobalance
    """,
    FailureKind.MODEL: """
        modelnotfound modelnotexist modeldoesnotexist modelnotsupported unknownmodel
        invalidmodel nosuchmodel unsupportedmodel modeldecommissioned modeldeprecated
        modelretired modelaccess deploymentnotfound invalidendpoint endpointnotfound
        unknownurl unknownendpoint invalidurl resourcenotfound routenotfound
        operationnotsupported
    """,
    FailureKind.KEY: """
        apikey authentication authorization unauthorized unauthorised unauthenticated
        permission accessdenied forbidden invalidtoken tokenexpired expiredtoken
        unrecognizedclient accountdeactivated accountsuspended accountdisabled restricted
        accessterminated unsupportedcountry consumerinvalid consumersuspended
        servicedisabled accessnotconfigured invalidsignature invalidcredential invalidkey
    """,
    FailureKind.RATE: """
        ratelimit toomanyrequests throttl requestlimit resourceexhausted quotaexceeded
        slowdown concurrencylimit limitexceeded
    """,
    FailureKind.OUTPUT: """
        toolusefailed jsonvalidatefailed outputparsefailed modelerror malformedfunctioncall
    """,
    FailureKind.LATE: """
        timeout timedout deadlineexceeded
    """,
    FailureKind.BUSY: """
        overload servererror internalerror internalserver unavailable apierror capacity
        badgateway insufficientsystemresource modelloading modelnotready networkerror
        upstream serverbusy
    """,
}
_EXACT: Final = {"notfound": FailureKind.MODEL, "notfounderror": FailureKind.MODEL}
_VAGUE: Final = """
    invalidrequest badrequest invalidargument failedprecondition validation unprocessable
    invalidvalue invalidparameter invalidtype missing outofrange unimplemented valueerror
    invalidimage invalidschema invalidfunction invalidtool invalidjson
"""
"""Codes that say that the request is refused, and not why: the message may."""
_CODES: Final = [(kind, words.split()) for kind, words in _WORDS.items()]
_VAGUE_CODES: Final = _VAGUE.split()

_QUOTED = re.compile(r"\"[^\"]*\"|`[^`]*`|(?<!\w)'[^']*'(?!\w)")
ACCOUNT_CHARACTERS: Final = 300
"""Length of a message's start that is read for an account: echoes of requests may follow it."""

_TOO_LONG = re.compile(
    r"context[ _-]?(length|window|size|limit)|(prompt|input|request|message|text)s? (is|are) too"
    r" (long|large)|too many (input )?tokens|(input|prompt) token (count|length)|reduce (the|your)"
    r" (length|prompt|input|size)|(request|payload)( entity| body)? (is )?too large|too large"
    r" for model|maximum (input|prompt|context) |longer than the (model|max)|model token limit"
    r"|max_model_len|tokens \+ .{0,60}must be <=|must have less than \d+ tokens|length of (the )?"
    r"(input|prompt|message)|range of input length|exceeds? the (maximum|max) (number|length) of"
    r" (input|prompt|context)|exceed.{0,60}(context|input tokens|prompt tokens)|上下文"
    r"|输入.{0,8}超|超长"
)
_FLAGGED = re.compile(
    r"content[ _-]?(filter|polic|moderation|management|exists risk)|flagged|safety"
    r" (system|filter|check|setting|polic|guideline)|safety_check|usage (polic|guideline)"
    r"|violat.{0,60}(polic|guideline|terms|rules)|(inappropriate|sensitive|prohibited|harmful"
    r"|unsafe) (content|information|word|material|topic)|requires moderation|moderation (filter"
    r"|system)"
    r"|responsible ai|guardrail|敏感|违规|不合规"
)
_POOR = re.compile(
    r"credit balance|(insufficient|not enough|no|out of|more|purchase|lack of) (account )?(credit"
    r"|balance|fund)|credits? (is |are |has |have )?(been )?(exhausted|depleted|required|expired"
    r"|used up|insufficient)|balance (is )?(too low|insufficient|not enough|exhausted|negative)"
    r"|(payment|billing) (is )?(required|not active|inactive|overdue)|enable billing|prepay"
    r"|spend(ing)? limit|billing hard limit|usage limits|past due|in arrears|can only afford"
    r"|limit: 0\b|余额不足|欠费"
)
_QUOTA = re.compile(r"insufficient[ _]quota|exceeded your (current )?quota|quota (is )?exhausted")
_KEYED = re.compile(
    r"(invalid|incorrect|valid|wrong|missing|expired|no|provide an?|disabled"
    r"|revoked) (x-)?api[ _-]?"
    r"key|api[ _-]?key.{0,20} (not valid|invalid|not found|expired|incorrect|missing|revoked"
    r"|disabled|suspended|required|blocked)|(invalid|incorrect) (authentication|auth|access|bearer)"
    r"|(invalid|incorrect) (token|credential)|unauthori[sz]ed|unauthenticated|not authori[sz]ed"
    r"|authentication (failed|fails|error|required)|permission denied|location is not supported"
    r"|country.{0,40}not supported|not available in your (country|region)|(account|project"
    r"|organi[sz]ation|consumer).{0,40}(disabled|suspended|deactivated|terminated|must be verified)"
    r"|access denied|has not been used in project"
)
_NO_MODEL = re.compile(
    r"(model|deployment|endpoint)\W{0,4}([\w./:@-]{1,80}\W{1,4})?((is|was|could|has|does|do|can) )?"
    r"((been )?(not|n't) ?(be )?(found|exist|available|supported|known|accessible|valid)|unknown"
    r"|(been )?(deprecated|retired|decommissioned|removed|discontinued))|(doesn't|does not) exist"
    r"|(unknown|no such|unsupported|invalid) (model|deployment)\b|not a valid model|not have access"
    r" to.{0,20} (model|it)|invalid url|unknown (url|endpoint|path)|no route|not found.{0,20} for"
    r" api version|no endpoints found for"
    r"|model (identifier|id) is invalid|api version not supported|no models loaded"
    r"|on-demand throughput isn.t supported|模型不存在"
)
_LACKS_ABILITY = re.compile(
    r"no endpoints found that (support|can)|(does not|doesn't) support|not support(ed)? (for"
    r"|with|by)"
    r" (this|the) model"
)
_LIMITED = re.compile(
    r"rate[ -]?limit|too many requests|requests per (minute|second|day)|tokens per (minute|day)"
    r"|throttl|concurren"
)
_ONE_REQUEST = re.compile(r"request too large")
_AFFORDABLE = re.compile(r"fewer max_tokens|can only afford")
_OF_A_PART = re.compile(
    r"(?<![\w./:@-])(images?|pictures?|files?|media|audio|video|attachments?|documents?|download\w*"
    r"|fetch\w*|tools?|functions?|propert(y|ies)|client error)(?![\w/@-]|[:.]\w)"
)


def kind_of_codes(told: FailureText) -> tuple[FailureKind | None, str]:
    """Returns the kind that a code stands for, and that code; REQUEST where it only says no."""
    vague = ""
    found: list[tuple[int, FailureKind, str]] = []
    for code in told.codes:
        plain = "".join(letter for letter in code.lower() if letter.isalnum())
        if plain in _EXACT:
            found.append((len(_CODES), _EXACT[plain], code))
        for rank, (kind, words) in enumerate(_CODES):
            if any(word in plain for word in words):
                found.append((rank, kind, code))
                break
        else:
            vague = vague or (code if any(word in plain for word in _VAGUE_CODES) else "")
    if found:
        _, kind, code = min(found, key=lambda one: one[0])
        return kind, code
    return (FailureKind.REQUEST, vague) if vague else (None, "")


def kind_of_message(told: FailureText) -> FailureKind | None:
    """Returns the kind that the words of a message stand for, None for none that is known."""
    text = told.message.lower()
    opening = "" if speaks_of_a_part(told) else _opening(told)
    if _LACKS_ABILITY.search(text):
        return FailureKind.REQUEST
    for pattern, said, kind in (
        (_POOR, opening, FailureKind.CREDIT),
        (_KEYED, opening, FailureKind.KEY),
        (_TOO_LONG, text, FailureKind.CONTEXT),
        (_FLAGGED, text, FailureKind.CONTENT),
        (_NO_MODEL, opening, FailureKind.MODEL),
        (_QUOTA, opening, FailureKind.CREDIT),
        (_LIMITED, opening, FailureKind.RATE),
    ):
        if told.says(pattern, said):
            return kind
    return None


def _opening(told: FailureText) -> str:
    return _QUOTED.sub("", told.message.lower()[:ACCOUNT_CHARACTERS])


def speaks_of_a_part(told: FailureText) -> bool:
    """True where what is denied or not found is an image, a file or a tool that the request names.

    Its caller, or a server that the caller chose, has then said so.
    """
    return bool(_OF_A_PART.search(_opening(told)))


def only_denies(told: FailureText) -> bool:
    """True where a code says that something is not permitted, and not why."""
    codes = " ".join(told.codes).lower()
    return any(word in codes for word in ("permission", "forbidden", "denied"))


def is_out_of_credit(told: FailureText) -> bool:
    """True where a rate limit is told, and meant is an account without money."""
    return bool(told.says(_POOR, _opening(told)))


def is_affordable_for_less(told: FailureText) -> bool:
    """True where the account has no money for this request, and some for a smaller one."""
    return bool(_AFFORDABLE.search(told.message.lower()))


def is_one_request_too_large(told: FailureText) -> bool:
    """True where a limit per minute is told that this one request exceeds alone."""
    return bool(_ONE_REQUEST.search(told.message.lower()))
