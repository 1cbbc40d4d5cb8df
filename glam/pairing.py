"""Of the images of one breast, the CC and the MLO view that the model is asked about."""

from collections.abc import Iterator, Sequence
from itertools import combinations, product
from typing import TYPE_CHECKING, NamedTuple

from glam.intake import Finding, check_pair, differing_identities, finding, input_error
from glam.kind import USUAL_MODIFIERS

if TYPE_CHECKING:
    from glam.dicom import View

Pair = tuple["View | None", "View | None"]


class Chosen(NamedTuple):
    """The views that were chosen; None: there is none of it."""

    cc: "View | None"
    mlo: "View | None"
    findings: tuple[Finding, ...]
    """Of the choice and of the pair; each view carries its own."""


def choose_views(views: Sequence["View"]) -> Chosen:
    """Return the pair to ask about, in the order of `_rank`, and which views had others beside them.

    Raises InputError: no view at all, or views of different breasts, patients or studies. Films may carry made-up
    identifiers: among them, the differences of the chosen pair are findings.
    """
    if not views:
        raise input_error("missing_view")
    _refuse_mixture(views)
    latest = sorted(views, key=lambda view: view.acquired, reverse=True)  # of equal ranks the first one is taken
    named = {name: [view for view in latest if view.view == name] for name in ("CC", "MLO")}
    cc, mlo = min(product(named["CC"] or [None], named["MLO"] or [None]), key=_rank)
    of_pair = check_pair(cc, mlo) if cc and mlo else (finding("lone_view", absent="MLO" if cc else "CC"),)
    return Chosen(cc, mlo, (*_repeats(views, (cc, mlo)), *of_pair))


def _rank(pair: Pair) -> tuple[int, ...]:
    """Return what the better pair has less of: odd modifiers, parts, mixture, synthesis, implants in the way."""
    views = [view for view in pair if view]
    displaced = ["implant displaced" in view.modifiers for view in views]
    return (
        sum(len(set(view.modifiers) - USUAL_MODIFIERS) for view in views),
        sum(view.partial for view in views),
        len({view.synthetic for view in views}),
        sum(view.synthetic for view in views),
        len(set(displaced)),
        displaced.count(False),
    )


def _refuse_mixture(views: Sequence["View"]) -> None:
    for first, other in combinations(views, 2):
        if first.laterality != other.laterality:
            raise input_error("side_mismatch", what="the files show the left and the right breast")
        if first.is_mg and other.is_mg and (odd := differing_identities(first, other)):
            raise input_error(f"{odd[0]}_mismatch")


def _repeats(views: Sequence["View"], chosen: Pair) -> Iterator[Finding]:
    """Yield a finding for each view that several files show, with the place of the chosen one among them."""
    for name, taken in zip(("CC", "MLO"), chosen, strict=True):
        same = [view for view in views if view.view == name]
        places = [place for place, view in enumerate(same, start=1) if view is taken]
        if len(same) > 1:
            yield finding("same_view_twice", count=len(same), view=name, number=places[0])
