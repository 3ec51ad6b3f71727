"""Closed lists of wordings that change nothing of what is asked, by language.

Each was tried against prompts that it would make equal and that mean something else. What a list
does not name stays as it is, and a prompt that differs in it is another prompt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeAlias

NAMED: Final = re.compile(r"\b(?:lyrics|song|album|film|movie|titled?|release)\b", re.IGNORECASE)
"""Politeness may be part of a name."""
SIGNS_COUNT: Final = re.compile(
    r"\b(?:apostrophes?|quot\w+|escap\w+|sql|ascii|unicode|utf|encod\w+|typograph\w+|curly|"
    r"strings?|bytes?|normali[sz]\w*|pars\w+|json|csv|code|files?|characters?|diacritic\w*|accents?)\b",
    re.IGNORECASE,
)
"""How letters and quotation marks are written may be what is asked about."""
MARKS_COUNT: Final = re.compile(
    r"\b(?:reg[Ee]x\w*|globs?|wildcards?|patterns?|punctuat\w+|characters|letters|symbols?|colon|"
    r"question mark|full stop|period|quot\w+|translate|\u00e7evir\w*|d\u1ecbch|"
    r"\u0905\u0928\u0941\u0935\u093e\u0926)\b|:(?!\d)|\uff1a",
    re.IGNORECASE,
)
"""The last mark may be what is asked about."""
QUOTED: Final = re.compile(r'translate "[^"]+" (?:in)?to [A-Z]\w+[.?]?')
WORDS_COUNT: Final = re.compile(
    r"\b(?:say|says|said|saying|spell\w*|pronounce\w*|words?|phrases?|sentence|letters?|means?|"
    r"meaning|called?|reply|answer|translat\w+|quot\w+|yes|no|magic|"
    r"sagt|sagen|sage|hei\u00dft|bedeutet|\u00fcbersetz\w*|wort|schreibt|ja|nein|"
    r"dit-on|dire|dit|tradui\w+|mot|signifie|oui|dice|decir|traduc\w+|significa|palabra|escribe|"
    r"s[i\u00ed]|traduz\w*|diz|dizer|palavra|parola|zeg\w*|vertaal\w*|woord|"
    r"\u0441\u043a\u0430\u0437\w+|\u043f\u0435\u0440\u0435\u0432\w+|"
    r"\u0437\u043d\u0430\u0447\w+|\u043e\u0437\u043d\w+|\u0441\u043b\u043e\u0432\w+|"
    r"sang|sings?|sung|wrote|written|directed|composed|starr\w+|recorded|made|etiquette|polite\w*|"
    r"demand\w+|(?:write|type|text|sign|sign off|rhyme|sing|draw|add|use|with|without|for|does|"
    r"he|she|"
    r"they|of|to),? (?:please|thanks|thank you))\b|[A-Z]\w* Please\b",
    re.IGNORECASE,
)
"""A word of politeness may be what is asked about."""
ABOUT_IT: Final = re.compile(
    r"\b(?:it|its|this|that|she|he|they|(?-i:[A-Z][a-z]+(?:ish|ese|ian|man|ic)|French|Dutch|Czech|Greek|"
    r"Thai|Hindi|Latin|Korean|Hebrew|Swahili)|languages?|released|c'est|bahasa|tiếng|anlam\w*|"
    r"de dónde es|artinya|\w*(?:angl|engl|engels|ingl|alem[aáã]|angiel|tedesc|deutsch|duits|"
    r"niemiec|tysk|"
    r"franc[eê]|französ|czesk|grec|griech|англ|αγγλ|γαλλ))\w*\b|\b(?:это|це|αυτό)\b|"
    r"İngiliz|Alman|[語语]|[英法德日韩俄]文|^(?:是|这|這|哪年)|怎[么麼][说說]|بال[إف]|अंग्रे|फ़्रेंच|हिंदी|"
    r"ב(?:אנגל|צרפת|עבר)|אומרים|הוא|זה",
    re.IGNORECASE,
)
"""A greeting before it may be the thing that is asked about."""
IN_A_LANGUAGE: Final = re.compile(
    r"\bin (?:[A-Z][a-z]+(?:ish|ese|ian|ean|man|ic)|French|Dutch|Czech|Greek|Thai|Hindi|Urdu|Latin|"
    r"Hebrew|Swahili|Bengali|Tamil|Bahasa)\W*(?:please|thanks|thank you)?\W*$"
)
"""The sentence before it may be what is to be said in that language, politeness and all."""
WORDS_COMPARED: Final = re.compile(
    r"\b(?:or|vs|versus|between|difference|contract\w*|gramma\w*|formal\w*|apostrophe|"
    r"synonym\w*)\b",
    re.IGNORECASE,
)

Rules: TypeAlias = tuple[tuple[str, str], ...]
"""Patterns and what takes their place; each is tried once, at the beginning of the prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewordings:
    """Patterns of one language; a first letter that begins the prompt is in lower case there.

    greetings, please: left out at the beginning. tell: a question after it is asked by it.
    shaped: polite forms of requests, rewritten as plain ones; told: indirect questions, as direct.
    asks: beginnings of questions. requests: of requests. thanks: left out at the end. equal: other
    wordings of the same, tried on what is left. lowers: a question and a request begin with words
    of these lists, so that the case of their first letter means nothing. letters: the language has
    no prompt without one.
    """

    asks: str
    greetings: str = ""
    please: str = ""
    tell: str = ""
    requests: str = ""
    shaped: Rules = ()
    told: Rules = ()
    thanks: str = ""
    bare: str = ""
    equal: Rules = ()
    lowers: bool = True
    letters: str = ""


