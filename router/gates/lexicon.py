"""Words that answers are told by; English, with a few of other languages."""

from __future__ import annotations

from typing import Final

_HEDGES = """
maybe perhaps possibly probably likely might may could seems seem appears assume assuming assumed
approximately roughly unclear unsure uncertain ambiguous guess suppose presumably
vielleicht vermutlich wahrscheinlich quizás talvez forse misschien
"""
_REFUSALS = """
sorry cannot can't unable won't apologize apologies impossible insufficient undetermined determined
decline leider
"""
_CORRECTIONS = """
wait actually however mistake incorrect wrong recheck reconsider correction oops instead but
"""
_STEPS = """
first firstly second secondly third next then therefore thus so hence finally lastly step since
because zuerst dann ensuite donc luego entonces
"""
_ENGLISH = """
the of and to is are was in that it you for with on as be this have not or what how which if from by
at we so then can will he she they there each total answer
"""

HEDGES: Final = frozenset(_HEDGES.split())
REFUSALS: Final = frozenset(_REFUSALS.split())
CORRECTIONS: Final = frozenset(_CORRECTIONS.split())
STEPS: Final = frozenset(_STEPS.split())
ENGLISH: Final = frozenset(_ENGLISH.split())
NEGATIONS: Final = frozenset(
    (
        *("not", "never", "neither", "nor", "cannot", "nicht", "kein", "keine", "keinen", "nie"),
        *("pas", "jamais", "n\u00e3o", "nunca", "niet", "geen", "non", "\u043d\u0435"),
    )
)
STARTERS: Final = frozenset(
    ("it", "this", "that", "there", "he", "she", "they", "we", "you", "i", "yes", "no", "the")
)
"""Words that begin a sentence and name nothing."""
COPULAS: Final = frozenset(("is", "was", "are", "were", "ist", "war", "est", "es"))
YES: Final = frozenset(
    {"yes", "true", "ja", "oui", "s\u00ed", "sim", "\u0434\u0430", "\u662f", "\u306f\u3044"}
)
NO: Final = frozenset(
    {"no", "false", "nein", "nee", "non", "n\u00e3o", "\u043d\u0435\u0442", "\u5426"}
)
