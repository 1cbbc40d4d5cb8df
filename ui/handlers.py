"""What happens when the page's reader does something: every value that goes back to the page is made here."""

import math
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
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
from .turns import BusyError, Shares, Turns
from .uploads import Arrived, GoneError, Waiting, taken

MAX_FILES = 8
EXAMS_AT_A_TIME, EXAMS_WAITING = 8, 64
"""Of different sessions: read and asked about side by side, and in line for that."""
QUESTIONS_AT_A_TIME, QUESTIONS_WAITING = 8, 32
"""Of different sessions: about an exam that is shown, in words or for similar cases."""
SHOWS = {"right CC": ("R", "CC"), "right MLO": ("R", "MLO"), "left CC": ("L", "CC"), "left MLO": ("L", "MLO")}
"""What a picture may show; a DICOM file says it itself."""
GONE = "A file was gone before it was read: choose the files again."
NO_EXAMPLE = "The link names an example that this viewer does not have: choose another one, or upload an exam."
NO_EXAM = "Choose an exam first, and wait for its tables."
BUSY = "Too many readers are waiting for this viewer: try again in a minute."
IN_LINE = "<p class='glam-busy' role='status'>Waiting for other readers …</p>"
Outputs = tuple[Any, Any, Any, Any, Any, Any]
"""Of viewer, tables, messages, the names under which the server keeps the answer, sentences and similar cases."""
AS_IT_WAS: Outputs = (gr.skip(), gr.skip(), gr.skip(), gr.skip(), gr.skip(), gr.skip())


@dataclass(frozen=True, kw_only=True)
class Handlers:
    """The page's handlers; what a session asks about comes with each call, so that nothing of a reader is kept."""

    desk: Desk
    examples: Mapping[str, Example]
    arrived: Arrived = field(default_factory=Arrived)
    exams: Shares = field(default_factory=lambda: Shares(most_under_way=EXAMS_AT_A_TIME, most_waiting=EXAMS_WAITING))
    questions: Shares = field(
        default_factory=lambda: Shares(most_under_way=QUESTIONS_AT_A_TIME, most_waiting=QUESTIONS_WAITING)
    )

    def come(self, before: Sequence[Waiting], files: Sequence[JsonDict] | None) -> tuple[Any, ...]:
        """Take uploads from the disk; return them, an empty list of files, and the form that asks about pictures.

        `before`: what the session uploaded before, which goes. `files`: as Gradio names them.
        """
        self.arrived.drop(before)
        try:
            found = [self.arrived.put(upload) for upload in taken([file["path"] for file in files or ()])]
        except GoneError:
            found = []
        is_asked = _need_words(found)
        labels = [f"{waiting.name} shows" for waiting in found] if is_asked else []
        rows = [gr.update(visible=True, label=label, value=None) for label in labels]
        hidden = [gr.update(visible=False, value=None)] * (MAX_FILES - len(rows))
        return found, None, gr.update(visible=is_asked), *rows, *hidden

    async def show_uploaded(self, turns: Turns, found: list[Waiting]) -> AsyncIterator[Outputs]:
        """Show what was uploaded, unless pictures wait for their reader's word."""
        values = iter([AS_IT_WAS]) if _need_words(found) else self._shown_once(found)
        async for outputs in self._in_turn(turns, values):
            yield outputs

    async def show_pictures(
        self, turns: Turns, found: list[Waiting], spacing_mm: str, *shows: str | None
    ) -> AsyncIterator[Outputs]:
        """Show pictures as what they are said to show; they are kept, so that it can be said again."""
        async for outputs in self._in_turn(turns, self._shown_as(found, spacing_mm, shows)):
            yield outputs

    async def show_example(self, turns: Turns, name: str | None) -> AsyncIterator[Outputs]:
        """Show an example by its name; nothing for a name that is none."""
        if name is None or name not in self.examples:
            yield AS_IT_WAS
            return
        async for outputs in self._in_turn(turns, self._shown_example(name)):
            yield outputs

    async def show_link(self, turns: Turns, name: str) -> AsyncIterator[tuple[Any, ...]]:
        """Choose the example that a link names in the list, and show it; a refusal where there is none of its name.

        Nothing where the link names none, or a reader chose something before the page's first event came here.
        """
        if turns.latest or name not in self.examples:
            yield gr.skip(), *(_telling(_refusal(NO_EXAMPLE)) if name and not turns.latest else AS_IT_WAS)
            return
        chosen: Any = name
        async for outputs in self.show_example(turns, name):
            yield chosen, *outputs
            chosen = gr.skip()

    async def in_words(self, turns: Turns, text: str, result_ids: Sequence[str]) -> Any:
        """Return how the exam that is shown fits a reader's sentences; a refusal in words. HTML.

        Nothing where another exam was asked for meanwhile: the sentences would stand beside the wrong one.
        """
        return await self._unless_newer(turns, lambda: self._in_words(text, result_ids), kind="words")

    async def similar(self, turns: Turns, result_ids: Sequence[str]) -> Any:
        """Return the store's cases like the exam that is shown; a refusal in words. HTML.

        Nothing where another exam was asked for meanwhile.
        """
        return await self._unless_newer(turns, lambda: self._similar(result_ids), kind="similar")

    async def _in_turn(self, turns: Turns, values: Iterator[Outputs]) -> AsyncIterator[Outputs]:
        """Yield what is shown of an exam, in its session's turn, until the session asks for another."""
        turns.latest += 1
        if self.exams.is_full:
            yield _telling(IN_LINE)
        try:
            async for outputs in self.exams.shown(turns, values, instead=AS_IT_WAS):
                yield outputs
        except BusyError:
            yield _telling(_refusal(BUSY))

    async def _unless_newer(self, turns: Turns, answer: Callable[[], str], *, kind: str) -> Any:
        """Return an answer; nothing where the session asked for another of its kind, or another exam, meanwhile."""
        turn, html = turns.latest, gr.skip()
        answers = (make() for make in [answer])
        try:
            async for shown in self.questions.shown((turns, kind), answers, instead=gr.skip()):
                html = shown
        except BusyError:
            return _refusal(BUSY)
        return html if turn == turns.latest else gr.skip()

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

    def _shown_once(self, found: list[Waiting]) -> Iterator[Outputs]:
        """Yield what is shown of uploads that nothing is asked about any more; their bytes are not kept."""
        try:
            uploads = self.arrived.uploads(found)
        except GoneError:
            uploads = []
        yield from self._shown(uploads) if uploads else [_telling(_refusal(GONE))]
        self.arrived.drop(found)

    def _shown_as(self, found: list[Waiting], spacing_mm: str, shows: Sequence[str | None]) -> Iterator[Outputs]:
        """Yield what is shown of pictures, as what their reader says that they show."""
        said = [SHOWS.get(show or "", (None, None)) for show in shows]
        try:
            uploads = self.arrived.uploads(found)
        except GoneError:
            yield _telling(_refusal(GONE))
            return
        pictures = [
            replace(upload, laterality=side, view=view) for upload, (side, view) in zip(uploads, said, strict=False)
        ]
        yield from self._shown(pictures + uploads[MAX_FILES:], spacing=spacing_mm)

    def _shown_example(self, name: str) -> Iterator[Outputs]:
        yield from self._shown(self.examples[name].uploads(), example=name)

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