_BE = "is|are|was|were"
_VERBS = (
    "explain|describe|define|outline|list|name|give|summarize|summarise|compare|translate|"
    "recommend|suggest|calculate|convert|tell me|show me|identify"
)
_THING = (
    r"(?:an?|the|this|that|these|my|me|some|one|two|three|four|five|six|seven|eight|nine|ten|"
    r"\d+|\")"
)
_NAME = r"[A-Z][\w-]*(?: [A-Z][\w-]*)*"
_PRESENT = (
    r"(?!(?:hit|put|cut|set|let|hurt|cost|read|beat|spread|shut|split|quit|bet|burst|cast)\b)"
    r"([a-z]+(?<!s)) "
)
_HOW_TO = (
    "add|bake|boil|build|change|clean|close|compile|convert|cook|copy|create|delete|deploy|disable|"
    "download|draw|enable|encrypt|decrypt|export|find|calculate|cancel|check|contact|prepare|"
    "solve|stop|fix|format|fry|import|improve|increase|decrease|"
    "install|uninstall|knit|merge|open|parse|peel|print|reduce|remove|rename|repair|replace|reset|"
    r"make (?!it\b|out\b|up\b|do\b|sure\b)\S+|lose weight|get rid of|learn to|reverse|rotate|"
    r"sharpen|sort|split|tie|update|upgrade|write"
)
_COOK = "bake|boil|cook|fry|knit|peel|sharpen|tie"
_SOFTWARE = (
    r"(?:Python|JavaScript|TypeScript|Java|Ruby|Rust|Go|PHP|Perl|Kotlin|Swift|Scala|SQL|Bash|Excel|"
    r"PostgreSQL|MySQL|Django|React|Git|C\+\+|C#)"
)
_OWNED = "capital(?: city)?|population|currency|official language|national anthem"
_MANNER = (
    r"in (?:(?:simple|plain|layman's) (?:terms|words)|"
    r"(?:one|two|three|four|five|\d+) (?:words?|sentences?|paragraphs?))"
)
_COUNT = r"(?:two|three|four|five|six|seven|eight|nine|ten|\d+)"
_PIECE = (
    r"(?:[a-z]+ )?(?:poem|story|haiku|limerick|essay|joke|summary|function|script|sonnet|"
    r"email|tweet|paragraph|cover letter|blog post)\b"
)
_PROVIDED = "without|with|if|unless|until|before|after|when|while|by|that|who|in under"
_UNIT = (
    "kilometers|kilometres|km|miles|meters|metres|feet|inches|yards|centimeters|cm|kilograms|kg|"
    "pounds|ounces|grams|liters|litres|gallons|minutes|hours|seconds|days|weeks|dollars|euros|cents"
)
_PARTICIPLE = (
    r"\w+(?:ed|en|wn|ung|unk)|been|gone|done|left|lost|got|cost|hit|put|cut|set|let|hurt|kept|held|"
    r"made|told|sold|found|said|had|come|become|run|begun|won|up|it|he|she|they|you|we|I|new|"
    r"bought|"
    r"brought|caught|taught|thought|sent|spent|built|felt|meant|met|paid|read|shut|split|spread|"
    r"stood|struck|stuck|worn|torn|born|to|not|heard|shot|sat|dug|bent|lent|burnt|bit|lit|lain|swept|"
    r"spun|fought|dealt|cast|burst|bet|quit|slept|crept|leapt|learnt|sought|wound|bound|slid|app|"
    r"(?:every|any|no|some)(?:one|body)|people|all"
)
# A thing without a verb of its own, so that what follows cannot belong to that verb.
_PLAIN_WORD = (
    r"(?!\w*ing\b|\w+ed\b|(?:letters?|speech|message|talk|text|book|prayers?|that|who|why|how|what|"
    r"when|which)\b)[\w-]+"
)
_IN_TEXTS = (
    r"errors?|mistakes?|jokes?|changes?|typos?|terms?|tone|grammar|style|meaning|rhythm|stress|"
    r"differences?|arguments?|ideas?|themes?|structure|verbs?|nouns?|clauses?|rhymes?"
)
_PLAIN_THING = rf"{_PLAIN_WORD}(?: {_PLAIN_WORD}){{0,6}}"

