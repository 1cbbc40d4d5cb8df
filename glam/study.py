"""One breast, checked and prepared: what crosses from reading files to running the model. Needs no model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from glam.attention import OTHER, ViewKey
from glam.config import FrameConfig
from glam.dicom import View
from glam.geometry import Frame
from glam.intake import Finding, InputError, check_pair, finding, input_error
from glam.prepare import ModelInput, prepare

MAX_PROMPTS = 64
MAX_PROMPT_CHARS = 2000


@dataclass(frozen=True, kw_only=True)
class PreparedView:
    """A view as the model gets it, with what intake and preparation said of it."""

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
class Study:
    """One breast: its prepared views and the caller's prompts."""

    views: dict[ViewKey, PreparedView]
    findings: tuple[Finding, ...] = ()
    """Of the pair; each view carries its own."""
    prompts: tuple[str, ...] = ()


def prepare_study(config: FrameConfig, cc: View | None, mlo: View | None, *, prompts: Sequence[str] = ()) -> Study:
    """Check the views against each other and prepare them.

    Raises InputError: no view at all, a view in the other's place, sides that differ, prompts that cannot be used, or
    an image that preparation refuses.
    """
    given: dict[ViewKey, View] = {key: view for key, view in _keyed(cc, mlo) if view is not None}
    if not given:
        raise input_error("missing_view")
    findings = _lone_findings(*given.items()) if cc is None or mlo is None else check_pair(cc, mlo)
    views: dict[ViewKey, PreparedView] = {}
    for key, view in given.items():
        views[key] = _prepared(view, config, key)
    return Study(views=views, findings=findings, prompts=check_prompts(prompts))


def check_prompts(prompts: Sequence[str]) -> tuple[str, ...]:
    """Return the prompts without surrounding blanks and repeats; InputError for an empty or an endless one."""
    texts = tuple(dict.fromkeys(text.strip() for text in prompts))
    if not all(texts):
        raise input_error("bad_prompt", "prompts", what="a prompt is empty")
    if len(texts) > MAX_PROMPTS:
        raise input_error("bad_prompt", "prompts", what=f"{len(texts)} prompts are more than {MAX_PROMPTS}")
    if any(len(text) > MAX_PROMPT_CHARS for text in texts):
        raise input_error("bad_prompt", "prompts", what=f"a prompt is longer than {MAX_PROMPT_CHARS} characters")
    return texts


def _keyed(cc: View | None, mlo: View | None) -> tuple[tuple[ViewKey, View | None], ...]:
    return ("cc", cc), ("mlo", mlo)


def _lone_findings(given: tuple[ViewKey, View]) -> tuple[Finding, ...]:
    """Say what a lone view cannot give."""
    key, view = given
    if view.view != key.upper():
        raise input_error("view_mismatch", key, what=f"the file given as {key.upper()} is a {view.view}")
    absent = OTHER[key].upper()
    return (finding("lone_view", absent=absent),)


def _prepared(view: View, config: FrameConfig, where: ViewKey) -> PreparedView:
    """Prepare one view; what preparation cannot use is told with its place in the request."""
    try:
        made = prepare(view, config)
    except InputError as error:
        raise error.at(where) from None
    return PreparedView(
        view=view.view, laterality=view.laterality, input=made, findings=made.findings, provenance=view.provenance
    )
