"""Words that tell how sure an answer is of itself; English, with a few of other languages."""

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