ENGLISH: Final = Rewordings(
    greetings="hi|hello|hey|hi there|hello there|hey there",
    please="please",
    tell=(
        r"(?:(?:can|could|would) you (?:please |kindly )?tell me|tell me|i wonder|"
        r"do you know(?! how to\b|.*\b(?:I|i|you|me|my|your|we|our|us)\b)|"
        r"i(?: would|'d) (?:like|love) to know|i (?:want|need) to know|i was wondering)"
        r"(?=,? (?:what|who|where|when|why|how|which|whose|in which|in what|if|whether)\b)"
    ),
    asks=(
        rf"(?:what|who|where|when|why|how|which) (?:{_BE}|do|does|did|can|could|should|would|will|"
        r"has|have|had) \S|what's \S|who's \S|where's \S|how to [a-z]|"
        r"how (?:many|much|long|old|far|tall|high|big|deep|fast|often|heavy|large) \S|"
        r"who (?:wrote|invented|painted|founded|discovered|composed|directed|won|built|sang) \S|"
        r"what (?:causes|happens|happened|year|time|day|kind|type|color|colour) \S|"
        rf"(?:which|whose) [a-z]+ \S|(?:{_BE}|does|did) \S|"
        r"(?:can|could|should|would) (?:[a-z]|I\b)|"
        r"(?:will|have) (?:I|it|you|we|they|he|she|there|the|my|this|that)\b|"
        r"do (?:I|you|we|they|people|humans|babies|animals|birds|cats|dogs|fish|plants) \S|"
        r"(?:in|at|on|for|from|to|by|with) (?:what|which|whom) \S|"
        rf"in {_SOFTWARE}, how (?:do|can|to) \S"
    ),
    requests=rf"(?:{_VERBS}) \S|write {_THING}[ \S]|{_MANNER}, (?:explain|describe|summarize) \S",
    shaped=(
        (rf"(?:can|could|would) you (?:please|kindly) (?=(?:{_VERBS}|write) )", ""),
        (
            r"(?:can|could) you (?=(?:explain|describe) (?:how|why|what|when|where|the|"
            rf".* {_MANNER}\??$)(?!.* to (?:an?|the|my|some\w+)\b)(?!.*\b(?:{_PROVIDED})\b))",
            "",
        ),
        (
            rf"(?:can|could) you (?=(?:(?:tell|give) me (?:an?|some|the|more|{_COUNT})|"
            rf"summari[sz]e (?:the|this)) )(?!.*\b(?:{_PROVIDED})\b)",
            "",
        ),
        (rf"(?:can|could) you (?=list (?:{_COUNT}|some|the (?:main|most|key|top)) )", ""),
        (rf"(?:can|could) you (?=(?:recommend|suggest) (?:an?|some|{_COUNT}) [a-z])", ""),
        (
            rf"(?:can|could) you (?=write (?:me )?an? {_PIECE} (?:about|"
            rf"on) [a-z]+(?: [a-z]+)?\??$)",
            "",
        ),
        (r'(?:can|could) you (?=translate "[^"]+" (?:in)?to )', ""),
        (rf"i(?: would|'d) like you to (?=(?:{_VERBS}|write) )", ""),
        (rf"i (?:want|need) you to (?=(?:{_VERBS}|write) )", ""),
        (r"i(?: would|'d) like (?=an? (?:recipe|list|summary|poem|joke|haiku)\b)", "give me "),
    ),
    told=(
        (r"what time it is(?= in |$)", "what time is it"),
        (r"what (\"[^\"]+\") means$", r"what does \1 mean"),
        (r"how many ([a-z]+) there are ", r"how many \1 are there "),
        ("how long it takes to ", "how long does it take to "),
        (rf"when ((?:the )?{_NAME}) (was|were) ([a-z]+)$", r"when \2 \1 \3"),
        (r"why ([a-z]+s) (?!is\b|are\b|was\b|were\b|do\b)" + _PRESENT, r"why do \1 \2 "),
        (
            r"(?:if|whether) ([\w-]+(?: [\w-]+)?) (is|are) ((?:(?!\b(?:is|are|or)\b).)+)$",
            r"\2 \1 \3",
        ),
        (rf"(what|who|where) ((?:(?!\b(?:{_BE}|has|had)\b).)+) ({_BE})$", r"\1 \3 \2"),
        (
            rf"(how (?:tall|old|far|big|high|deep|fast|large)) ((?:(?!\b(?:{_BE})\b).)+) ({_BE})$",
            r"\1 \3 \2",
        ),
        (rf"why ((?:(?!\b(?:{_BE})\b).)+) ({_BE}) ((?:(?!\b(?:{_BE})\b).)+)$", r"why \2 \1 \3"),
        (r"how ((?:an?|the|my) \w+(?: \w+)?) works$", r"how does \1 work"),
        (r"what (\S+) stands for$", r"what does \1 stand for"),
        (r"when ((?:the )?[A-Z][\w ]+) (end|start)ed$", r"when did \1 \2"),
    ),
    thanks="please|thanks|thank you|many thanks|thanks in advance",
    equal=(
        (
            r"(what|who|where|how)'s (?=(?:the|a|an|my|your|this|that|these|his|her|our|their) )",
            r"\1 is ",
        ),
        (
            rf"(what|who|where)'s (?!(?i:{_PARTICIPLE}|app|dead|next)\b)(?={_NAME}'s [a-z])",
            r"\1 is ",
        ),
        (rf"(who|where)'s (?!(?i:{_PARTICIPLE}|dead|next)\b)(?={_NAME}$)", r"\1 is "),
        (rf"what's (?!(?:{_PARTICIPLE})\b)(?=[a-z])", "what is "),
        (r"explain how ((?:an?|the|my) \w+(?: \w+)?) works$", r"how does \1 work"),
        (
            r"explain why ([a-z]+s) (?!is\b|are\b|was\b|were\b|do\b)" + _PRESENT,
            r"why do \1 \2 ",
        ),
        (r"explain why ((?:an?|the|my) \w+) (is|are|was|were) (\w+)$", r"why \2 \1 \3"),
        (r"explain what (an? [\w-]+(?: [\w-]+)?|[a-z]{5,}(?: [a-z]+)?) is$", r"what is \1"),
        ("summarise ", "summarize "),
        (r"explain to me (?=(?:how|why|what|the|an?)\b)", "explain "),
        (
            r"explain the difference between (?!.*(?:\d|\b(?:the|my|your|our|their|his|her|"
            r"this)\b))",
            "what is the difference between ",
        ),
        (
            rf"(in {_SOFTWARE}, )?how (?:do|can) [Ii] "
            rf"(?=(?:{_HOW_TO}) (?!so\b|too\b|compared\b))",
            r"\1how to ",
        ),
        (rf"how do you (?=(?:{_COOK}) (?:an?|the|\w+s)\b)(?!.*\b(?:my|your|me)\b)", "how to "),
        ("explain how to ", "how to "),
        (
            rf"in ({_SOFTWARE}), (how to [a-z]+ (?:an?|the|my|two|all) "
            r"(?:[a-z]+ )?(?:(?:list|string|array|dict|file|column|row|table|number|date|"
            r"commit|map|"
            r"set|tuple|vector|cell)s?|dictionary|dictionaries)(?: (?:to|into|"
            r"by) (?:an? )?[a-z]+)?)$",
            r"\2 in \1",
        ),
        (
            rf"({_MANNER}), ((?:explain|describe|summarize) "
            rf"(?!.*\b(?:{_IN_TEXTS})\b){_PLAIN_THING})$",
            r"\2 \1",
        ),
        (rf"what is ({_NAME})'s ({_OWNED})$", r"what is the \2 of \1"),
        (
            rf"(?:tell me|name|give me) the (?!national)({_OWNED}) of ({_NAME})$",
            r"what is the \1 of \2",
        ),
        (rf"(?:what|which) city is the capital of ({_NAME})$", r"what is the capital of \1"),
        (rf"what is the capital city of ({_NAME})$", r"what is the capital of \1"),
        (rf"how many people live in ({_NAME})$", r"what is the population of \1"),
        (rf"how many inhabitants does ({_NAME}) have$", r"what is the population of \1"),
        (rf"who (?:is|was) the author of (?={_NAME}$)", "who wrote "),
        (
            r"who (?:is|was) the inventor of (?=the (?!year|month|week|day|decade|century)[a-z]+$)",
            "who invented ",
        ),
        (rf"who (?:is|was) the founder of (?={_NAME}$)", "who founded "),
        (
            r"which ([a-z]+) is the (?!(?:\w*[qu]est|t?[ew]est|\w*rest|\w*test|chest|priest|"
            r"vest)\b)([a-z]+est)((?: in [A-Z]\w+)?)$",
            r"what is the \2 \1\3",
        ),
        (r"how many ([a-z]+) are there in ", r"how many \1 are in "),
        ("(?:what|(?:in )?which) year did ", "in what year did "),
        (rf"what is (\d[\d.,]*) ({_UNIT}) in ({_UNIT})$", r"convert \1 \2 to \3"),
        (rf"how many ({_UNIT}) (?:are|is) (?:in )?(\d[\d.,]*) ({_UNIT})$", r"convert \2 \3 to \1"),
        ("what is an example of ", "give me an example of "),
        ("(?:what is|give me) the definition of ", "define "),
        (r"what is the meaning of (\"[^\"]+\")$", r"what does \1 mean"),
        (
            r"how do (?:you|I) say (\"[a-z']+ [a-z' ]+\") in (?!English)([A-Z]\w+)$",
            r"translate \1 into \2",
        ),
        (r"translate (\"[^\"]+\") to ([A-Z]\w+)$", r"translate \1 into \2"),
        (
            r"explain (the (?:theory|concept|idea|principle|basics|"
            r"process) of [a-z]+(?: [a-z]+)?) to me$",
            r"explain \1",
        ),
        (rf"what is the height of (Mount {_NAME})$", r"how tall is \1"),
        (rf"how high is (Mount {_NAME})$", r"how tall is \1"),
        (rf"where is ((?:the )?{_NAME}) located$", r"where is \1"),
        (
            r"what is (?:the full form of|the meaning of the acronym) ([A-Z]{2,})$",
            r"what does \1 stand for",
        ),
        (r"what is ([A-Z]{2,}) short for$", r"what does \1 stand for"),
        (rf"(?:give me|make|write) a list of (?=\w+ )(?!.*\b{_SOFTWARE})", "list "),
        (r"tell me (the (?:boiling|melting|freezing) point of )", r"what is \1"),
        (
            r"tell me (the (?:benefits|advantages|disadvantages|causes|symptoms|effects) of )",
            r"what are \1",
        ),
        (rf"write me (?=an? {_PIECE})", "write "),
        (rf"(.* {_MANNER}) please$", r"\1"),
    ),
)
