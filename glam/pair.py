"""The two views of a breast: chosen among its images, checked against each other, prepared for the model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from math import hypot
from typing import Literal, NamedTuple

import numpy as np

from glam.config import FrameConfig
from glam.findings import Finding, InputError, finding, input_error
from glam.frame import Frame
from glam.mapping import Mapper
from glam.prepare import ModelInput, prepare
from glam.reading.kind import USUAL_MODIFIERS
from glam.reading.read import read_view
from glam.reading.source import Source
from glam.view import VIEW_KEYS, View, ViewKey
from glam.words.sentences import check_prompts

DIFFERENT_LENGTH_MM = 10.0
"""Difference of the chest-nipple lengths of CC and MLO above which one of them may be badly positioned: the clinical
rule, which one breast in five breaks (docs/alignment.md)."""

CandidatePair = tuple[View | None, View | None]


class Shortcomings(NamedTuple):
    """What the better one of two pairs has less of; the first field that differs decides."""

    special_modifiers: int
    """Modifiers that an ordinary screening view does not have."""
    partial_views: int
    num_kinds: int
    """2 for a synthetic 2-D image beside a plain mammogram."""
    synthetic_views: int
    num_implant_states: int
    """2 for a view with the implant displaced beside one without."""
    views_with_implant: int
    """Views without the implant displaced, if there is one."""


class ChosenViews(NamedTuple):
    """The views that were chosen; None: no file shows the view."""

    cc: View | None
    mlo: View | None
    findings: tuple[Finding, ...]
    """Of the choice and of the pair; each view carries its own."""


@dataclass(frozen=True, kw_only=True)
class PreparedView:
    """A view as the model gets it, with what reading and preparation said of it."""

    view: Literal["CC", "MLO"]
    laterality: Literal["L", "R"]
    input: ModelInput
    findings: tuple[Finding, ...]
    provenance: dict[str, str]

    @property
    def frame(self) -> Frame:
        """Where the square lies in the stored pixels."""
        return self.input.frame


@dataclass(frozen=True, kw_only=True)
class PreparedBreast:
    """One breast: its prepared views and the caller's prompts; what crosses from reading files to running the model."""

    views: dict[ViewKey, PreparedView]
    findings: tuple[Finding, ...] = ()
    """Of the pair; each view carries its own."""
    prompts: tuple[str, ...] = ()
    patient_ids: tuple[str, ...] = field(default=(), repr=False)
    """What the headers name the patient: for the search in a store, and in no answer."""

    @property
    def squares(self) -> dict[ViewKey, np.ndarray]:
        """What the model sees: (S, S) float32 in [0, 1] each."""
        return {key: view.input.pixels for key, view in self.views.items()}


def read_breast(
    sources: Mapping[ViewKey, Source | View | None],
    config: FrameConfig,
    *,
    laterality: str | None = None,
    spacing_mm: float | None = None,
    mapper: Mapper = map,
) -> dict[ViewKey, View]:
    """Return the views of one breast from its files, each read as the view of its key; a View is taken as it is.

    `laterality` and `spacing_mm` fill what the headers lack; `mapper` may read the files at the same time. The `where`
    of an InputError is the key of the file that cannot be used. ValueError: `laterality` or `spacing_mm` beside a
    View, which has its own.
    """
    if (laterality, spacing_mm) != (None, None) and any(isinstance(source, View) for source in sources.values()):
        raise ValueError("laterality and spacing_mm belong to files: a View has its own, give them where it is read")

    def read(key: ViewKey) -> View:
        source = files[key]
        if isinstance(source, View):
            return source
        try:
            return read_view(source, config, view=key.upper(), laterality=laterality, spacing_mm=spacing_mm)
        except InputError as error:
            raise error.at(key) from None

    files: dict[ViewKey, Source | View] = {key: source for key, source in sources.items() if source is not None}
    return dict(zip(files, mapper(read, files), strict=True))


def choose_views(views: Sequence[View]) -> ChosenViews:
    """Return the pair to ask about, the one with the least Shortcomings, and which views had others beside them.

    Raises InputError: no view at all, or views of different breasts, patients or studies. Films may carry made-up
    identifiers: among them, the differences of the chosen pair are findings.
    """
    refuse_mixture(views)
    latest = sorted(views, key=lambda view: view.acquired, reverse=True)  # of equal pairs the first one is taken
    named = {name: [view for view in latest if view.view == name] for name in ("CC", "MLO")}
    cc, mlo = min(product(named["CC"] or [None], named["MLO"] or [None]), key=_shortcomings)
    of_pair = check_pair(cc, mlo)
    return ChosenViews(cc, mlo, (*_repeats(views, (cc, mlo)), *of_pair))


def check_pair(cc: View | None, mlo: View | None) -> tuple[Finding, ...]:
    """Refuse views that are no pair; return what is notable about those that are. None: there is no such view.

    Patient and study must agree between digital mammograms. Films often carry made-up identifiers, so that there
    it is a warning.
    """
    views = _by_key(cc, mlo)
    for key, view in views.items():
        if view.view != key.upper():
            contradiction = f"the file given as {key.upper()} is a {view.view}"
            raise input_error("view_mismatch", key, contradiction=contradiction, way_out="check which file went where")
    refuse_mixture(list(views.values()))
    if cc is None or mlo is None:
        return (finding("lone_view", absent="CC" if cc is None else "MLO"),)
    codes = [f"{name}_differs" for name in differing_identities(cc, mlo)]
    if cc.synthetic != mlo.synthetic:
        codes.append("mixed_pair")
    return tuple(map(finding, codes))


