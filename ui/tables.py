"""Probabilities as tables a reader knows: classes in their order, the right breast on the left."""

from collections.abc import Mapping, Sequence
from html import escape

from glam.client_answers import Probabilities
from glam.client_vectors import WordsAnswer

from .answers import ViewerAnswer

TITLES = {"birads": "BI-RADS", "density": "Density"}


def butterfly(task: str, breasts: Mapping[str, Probabilities], *, calibrated: bool) -> str:
    """Return a table of a task's classes: bars of the right breast to the left of each class, of the left to the right.

    `breasts`: side -> class -> probability, in the model's order of classes. HTML.
    """
    classes = list(next(iter(breasts.values())))
    sides = [(side, breasts.get(side)) for side in ("R", "L")]
    rows = "".join(
        f"<tr>{_cell(sides[0], name)}<th scope='row'>{escape(name)}</th>{_cell(sides[1], name)}</tr>"
        for name in classes
    )
    state = "calibrated" if calibrated else "not calibrated: compare classes, do not read as frequencies"
    return (
        f"<table class='glam-butterfly'><caption>{escape(TITLES.get(task, task))} <small>{state}</small></caption>"
        f"<thead><tr><th scope='col'>right</th><th scope='col'>class</th><th scope='col'>left</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def exam_tables(answer: ViewerAnswer) -> str:
    """Return the tables of an exam, HTML."""
    calibrated = answer.calibrated
    tasks = {task: {side: getattr(breast, task) for side, breast in answer.breasts.items()} for task in TITLES}
    return "".join(butterfly(task, breasts, calibrated=calibrated) for task, breasts in tasks.items())


def words_table(answers: Sequence[WordsAnswer]) -> str:
    """Return a table of how each breast fits each sentence, and the words that the model does not know. HTML."""
    sides = [answer for side in ("R", "L") for answer in answers if answer.laterality == side]
    names = {"R": "right", "L": "left"}
    head = "".join(f"<th scope='col'>{names[answer.laterality or 'R']}</th>" for answer in sides)
    rows, unknown = list[str](), dict[str, None]()
    for sentence in sides[0].prompts:
        matches = [answer.prompts[sentence] for answer in sides]
        unknown |= dict.fromkeys(word for match in matches for word in match.unknown_words)
        cells = "".join(
            f"<td>{100 * match.probability:.0f} % <small>{match.similarity:+.3f}</small></td>" for match in matches
        )
        rows.append(f"<tr><th scope='row'>{escape(sentence)}</th>{cells}</tr>")
    words = ", ".join(f"<bdi>{escape(word)}</bdi>" for word in unknown)  # each in its own direction
    note = f"<p>Words that the model does not know: {words}.</p>" if unknown else ""
    return (
        "<table class='glam-words'><caption>share among these sentences, and cosine</caption>"
        f"<thead><tr><th scope='col'>sentence</th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>{note}"
    )


def _cell(of_side: tuple[str, Probabilities | None], name: str) -> str:
    side, probabilities = of_side
    if probabilities is None:
        return f"<td class='glam-{side}'>no image</td>"
    share = probabilities[name]
    return f"<td class='glam-{side}'><i style='--glam-share:{share:.3f}'></i><b>{100 * share:.0f} %</b></td>"
