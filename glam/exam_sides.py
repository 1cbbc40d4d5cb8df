"""The images of one side of an exam: which two of them are used, and why each other one is not."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from glam.config import FrameConfig
from glam.findings import InputError
from glam.mapping import Mapper
from glam.pair import ChosenViews, PreparedBreast, choose_views, prepare_breast
from glam.view import View, ViewName


class LeftOut(NamedTuple):
    """An image that is not used, and why."""

    image: int
    """Its number in the request, from 1."""
    code: str
    message: str


class PreparedSide(NamedTuple):
    """One breast of an exam, and the numbers of its images; None: no image of it can be used."""

    prepared: PreparedBreast | None
    images: tuple[tuple[int, ViewName], ...]


def prepare_side(
    config: FrameConfig, views: Mapping[int, View], left_out: list[LeftOut], prompts: Sequence[str], mapper: Mapper
) -> PreparedSide:
    """Choose and prepare the images of one breast; whatever is not used is added to `left_out`.

    An image that preparation refuses is left out, and the choice is made again among the others.
    """
    remaining = dict(views)
    while remaining:
        chosen = _choose(remaining)
        try:
            breast = prepare_breast(config, chosen.cc, chosen.mlo, prompts=prompts, mapper=mapper)
        except InputError as error:
            refused = chosen.cc if error.where == "cc" else chosen.mlo
            image = _number_of(refused, remaining)
            left_out.append(LeftOut(image, error.code, error.message))
            del remaining[image]
            continue
        return _with_the_rest(breast, chosen, remaining, left_out)
    return PreparedSide(None, ())


def _with_the_rest(
    breast: PreparedBreast, chosen: ChosenViews, views: Mapping[int, View], left_out: list[LeftOut]
) -> PreparedSide:
    """Return a prepared breast; the images that lost to the chosen ones are added to `left_out`."""
    numbers = {_number_of(view, views): view for view in (chosen.cc, chosen.mlo) if view is not None}
    for image, view in views.items():
        if image not in numbers:
            taken = next(number for number, other in numbers.items() if other.view == view.view)
            message = f"image {taken} shows the same view, and was taken"
            left_out.append(LeftOut(image, "same_view_twice", message))
    images: tuple[tuple[int, ViewName], ...] = tuple((image, view.view) for image, view in numbers.items())
    return PreparedSide(breast, images)


def _choose(views: Mapping[int, View]) -> ChosenViews:
    """Choose the views of a breast, the same ones in whatever order they come."""
    if len({view.view for view in views.values()}) == len(views):
        return choose_views(list(views.values()))
    return choose_views(sorted(views.values(), key=_content))


def _content(view: View) -> tuple[bytes, str]:
    """Return what tells two images apart by what is in them."""
    header = (view.spacing_mm, view.orientation, view.modifiers, view.partial, view.synthetic)
    return sha256(view.pixels.tobytes()).digest(), repr(header)


def _number_of(view: View | None, views: Mapping[int, View]) -> int:
    return next(image for image, other in views.items() if other is view)
