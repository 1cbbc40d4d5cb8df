"""The cohort of a cache, in counts."""

import pandas as pd

from glam_train.data.cohort import cohort_of
from glam_train.data.pairs import manifest_record


def row(patient: str, **changes) -> dict:
    text = dict.fromkeys(["procedure", "reason", "race", "ethnicity", "image_type", "findings", "density", "site"], "")
    ids = {"image_id": patient + "i", "patient_id": patient, "exam_id": "e", "laterality": "L", "view": "CC"}
    unknown = {"age": pd.NA, "birads": pd.NA, "cancer": pd.NA, "manufacturer": "", "study_date": ""}
    return text | ids | unknown | changes


def test_a_cohort_is_counted_without_ids_and_with_what_is_unknown():
    known = {"age": 50, "birads": 2, "density": "b", "manufacturer": "Hologic", "site": "north"}
    rows = [row("p1", **known, study_date="2019-04-01"), row("p1"), row("p2", **known | {"age": 60})]
    cohort = cohort_of([manifest_record(one) for one in rows])
    assert (cohort["patients"], cohort["exams"], cohort["breasts"]) == (2, 2, 3)
    assert cohort["years"] == {"2019": 1, "unknown": 2}
    assert cohort["vendors"] == {"Hologic": 2, "unknown": 1}
    assert cohort["sites"] == {"north": 2, "unknown": 1}
    assert cohort["birads"] == {"2": 2, "unknown": 1}
    assert cohort["age_percentiles_5_50_95"] == [50, 55, 60]
    assert cohort["age_unknown"] == 1
    assert not any(name in str(cohort) for name in ("p1", "p2", "04"))


def test_the_label_that_no_report_tells_stands_in_the_record():
    assert manifest_record(row("p", cancer=1))["labels"] == {"cancer": 1}
    assert manifest_record(row("p"))["labels"] == {"cancer": None}
