"""What happens when the page's reader does something: every value that goes back to the page is made here."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any

import gradio as gr

from glam.client import ServerError
from glam.files import JsonDict
from glam.findings import InputError

from .answers import AskError, Upload, ViewerAnswer, compared
from .examples import Example
from .exams import NAMES, Desk, Preview, ShownExam
from .similar import similar_cases, similar_tables
from .tables import exam_tables, words_table
from .turns import Turns
from .uploads import Arrived, GoneError, Waiting, taken

MAX_FILES = 8
SHOWS = {"right CC": ("R", "CC"), "right MLO": ("R", "MLO"), "left CC": ("L", "CC"), "left MLO": ("L", "MLO")}
"""What a picture may show; a DICOM file says it itself."""
GONE = "A file was gone before it was read: choose the files again."
NO_EXAMPLE = "The link names an example that this viewer does not have: choose another one, or upload an exam."
NO_EXAM = "Choose an exam first, and wait for its tables."
Outputs = tuple[Any, Any, Any, Any, Any, Any]
"""Of viewer, tables, messages, the names under which the server keeps the answer, sentences and similar cases."""
AS_IT_WAS: Outputs = (gr.skip(), gr.skip(), gr.skip(), gr.skip(), gr.skip(), gr.skip())


@dataclass(frozen=True, kw_only=True)
class Handlers:
    """The page's handlers; what a session asks about comes with each call, so that nothing of a reader is kept."""

    desk: Desk
    examples: Mapping[str, Example]
    arrived: Arrived = field(default_factory=Arrived)

    def come(self, files: Sequence[JsonDict] | None) -> tuple[Any, ...]:
        """Take uploads from the disk; return them, an empty list of files, and the form that asks about pictures.

        `files`: as Gradio names them.
        """
        try:
            found = [self.arrived.put(upload) for upload in taken([file["path"] for file in files or ()])]
        except GoneError:
            found = []
        is_asked = _need_words(found)
        labels = [f"{waiting.name} shows" for waiting in found] if is_asked else []
        rows = [gr.update(visible=True, label=label, value=None) for label in labels]
        hidden = [gr.update(visible=False, value=None)] * (MAX_FILES - len(rows))
        return found, None, gr.update(visible=is_asked), *rows, *hidden

    def show_uploaded(self, turns: Turns, found: list[Waiting]) -> Iterator[Outputs]:
        """Show what was uploaded, unless pictures wait for their reader's word."""
        yield from turns.shown([AS_IT_WAS] if _need_words(found) else self._shown_once(found), instead=AS_IT_WAS)

    def show_pictures(
        self, turns: Turns, found: list[Waiting], spacing_mm: str, *shows: str | None
    ) -> Iterator[Outputs]:
        """Show pictures as what they are said to show; they are kept, so that it can be said again."""
        said = [SHOWS.get(show or "", (None, None)) for show in shows]
        try:
            uploads = self.arrived.uploads(found)
        except GoneError:
            yield from turns.shown([_telling(_refusal(GONE))], instead=AS_IT_WAS)
            return
        pictures = [
            replace(upload, laterality=side, view=view) for upload, (side, view) in zip(uploads, said, strict=False)
        ]
        yield from turns.shown(self._shown(pictures + uploads[MAX_FILES:], spacing=spacing_mm), instead=AS_IT_WAS)

    def _shown_once(self, found: list[Waiting]) -> Iterator[Outputs]:
        """Yield what is shown of uploads that nothing is asked about any more; their bytes are not kept."""
        try:
            uploads = self.arrived.uploads(found)
        except GoneError:
            uploads = []
        self.arrived.drop(found)
        yield from self._shown(uploads) if uploads else [_telling(_refusal(GONE))]

    def show_example(self, turns: Turns, name: str | None) -> Iterator[Outputs]:
        """Show an example by its name; nothing for a name that is none."""
        example = self.examples.get(name or "")
        if example is None:
            yield AS_IT_WAS
            return
        yield from turns.shown(self._shown(example.uploads(), example=name), instead=AS_IT_WAS)

    def show_link(self, turns: Turns, name: str) -> Iterator[tuple[Any, ...]]:
        """Choose the example that a link names in the list, and show it; a refusal where there is none of its name.

        Nothing where the link names none, or a reader chose something before the page's first event came here.
        """
        if turns.latest or name not in self.examples:
            yield gr.skip(), *(_telling(_refusal(NO_EXAMPLE)) if name and not turns.latest else AS_IT_WAS)
            return
        for number, shown in enumerate(self.show_example(turns, name)):
            yield name if number == 0 else gr.skip(), *shown

    def in_words(self, turns: Turns, text: str, result_ids: Sequence[str]) -> Any:
        """Return how the exam that is shown fits a reader's sentences; a refusal in words. HTML.

        Nothing where another exam was asked for meanwhile: the sentences would stand beside the wrong one.
        """
        return _unless_newer(turns, lambda: self._in_words(text, result_ids))

    def similar(self, turns: Turns, result_ids: Sequence[str]) -> Any:
        """Return the store's cases like the exam that is shown; a refusal in words. HTML.

        Nothing where another exam was asked for meanwhile.
        """
        return _unless_newer(turns, lambda: self._similar(result_ids))

    def _similar(self, result_ids: Sequence[str]) -> str:
        if not result_ids:
            return _refusal(NO_EXAM)
        try:
            return similar_tables(similar_cases(self.desk.client, result_ids))
        except (ServerError, AskError) as error:
            return _refusal(_said(error))

    def _in_words(self, text: str, result_ids: Sequence[str]) -> str:
        sentences = [line.strip() for line in text.splitlines() if line.strip()]
        if not result_ids or not sentences:
            return _refusal("Write a sentence a line." if result_ids else NO_EXAM)
        try:
            return words_table(compared(self.desk.client, sentences, result_ids))
        except ServerError as error:
            return _refusal(_said(error))

    def _shown(self, uploads: Sequence[Upload], *, spacing: str = "", example: str | None = None) -> Iterator[Outputs]:
        """Yield what is being done, then the exam, or a refusal in words and no exam."""
        if not 0 < len(uploads) <= MAX_FILES:
            yield _telling(_refusal(f"Choose 1 to {MAX_FILES} files of one exam."))
            return
        try:
            spacing_mm = _mm(spacing)
        except AskError as error:
            yield _telling(_refusal(str(error)))  # the exam that is shown stays
            return
        plural = "s" if len(uploads) > 1 else ""
        yield _telling(f"<p class='glam-busy' role='status'>Reading {len(uploads)} image{plural} …</p>")
        truth = self.examples[example].true_places() if example else None
        try:
            for shown in self.desk.show(uploads, spacing_mm=spacing_mm, truth=truth, example=example):
                yield _outputs(shown, uploads)
        except (ServerError, InputError, AskError) as error:
            yield None, "", _refusal(_said(error)), (), "", ""


