"""The cases of the server's store that are like the exam that is shown, as tables."""

from collections.abc import Mapping, Sequence
from html import escape

from glam.client import Client, ServerError
from glam.client_vectors import SimilarAnswer, SimilarCase, SimilarCases

from .answers import AskError

CASES = 5
"""Of each breast, image or exam."""
NAMES = {"L": "Left breast", "R": "Right breast"}
REFUSALS = {
    "no_such_result": "The server keeps an exam for ten minutes, and this one is gone: choose it again, then look.",
    "no_store": "The server has no store of cases any more: whoever runs it starts it with --store.",
}
MEANING = "Likeness says that the model finds two mammograms alike, and not that they show the same finding."


def similar_cases(client: Client, result_ids: Sequence[str]) -> tuple[SimilarAnswer, ...]:
    """Return the cases like each answer that the server keeps; AskError where it has none to give, in words."""
    try:
        return tuple(client.similar(result_id=kept, k=CASES) for kept in result_ids)
    except ServerError as error:
        if error.code in REFUSALS:
            raise AskError(REFUSALS[error.code]) from None
        raise


def similar_tables(answers: Sequence[SimilarAnswer]) -> str:
    """Return a table for each breast, image or exam, the most alike case first, and what likeness means. HTML.

    An image's own id is not shown: in a store of a folder it is a path.
    """
    entries = [entry for answer in answers for entry in answer.answers]
    entries.sort(key=lambda entry: entry.laterality != "R")  # as the tables of probabilities: right before left
    told = f"The most alike of {answers[0].rows:,} {answers[0].level}s in the server's store."
    notes = [MEANING]
    if not all(answer.patient_known for answer in answers):
        notes.insert(0, "The store knows no patient of these files, so it may show their own cases.")
    if not all(answer.exact for answer in answers):
        notes.append("The server asked an index, which may miss a case.")
    tables = "".join(_table(entry) for entry in entries)
    return f"<p role='status'>{escape(told)}</p>{tables}" + "".join(f"<p>{escape(note)}</p>" for note in notes)


def _table(entry: SimilarCases) -> str:
    caption = NAMES[entry.laterality] if entry.laterality else "Exam"
    caption += f", {escape(entry.view)}" if entry.view else ""
    heads = "".join(f"<th scope='col'>{name}</th>" for name in ("case", "alike", "BI-RADS", "density"))
    rows = "".join(_row(case) for case in entry.cases) or "<tr><td colspan='4'>no other case</td></tr>"
    return (
        f"<table class='glam-similar'><caption>{caption} <small>likeliest classes</small></caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _row(case: SimilarCase) -> str:
    key = escape(" ".join(filter(None, (case.exam_id, case.laterality, case.view))))
    codes = f"<small>{escape(', '.join(case.codes).replace('_', ' '))}</small>" if case.codes else ""
    return (
        f"<tr><th scope='row'><bdi>{key}</bdi>{codes}</th><td>{case.likeness:.3f}</td>"
        f"<td>{_likeliest(case.birads)}</td><td>{_likeliest(case.density)}</td></tr>"
    )


def _likeliest(probabilities: Mapping[str, float]) -> str:
    if not probabilities:
        return "<small>not said</small>"
    name = max(probabilities, key=lambda key: probabilities[key])
    return f"{escape(name)} <small>{100 * probabilities[name]:.0f} %</small>"
