"""The page in Gradio: files and examples on the left, the viewer, and what the model says on the right."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from glam.client import Client, ServerError
from glam.client_answers import ExamAnswer
from glam.files import JsonDict
from glam.findings import InputError
from glam.prediction import NOTICE
from glam_ui.examples import Example
from glam_ui.exams import ServedModel, show_exam
from glam_ui.store import Store
from glam_ui.tables import exam_tables, words_table

HERE = Path(__file__).parent
MOUNT = (
    "import(new URL('glam-static/viewer.mjs', document.baseURI)).then(viewer => viewer.mount(element,"
    " {value: () => props.value, onChange: call => watch('value', call)}))"
)
MAX_FILES = 8
UNCHANGED = (gr.skip(), gr.skip())
"""Of viewer and tables."""
SENTENCES = "A mass is present\nNo mass is present"


def make_page(client: Client, model: ServedModel, store: Store, examples: Mapping[str, Example]) -> gr.Blocks:
    """Return the page, which asks a server about what is uploaded. `examples`: by name."""

    def analyse(paths: Sequence[str] | None) -> tuple[Any, ...]:
        return _shown(client, model, store, _taken(paths))

    def example(name: str) -> tuple[Any, ...]:
        chosen = examples[name]
        return _shown(client, model, store, chosen.contents(), truth=chosen.true_places())

    with gr.Blocks(title="GLAM viewer", analytics_enabled=False, delete_cache=(60, 600), fill_width=True) as page:
        gr.HTML(_head(model))
        with gr.Row():
            with gr.Column(min_width=210, scale=0):
                files = gr.File(label="Mammograms of one exam", file_count="multiple", height=150)
                button = gr.Button("Analyse", variant="primary")
                chosen = gr.Dropdown(list(examples), label="Example", value=None)
                told = gr.HTML()
            with gr.Column(scale=6, min_width=480):
                viewer = gr.HTML(
                    None,
                    html_template=(HERE / "page.html").read_text(),
                    js_on_load=MOUNT,
                    elem_id="glam-viewer",
                    apply_default_css=False,
                )
            with gr.Column(min_width=260, scale=1):
                tables = gr.HTML()
                with gr.Accordion("Ask in your own words", open=False):
                    sentences = gr.Textbox(label="One sentence a line", lines=3, placeholder=SENTENCES)
                    compare = gr.Button("Compare", size="sm")
                    compared = gr.HTML()
        result_id = gr.State(None)
        outputs = [viewer, tables, told, result_id]
        button.click(analyse, files, [*outputs], api_visibility="private").then(
            lambda: None, None, files, api_visibility="private"
        )
        chosen.input(example, chosen, outputs, api_visibility="private")
        for event in (compare.click, sentences.submit):
            event(
                lambda text, asked: _compared(client, text, asked),
                [sentences, result_id],
                compared,
                api_visibility="private",
            )
    page.queue(default_concurrency_limit=8)
    return page


def _compared(client: Client, text: str, result_id: str | None) -> str:
    """Return how the exam that is shown fits a reader's sentences; a refusal in words."""
    sentences = [line.strip() for line in text.splitlines() if line.strip()]
    if result_id is None or not sentences:
        return _refusal("Choose an exam first." if result_id is None else "Write a sentence a line.")
    try:
        return words_table(client.zero_shot(sentences, result_id=result_id))
    except ServerError as error:
        return _refusal(error.message)


def _taken(paths: Sequence[str] | None) -> list[bytes]:
    """Return the content of uploaded files, and remove them from the disk."""
    contents = list[bytes]()
    for path in map(Path, paths or ()):
        contents.append(path.read_bytes())
        path.unlink(missing_ok=True)
    return contents


def _shown(
    client: Client,
    model: ServedModel,
    store: Store,
    files: Sequence[bytes],
    *,
    truth: Mapping[str, JsonDict] | None = None,
) -> tuple[Any, ...]:
    """Return the values of viewer, tables and messages; a refusal in words, and the viewer as it was."""
    if not 0 < len(files) <= MAX_FILES:
        return *UNCHANGED, _refusal(f"Choose 1 to {MAX_FILES} files of one exam."), gr.skip()
    try:
        exam = show_exam(client, model, files, store, truth=truth)
    except (ServerError, InputError) as error:
        return *UNCHANGED, _refusal(error.message), gr.skip()
    return exam.payload, exam_tables(exam.answer), _messages(exam.answer), exam.answer.result_id


def _refusal(message: str) -> str:
    return f"<p class='glam-refusal' role='alert'>{escape(message)}</p>"


def _messages(answer: ExamAnswer) -> str:
    """Return what was left out, what is missing and what is odd, as a list."""
    lines = [f"image {left.image} is left out: {left.message}" for left in answer.left_out]
    lines += [finding.message for finding in answer.findings]
    for breast in answer.breasts.values():
        lines += [finding.message for finding in breast.findings]
        lines += [finding.message for view in breast.views.values() for finding in view.findings]
    return "<ul class='glam-messages'>" + "".join(f"<li>{escape(line)}</li>" for line in dict.fromkeys(lines)) + "</ul>"


def _head(model: ServedModel) -> str:
    raw = model.raw
    trained = "synthetic breasts alone" if raw["provenance"].get("synthetic") else "see its model card"
    return (
        f"<header class='glam-head'><h1>GLAM viewer</h1><span class='glam-research'>{escape(NOTICE)}</span>"
        f"<span>{escape(str(raw['name']))} {escape(str(raw['version']))}, bundle {escape(str(raw['bundle'])[:12])}, "
        f"trained on {trained}, may_serve {str(raw['may_serve']).lower()}</span></header>"
    )