def _unless_newer(turns: Turns, answer: Callable[[], str]) -> Any:
    """Return an answer; nothing where another exam was asked for while it was made."""
    turn = turns.latest
    html = answer()
    return html if turn == turns.latest else gr.skip()


def _need_words(found: Sequence[Waiting]) -> bool:
    """Return whether a reader is asked what uploads show: of pictures alone, and no more than an exam has."""
    return 0 < len(found) <= MAX_FILES and all(upload.is_picture for upload in found)


def _outputs(shown: Preview | ShownExam, uploads: Sequence[Upload]) -> Outputs:
    if isinstance(shown, Preview):  # what was said of another exam goes at once
        return shown.payload, "", gr.skip(), (), "", ""
    answer = shown.answer
    return shown.payload, exam_tables(answer), _messages(answer, uploads), answer.result_ids, gr.skip(), gr.skip()


def _said(error: ServerError | InputError | AskError) -> str:
    """Return a refusal in words; where the server is, a page does not tell."""
    if isinstance(error, ServerError) and not error.status:
        return "The model's server gives no answer: try again in a moment, or tell whoever runs this viewer."
    return str(error) if isinstance(error, AskError) else error.message


def _telling(message: str) -> Outputs:
    return gr.skip(), gr.skip(), message, gr.skip(), gr.skip(), gr.skip()


def _mm(text: str) -> float | None:
    """Return a spacing as it was typed; AskError where it is no length."""
    if not text.strip():
        return None
    try:
        spacing_mm = float(text.replace(",", "."))
    except ValueError:
        spacing_mm = math.nan
    if not 0 < spacing_mm < math.inf:
        raise AskError("The pixel spacing is a number of millimetres, such as 0.07; leave it empty if unknown.")
    return spacing_mm


def _refusal(message: str) -> str:
    return f"<p class='glam-refusal' role='alert'>{escape(message)}</p>"


def _messages(answer: ViewerAnswer, uploads: Sequence[Upload]) -> str:
    """Return what was left out, what is missing and what is odd, as a list."""
    lines = [f"{uploads[left.image - 1].name} is left out: {left.message}" for left in answer.left_out]
    lines += [finding.message for finding in answer.findings]
    for side, breast in answer.breasts.items():
        lines += [f"{NAMES[side]} breast: {finding.message}" for finding in breast.findings]
        for view in breast.views.values():
            lines += [f"{NAMES[side]} {view.view}: {finding.message}" for finding in view.findings]
    items = "".join(f"<li>{escape(line)}</li>" for line in dict.fromkeys(lines))
    return f"<div role='status'><ul class='glam-messages'>{items}</ul></div>" if items else ""
