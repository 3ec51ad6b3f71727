"""Words that tell how sure an answer is of itself; English, with the commonest of others."""

from __future__ import annotations

from typing import Final

HEDGES: Final = frozenset(
    """maybe perhaps possibly probably likely might may could seems seem appears assume assuming
    assumed approximately roughly unclear unsure uncertain ambiguous guess suppose presumably
    vielleicht vermutlich wahrscheinlich peut-etre quizas talvez forse misschien""".split()
)
REFUSALS: Final = frozenset(
    """sorry cannot can't unable won't apologize apologies impossible insufficient undetermined
    determined decline leider""".split()
)
CORRECTIONS: Final = frozenset(
    """wait actually however mistake incorrect wrong recheck re-check reconsider correction
    oops instead but""".split()
)
STEPS: Final = frozenset(
    """first firstly second secondly third next then therefore thus so hence finally lastly step
    since because zuerst dann also ensuite donc luego entonces""".split()
)
ENGLISH: Final = frozenset(
    """the of and to is are was in that it you for with on as be this have not or what how which
    if from by at we so then can will he she they there each total answer""".split()
)
