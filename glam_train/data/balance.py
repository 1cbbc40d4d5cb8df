"""Updates that draw the classes of a label alike often: pure functions of seed and step."""

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from glam.words.labels import Label
from glam_train.config import BalancedLabel, PretrainConfig


def labels_of(records: Sequence[dict[str, Any]], label: BalancedLabel) -> list[Label | None]:
    """Return the label of each cache record, None where it has none."""
    if label == "cancer":  # no report tells it
        return [record.get("labels", {}).get(label) for record in records]
    values = [record["facts"].get(label) for record in records]
    return [None if value == "" else value for value in values]


def members_of(records: Sequence[dict[str, Any]], label: BalancedLabel, *, views: int) -> list[np.ndarray]:
    """Return the indices of each class, in order of the classes; of images, `views` are numbered a record."""
    labels = labels_of(records, label)
    classes: dict[Label, list[int]] = {}
    for index, own in enumerate(labels):
        if own is not None:
            classes.setdefault(own, []).extend(range(views * index, views * (index + 1)))
    return [np.array(classes[name]) for name in sorted(classes, key=str)]


def balanced_indices(step: int, members: Sequence[np.ndarray], *, count: int, seed: int) -> np.ndarray:
    """Return `count` different indices for update `step`, as many of each class as of any other, in random order.

    A class that has fewer than its share gives all that it has, and the others share the rest: no update holds an index
    twice, which would be its own negative.
    """
    rng = np.random.default_rng([seed, step, len(members)])
    quotas = even_quotas([len(own) for own in members], count, rng)
    drawn = [rng.choice(own, size=quota, replace=False) for own, quota in zip(members, quotas, strict=True)]
    return rng.permutation(np.concatenate(drawn))


def even_quotas(sizes: Sequence[int], count: int, rng: np.random.Generator) -> list[int]:
    """Share `count` out among classes, as evenly as their sizes allow; who gets one more is drawn."""
    room, quotas, left = np.array(sizes), np.zeros(len(sizes), int), count
    while left:
        has_room = np.flatnonzero(room > quotas)
        each = left // len(has_room)
        if not each:
            quotas[rng.permutation(has_room)[:left]] += 1
            break
        given = np.minimum(room[has_room] - quotas[has_room], each)
        quotas[has_room] += given
        left -= int(given.sum())
    return quotas.tolist()


def check_balance(records: Sequence[dict[str, Any]], config: PretrainConfig) -> None:
    """Say on stderr how many records each class has; ValueError where an update cannot be drawn from them."""
    if config.balance is None:
        return
    counts = Counter(labels_of(records, config.balance))
    unlabelled = counts.pop(None, 0)
    name, views = config.balance, config.images_per_record
    if len(counts) < 2:
        raise ValueError(f"the cache has {len(counts)} classes of {name}: give --balance a label that has 2 or more")
    if views * counts.total() < config.pairs_per_update:
        raise ValueError(
            f"{counts.total()} records of the cache have a {name}, an update takes {config.pairs_per_update}: give a"
            " smaller --batch-size, or --balance none"
        )
    told = ", ".join(f"{value}: {counts[value]}" for value in sorted(counts, key=str))
    left = f"; {unlabelled} without it are left out" if unlabelled else ""
    sys.stderr.write(f"updates draw alike often from the classes of {name} ({told}){left}\n")
