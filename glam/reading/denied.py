"""Words that deny a view, a modifier or a kind of image in a text: no implant, except MLO, CC missing.

A side needs no such list: beside a word that is not known, it does not count (glam/reading/side_text.py).
"""

import re

WINDOW = 60
"""Characters before and behind a word that are looked at."""
NEGATIONS = (
    r"NOT?|NON|NEVER|NEITHER|NOR|W/O|WITHOUT|EXCEPT(?:ING)?|EXCLUD\w*|EXCL|MINUS|OTHER\s+THAN|RATHER\s+THAN|INSTEAD\s+OF|"
    r"APART\s+FROM|OPPOSITE|OHNE|KEINE?[MNRS]?|NICHT|AUSSER|(?:AN)?STATT|SANS|PAS|SAUF|HORMIS|EXCEPTE|SIN|EXCEPTO|SALVO|"
    r"MENOS|SEM|N\u00c3O|NAO|EXCETO|SENZA|ECCETTO|TRANNE|ZONDER|NIET|GEEN|BEHALVE"
)
"""English, German, French, Spanish, Portuguese, Italian, Dutch."""
FILLERS = (
    r"THE|AN?|ANY|OF|ON|TO|FOR|FROM|VIEWS?|IMAGES?|SIDES?|BREASTS?|DE|DU|DES|LA|LES?|\u00c0|EL|LOS|IL|LO|DELLA|DEN?|DE[RMS]|"
    r"DIE|DAS|VON|BRUST|SEITE|HET|VAN|OS?|DA|DO|SEIN|SENO|MAMA|[LR]T?|LEFT|RIGHT|LINK(?:S|E[RSNM]?)|RECHT(?:S|E[RSNM]?)|"
    r"GAUCHE|DROITE?|IZQUIERD[AO]|DERECH[AO]|SINISTR[AO]|DESTR[AO]|ESQUERD[AO]|DIREIT[AO]|[LR]?(?:CC|MLO)"
)
"""Words that may stand between a word that denies and what it denies: articles, prepositions, sides and views."""
BEFORE = re.compile(rf"(?<![^\W_])(?:{NEGATIONS})(?:[\s_-]+(?:{FILLERS}))*[\s:_(-]+$")
BEHIND = re.compile(
    r"[\s_,:(-]*(?:(?:WAS|WERE|IS|VIEWS?|IMAGES?|BREAST|SIDE)\s+)?"
    r"(?:MISSING|ABSENT|REMOVED|REFUSED|DECLINED|OMITTED|EXCLUDED|FEHLT|ENTFALLT|ABSENTE?|AUSENTE|ASSENTE|MANCANTE|"
    r"NOT\s+(?:DONE|TAKEN|OBTAINED|POSSIBLE|PERFORMED|ACQUIRED|IMAGED|SHOWN|INCLUDED|SEEN)|"
    r"NICHT\s+(?:MOGLICH|GEMACHT|DURCHGEFUHRT|ABGEBILDET))(?![^\W_])"
)


def is_denied(folded_text: str, start: int, end: int) -> bool:
    """Return whether the words around a part of a folded text deny it."""
    before, behind = folded_text[max(0, start - WINDOW) : start], folded_text[end : end + WINDOW]
    return bool(BEFORE.search(before) or BEHIND.match(behind))


def denies(word: str) -> bool:
    """Return whether a folded word denies what stands behind it."""
    return re.fullmatch(NEGATIONS, word) is not None