def prepare_breast(
    config: FrameConfig, cc: View | None, mlo: View | None, *, prompts: Sequence[str] = (), mapper: Mapper = map
) -> PreparedBreast:
    """Check the views against each other and prepare them; `mapper` may do that for both at the same time.

    Raises InputError: no view at all, a view in the other's place, sides that differ, prompts that cannot be used, or
    an image that preparation refuses.
    """

    def prepared(key: ViewKey) -> PreparedView:
        try:
            return _prepared(by_key[key], config)
        except InputError as error:
            raise error.at(key) from None

    findings, by_key = check_pair(cc, mlo), _by_key(cc, mlo)
    views = dict(zip(by_key, mapper(prepared, by_key), strict=True))
    if cc is not None and mlo is not None:
        lengths = length_mm(cc, views["cc"].input), length_mm(mlo, views["mlo"].input)
        findings = (*findings, *_lengths_differ(*lengths))
    patient_ids = tuple(sorted({view.patient_id for view in (cc, mlo) if view is not None}))
    return PreparedBreast(views=views, findings=findings, prompts=check_prompts(prompts), patient_ids=patient_ids)


def length_mm(view: View, prepared: ModelInput) -> float | None:
    """Return the distance of the nipple from the chest-wall edge (CC) or from the pectoral line (MLO).

    None where it cannot be compared: no pixel spacing, no nipple in profile, or no pectoral muscle in an MLO view.
    """
    anatomy = prepared.anatomy
    if view.spacing_mm is None or anatomy is None or not anatomy.nipple_confidence:
        return None
    if view.view == "MLO" and anatomy.axis_from != "muscle":
        return None
    (foot_x, foot_y), (tip_x, tip_y) = anatomy.axis
    row_mm, col_mm = view.spacing_mm
    return hypot((tip_x - foot_x) * col_mm, (tip_y - foot_y) * row_mm)


def _lengths_differ(cc_mm: float | None, mlo_mm: float | None) -> tuple[Finding, ...]:
    if cc_mm is None or mlo_mm is None or abs(cc_mm - mlo_mm) <= DIFFERENT_LENGTH_MM:
        return ()
    return (finding("views_differ", cc=f"{cc_mm:.0f}", mlo=f"{mlo_mm:.0f}", limit=f"{DIFFERENT_LENGTH_MM:.0f}"),)


def _shortcomings(pair: CandidatePair) -> Shortcomings:
    views = [view for view in pair if view]
    displaced = ["implant displaced" in view.modifiers for view in views]
    return Shortcomings(
        special_modifiers=sum(len(set(view.modifiers) - USUAL_MODIFIERS) for view in views),
        partial_views=sum(view.partial for view in views),
        num_kinds=len({view.synthetic for view in views}),
        synthetic_views=sum(view.synthetic for view in views),
        num_implant_states=len(set(displaced)),
        views_with_implant=displaced.count(False),
    )


def refuse_mixture(views: Sequence[View]) -> None:
    """Refuse images of several breasts, and digital mammograms of several patients or studies; and no image at all."""
    if not views:
        raise input_error("missing_view")
    for first, other in combinations(views, 2):
        if first.laterality != other.laterality:
            contradiction, way_out = "the files show the left and the right breast", "send the files of one breast"
            raise input_error("side_mismatch", contradiction=contradiction, way_out=way_out)
        if first.is_mg and other.is_mg and (names := differing_identities(first, other)):
            raise input_error(f"{names[0]}_mismatch")


def differing_identities(view: View, other: View) -> list[str]:
    """Return which of patient and study both views name, and name differently."""
    pairs = {"patient": (view.patient_id, other.patient_id), "study": (view.study_uid, other.study_uid)}
    return [name for name, (ours, theirs) in pairs.items() if ours and theirs and ours != theirs]


def _repeats(views: Sequence[View], chosen: CandidatePair) -> Iterator[Finding]:
    """Yield a finding for each view that several files show, with the place of the chosen one among them."""
    for name, taken in zip(("CC", "MLO"), chosen, strict=True):
        same = [view for view in views if view.view == name]
        places = [place for place, view in enumerate(same, start=1) if view is taken]
        if len(same) > 1:
            yield finding("same_view_twice", count=len(same), view=name, number=places[0])


def _by_key(cc: View | None, mlo: View | None) -> dict[ViewKey, View]:
    """Return the views that there are, by their keys."""
    return {key: view for key, view in zip(VIEW_KEYS, (cc, mlo), strict=True) if view is not None}


def _prepared(view: View, config: FrameConfig) -> PreparedView:
    """Prepare one view."""
    prepared = prepare(view, config)
    return PreparedView(
        view=view.view,
        laterality=view.laterality,
        input=prepared,
        findings=prepared.findings,
        provenance=view.provenance,
    )
