"""The page in Gradio: files and examples on the left, the viewer, and what the model says on the right."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from glam.prediction import NOTICE

from .examples import Example
from .exams import Desk, ServedModel
from .handlers import MAX_FILES, SHOWS, Handlers
from .store import LIFETIME_S
from .turns import Turns

HERE = Path(__file__).parent
MOUNT = (
    "import(new URL('glam-static/viewer.mjs', document.baseURI)).then(viewer => viewer.mount(element,"
    " {value: () => props.value, onChange: call => watch('value', call)}))"
)
IF_CHOSEN = (
    "(turns, name) => import(new URL('glam-static/choosing.mjs', document.baseURI))"
    ".then(choosing => [turns, choosing.chosen(name)])"
)
FROM_LINK = (
    "(turns) => { addEventListener('hashchange', () => location.reload());"
    " return [turns, new URLSearchParams(location.hash.slice(1)).get('example') ?? '']; }"
)
"""From the moment at which the link is read another one is followed; the viewer may come seconds later."""
SENTENCES = "A mass is present\nNo mass is present"
DESCRIPTION = "description"
"""Path of the page about a store."""
MAX_SESSIONS = 1000
"""Remembered, those that ask again last; each takes a tenth of a megabyte, and Gradio forgets none that was closed."""
MAX_JOBS = 128
"""Questions that Gradio has begun to answer: those of `Shares`, under way and waiting, and uploads that are taken."""
MAX_QUEUED = 512
"""Questions that Gradio has not begun to answer; it refuses more in words of its own."""
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
MANY: dict[str, Any] = PRIVATE | {"trigger_mode": "multiple"}
"""Of what may be asked for again while it is on its way."""
IN_TURN: dict[str, Any] = {"concurrency_limit": None}
"""Of what waits for its turn in `Shares`, and not in Gradio's queue, where a session may fill the line."""
SHOWS_EXAM: dict[str, Any] = MANY | IN_TURN
"""Of what shows an exam: `Shares` lets the last one of a session win."""


class _Side(NamedTuple):
    """What an exam is chosen by."""

    files: gr.File
    uploaded: gr.State
    form: gr.Column
    shows: list[gr.Dropdown]
    spacing: gr.Textbox
    button: gr.Button
    example: gr.Dropdown
    link: gr.Textbox
    told: gr.HTML


def make_page(desk: Desk, examples: Mapping[str, Example], *, is_described: bool = False) -> gr.Blocks:
    """Return the page, which asks a server about what is uploaded.

    `examples`: by name. `is_described`: whether a page about a store is at DESCRIPTION, for a link to it.
    """
    handlers = Handlers(desk=desk, examples=examples)
    with gr.Blocks(title="GLAM viewer", analytics_enabled=False, delete_cache=(60, 600), fill_width=True) as page:
        gr.HTML(_head(desk.model, is_described=is_described))
        with gr.Row(elem_id="glam-page"):
            with gr.Column(min_width=210, scale=0, elem_id="glam-side"):
                side = _side(list(examples))
            with gr.Column(scale=6, min_width=320):
                viewer = gr.HTML(
                    None,
                    html_template=(HERE / "page.html").read_text(),
                    js_on_load=MOUNT,
                    elem_id="glam-viewer",
                    apply_default_css=False,
                )
            with gr.Column(min_width=250, scale=1, elem_id="glam-results"):
                tables, result_ids, turns = gr.HTML(), gr.State(()), gr.State(Turns())
                words = _words(handlers, turns, result_ids)
                similar = _similar(handlers, turns, result_ids, has_store=desk.model.raw.get("store") is not None)
        outputs: list[Any] = [viewer, tables, side.told, result_ids, words, similar]
        rows = [side.uploaded, side.files, side.form, *side.shows]
        pictures = [turns, side.uploaded, side.spacing, *side.shows]
        as_named = {"preprocess": False}  # else Gradio leaves an empty file beside each
        side.files.upload(handlers.come, [side.uploaded, side.files], rows, **as_named, **MANY).then(
            handlers.show_uploaded, [turns, side.uploaded], outputs, **SHOWS_EXAM
        )
        side.button.click(handlers.show_pictures, pictures, outputs, **SHOWS_EXAM)
        side.files.upload(lambda: None, None, side.example, **PRIVATE)  # what is shown is no example
        side.example.input(handlers.show_example, [turns, side.example], outputs, js=IF_CHOSEN, **SHOWS_EXAM)
        by_link = {"js": FROM_LINK, "show_progress": "hidden"}  # else the list is covered meanwhile
        page.load(handlers.show_link, [turns, side.link], [side.example, *outputs], **by_link, **SHOWS_EXAM)
    page.max_threads = MAX_JOBS
    page.queue(default_concurrency_limit=8, max_size=MAX_QUEUED)
    page.state_session_capacity = MAX_SESSIONS
    return page


def _side(examples: list[str]) -> _Side:
    files = gr.File(label="Mammograms of one exam", file_count="multiple", height=168, elem_id="glam-files")
    with gr.Column(visible=False) as form:
        gr.HTML("<p>A picture has no header: say what each shows.</p>")
        shows = [gr.Dropdown(list(SHOWS), visible=False, value=None) for _ in range(MAX_FILES)]
        spacing = gr.Textbox(label="Pixel spacing in mm, if known", placeholder="0.07")
        button = gr.Button("Show", variant="primary")
    return _Side(
        files=files,
        uploaded=gr.State([], time_to_live=LIFETIME_S),
        form=form,
        shows=shows,
        spacing=spacing,
        button=button,
        example=gr.Dropdown(examples, label="Example", value=None, visible=bool(examples), elem_id="glam-example"),
        link=gr.Textbox(visible=False),
        told=gr.HTML(elem_id="glam-told"),
    )


def _words(handlers: Handlers, turns: gr.State, result_ids: gr.State) -> gr.HTML:
    """Lay out the box that takes a reader's own sentences; return the place of the table."""
    with gr.Accordion("Ask in your own words", open=False, elem_id="glam-ask"):
        sentences = gr.Textbox(label="One sentence a line", lines=3, placeholder=SENTENCES)
        compare = gr.Button("Compare", size="sm")
        words = gr.HTML()
    for event in (compare.click, sentences.submit):
        event(handlers.in_words, [turns, sentences, result_ids], words, **PRIVATE, **IN_TURN)
    return words


def _similar(handlers: Handlers, turns: gr.State, result_ids: gr.State, *, has_store: bool) -> gr.HTML:
    """Lay out the panel of similar cases, where the server has a store of them; return the place of the tables."""
    with gr.Accordion("Similar cases", open=False, elem_id="glam-like", visible=has_store):
        look = gr.Button("Find similar cases", size="sm")
        cases = gr.HTML()
    look.click(handlers.similar, [turns, result_ids], cases, **PRIVATE, **IN_TURN)
    return cases


def _head(model: ServedModel, *, is_described: bool) -> str:
    raw = model.raw
    link = f"<a href='{DESCRIPTION}' target='_blank' rel='noopener'>What the store holds</a>" if is_described else ""
    return (
        f"<header class='glam-head'><h1>GLAM viewer</h1><span class='glam-research'>{escape(NOTICE)}</span>"
        f"<span>{escape(str(raw['name']))} {escape(str(raw['version']))}, bundle {escape(str(raw['bundle'])[:12])}, "
        f"trained on {escape(model.trained_on)}, may_serve {str(raw['may_serve']).lower()}</span>{link}</header>"
    )
