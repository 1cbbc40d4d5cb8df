"""Images that a PACS failed to give are asked for again by the next run, and nothing else is."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from glam.bundle import Bundle
from glam.store.schema import StoreError
from glam.store.verify import verify_store
from glam_serve.cohort.faults import TRIED_AGAIN
from glam_serve.cohort.items import STORAGE_FAILED
from glam_serve.cohort.plan import Plan
from glam_serve.cohort.run_command import Run
from glam_serve.pacs.troubles import REFUSALS
from tests.samples.pacs import Reply, StandIn, stand_in
from tests.samples.stores import plan_of


@pytest.fixture
def pacs(mammograms: dict[str, Path]) -> Iterator[StandIn]:
    with stand_in([mammograms[name] for name in ("L_CC", "L_MLO")]) as running:
        yield running


def fail(pacs: StandIn, place: int) -> None:
    """Answer with errors where an image is asked for."""
    uid = str(pacs.headers[place].SOPInstanceUID)
    pacs.rule = lambda asked: Reply(500) if asked.path.endswith(uid) else None


def run(bundle: Bundle, pacs: StandIn, out: Path, capsys: pytest.CaptureFixture[str], **options) -> tuple[int, dict]:
    pacs.asked.clear()
    code = Run(dicomweb=pacs.url, out=out, bundle=bundle.folder, threads=1, pacs_timeout_s=20.0, **options).run()
    return code, json.loads(capsys.readouterr().out)


def test_an_image_that_the_pacs_failed_to_give_is_asked_for_by_the_next_run_alone(
    pacs: StandIn, random_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    store = tmp_path / "store"
    fail(pacs, 0)
    code, summary = run(random_bundle, pacs, store, capsys)
    assert (code, summary["embedded"], summary["rejected"]) == (3, 1, {"pacs_failed": 1})
    fail(pacs, 1)  # the other view of the breast, which was there before
    code, summary = run(random_bundle, pacs, store, capsys)
    assert (code, summary["embedded"], summary["rejected"]) == (3, 1, {"pacs_failed": 1})
    pacs.rule = lambda asked: None
    assert run(random_bundle, pacs, store, capsys, dry_run=True)[1]["items_to_do"] == 1
    code, summary = run(random_bundle, pacs, store, capsys)
    assert (code, summary["embedded"], summary["rejected"], summary["complete"]) == (0, 2, {}, True)
    assert verify_store(store).problems == ()
    assert run(random_bundle, pacs, store, capsys)[0] == 0
    assert pacs.fetched() == []


def test_the_other_items_of_its_shard_are_left_alone(tmp_path: Path):
    table = plan_of(["e1", "e2", "e3"])
    plan = Plan(table=table, root=tmp_path, level="breast", num_new=0, num_gone=0, again={0: frozenset({("e2", "L")})})
    shards = list(plan.shards(plan.marks("key")))
    assert [(shard.amends, [item.key[0] for item in shard.items]) for shard in shards] == [
        (True, ["e2"]),
        (False, ["e3"]),
    ]


def test_what_nobody_can_find_any_more_is_not_tried_again_and_stops_no_run(tmp_path: Path):
    """As where the PACS has deleted a study, and somebody the file that says where its images were."""

    def forgotten(path: str) -> str:
        if path.startswith("e2"):
            raise StoreError("store_damaged", "nobody knows")
        return path

    plan = Plan(table=plan_of(["e1", "e2"]), root=tmp_path, level="breast", num_new=0, num_gone=0, locate=forgotten)
    with pytest.raises(StoreError):
        list(plan.shards(plan.marks("key")))
    again = replace(plan, again={0: frozenset({("e2", "L")})})
    assert list(again.shards(again.marks("key"))) == []
    again = replace(plan, again={0: frozenset({("e1", "L"), ("e2", "L")})})
    assert [item.key[0] for shard in again.shards(again.marks("key")) for item in shard.items] == ["e1"]


def test_codes_that_are_tried_again_are_faults_of_the_source():
    assert {"pacs_failed", "pacs_cut", "pacs_slow", STORAGE_FAILED} == TRIED_AGAIN
    assert TRIED_AGAIN - {STORAGE_FAILED} <= REFUSALS.keys()
