"""Who is in a cache of a manifest's images, in counts, for provenance and model card: no id, no date but the year."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

UNKNOWN = "unknown"


def cohort_of(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the cohort of cache records as JSON types; a count of "unknown" where a cell was empty.

    Ages are told by percentiles, so that no single patient's is.
    """
    facts = [record["facts"] for record in records]
    about = [record.get("cohort", {}) for record in records]  # caches of before 2026-11-28 have none
    ages = [fact["age"] for fact in facts if fact.get("age") is not None]
    percentiles = np.percentile(ages, [5, 50, 95]).round().astype(int).tolist() if ages else None
    return {
        "patients": len({record["patient_id"] for record in records}),
        "exams": len({(record["patient_id"], record.get("exam_id")) for record in records}),
        "breasts": len(records),
        "age_percentiles_5_50_95": percentiles,
        "age_unknown": len(records) - len(ages),
        "years": _counts(one.get("year") for one in about),
        "vendors": _counts(one.get("manufacturer") for one in about),
        "sites": _counts(one.get("site") for one in about),
        "image_types": _counts(fact.get("image_type") for fact in facts),
        "race": _counts(fact.get("race") for fact in facts),
        "density": _counts(fact.get("density") for fact in facts),
        "birads": _counts(fact.get("birads") for fact in facts),
    }


def _counts(values: Iterable[Any]) -> dict[str, int]:
    counts = Counter(UNKNOWN if value in ("", None) else str(value) for value in values)
    return {name: counts[name] for name in sorted(counts, key=lambda name: (name == UNKNOWN, name))}
