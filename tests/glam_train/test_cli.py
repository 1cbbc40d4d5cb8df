import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from glam.config import AlignmentConfig
from glam.licence import checkpoint_provenance
from glam.settings import leaves
from glam_train.cli import main
from glam_train.command_line import as_option
from glam_train.commands import Pretrain
from glam_train.config import changed_config
from glam_train.data.cache import read_cache
from glam_train.methods.glam_settings import GlamPaperSettings
from glam_train.presets import PRESETS, preset
from glam_train.pretraining.run_folder import checkpoints, read_run

GOLDEN = Path(__file__).parents[1] / "golden"


def test_a_released_checkpoint_is_imported_by_the_printed_command(tmp_path):
    from glam.model.checkpoint import load_checkpoint

    heads = ["--vision-heads", "6", "--text-heads", "4"]
    words = ["--tokenizer", str(GOLDEN / "vocab.txt"), "--out", str(tmp_path / "model")]
    assert main(["import-official", str(GOLDEN / "official.ckpt"), *words, *heads]) == 0
    assert load_checkpoint(tmp_path / "model").config.alignment.pooling == "free"


def test_a_failed_run_ends_with_1_and_one_sentence(tmp_path, capsys):
    assert main(["pretrain", "--cache", str(tmp_path), "--out", str(tmp_path / "run")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("no prepared cache at")
    assert captured.err.count("\n") == 1


def test_a_wrong_command_line_ends_with_2():
    assert main(["prepare", "--no-such-option"]) == 2
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "--no-such-option"])
    assert stop.value.code == 2
    with pytest.raises(SystemExit) as stop:
        main(["pretrain", "--cache", "nowhere"])
    assert stop.value.code == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--lerning-rate", "1"], "there is no option --lerning-rate: did you mean --learning-rate?"),
        (
            ["--model.alignment.sied=4"],
            "there is no option --model.alignment.sied: did you mean --model.alignment.side?",
        ),
        (["--preset", "tinny"], "there is no preset tinny: did you mean tiny? (`glam-train presets` lists them)"),
        (["--rotate-deg", "0"], "there is no option --rotate-deg: did you mean --image.rotate-deg?"),
        (["--zzzz"], "there is no option --zzzz: --help lists them"),
        (["--steps"], "--steps has no value: give one after it"),
        (["--steps", "--resume"], "--steps has no value: give one after it"),
        (["--steps", "1", "--steps", "2"], "--steps is given twice: leave one of the two out"),
        (["--model.alignment", "none", "--model.alignment.side", "4"], "--model.alignment.side is part of what is"),
    ],
)
def test_an_option_that_there_is_not_is_answered_with_the_nearest_in_one_line(capsys, options, message):
    assert main(["pretrain", "--cache", "nowhere", "--out", "nowhere", *options]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(message)
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_a_run_is_started_resumed_and_told_by_commands(tmp_path, toy_cache, toy_config, monkeypatch, capsys):
    import glam_train.data.cache

    monkeypatch.setitem(PRESETS, "tiny", lambda: replace(toy_config, warmup_steps=0))
    monkeypatch.setattr(glam_train.data.cache, "read_cache", lambda folder: toy_cache)
    command = Pretrain(
        cache=tmp_path, out=tmp_path / "run", preset="tiny", settings={"steps": 3}, stop_after_s=0.0, device="cpu"
    )
    command.run()
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["step-0000001"]
    replace(command, resume=True, stop_after_s=None).run()
    assert capsys.readouterr().out.splitlines()[-1].endswith("step-0000003")
    with pytest.raises(ValueError, match="has batch_size 2, not 1: a resumed run keeps its own"):
        replace(command, resume=True, settings={"batch_size": 1}).run()
    config = read_run(tmp_path / "run").config
    assert (config.steps, config.batch_size) == (3, toy_config.batch_size)
    capsys.readouterr()
    assert main(["provenance", "--run-folder", str(tmp_path / "run")]) == 0
    assert json.loads(capsys.readouterr().out)["updates"] == 3


def test_a_run_can_start_from_the_weights_and_words_of_a_checkpoint(tmp_path, toy_cache, toy_config, monkeypatch):
    import torch
    from safetensors.torch import load_file

    import glam_train.data.cache

    monkeypatch.setitem(PRESETS, "tiny", lambda: replace(toy_config, warmup_steps=0))
    monkeypatch.setattr(glam_train.data.cache, "read_cache", lambda folder: toy_cache)
    first = Pretrain(cache=tmp_path, out=tmp_path / "first", preset="tiny", settings={"steps": 2}, device="cpu")
    first.run()
    start = checkpoints(tmp_path / "first")[-1]
    replace(first, out=tmp_path / "second", start_from=start, settings={"steps": 2, "learning_rate": 0.0}).run()
    before = load_file(start / "weights.safetensors")
    after = load_file(checkpoints(tmp_path / "second")[-1] / "weights.safetensors")
    moved = max(float((after[name] - before[name]).abs().max()) for name in before)
    assert moved < 1e-6  # only min_learning_rate is left
    assert torch.isfinite(torch.tensor(moved))
    assert (tmp_path / "second" / "tokenizer.json").read_text() == (start / "tokenizer.json").read_text()


def test_a_model_takes_the_grey_policy_of_its_cache_and_keeps_it(tmp_path, toy_cache, toy_config, monkeypatch):
    import glam_train.data.cache
    from glam.model.checkpoint import load_checkpoint

    by_range = replace(toy_cache, frame=replace(toy_cache.frame, voi="minmax"))
    caches = {"plain": toy_cache, "range": by_range}
    monkeypatch.setitem(PRESETS, "tiny", lambda: replace(toy_config, warmup_steps=0))
    monkeypatch.setattr(glam_train.data.cache, "read_cache", lambda folder: caches[folder.name])
    command = Pretrain(cache=Path("range"), out=tmp_path / "run", preset="tiny", settings={"steps": 1}, device="cpu")
    command.run()
    (last,) = checkpoints(tmp_path / "run")
    assert load_checkpoint(last).config.frame.voi == "minmax"
    replace(command, resume=True).run()
    replace(command, out=tmp_path / "next", start_from=last).run()
    with pytest.raises(ValueError, match=r"for voi header, the model takes voi minmax: .* --model\.frame\.voi minmax"):
        replace(command, out=tmp_path / "other", start_from=last, cache=Path("plain")).run()
    with pytest.raises(ValueError, match="the cache was prepared for"):
        replace(command, resume=True, cache=Path("plain")).run()


@pytest.mark.usefixtures("toy_preset")
def test_the_command_line_wins_over_the_file_and_the_file_over_the_preset(tmp_path):
    (tmp_path / "some.json").write_text(json.dumps({"learning_rate": 0.25, "model": {"alignment": {"slice_heads": 1}}}))
    options = ["--config", tmp_path / "some.json", "--learning-rate", ".5", "--model.alignment.side=2", "--steps", 1]
    options += ["--method", "glam_paper", "--method.same-position", "false", "--clip-norm", "none", "--seed", 7]
    command = ["pretrain", "--cache", tmp_path, "--preset", "tiny", "--device", "cpu"]
    assert main([str(argument) for argument in [*command, "--out", tmp_path / "run", *options]]) == 0
    config = read_run(tmp_path / "run").config
    assert (config.learning_rate, config.steps, config.clip_norm, config.seed) == (0.5, 1, None, 7)
    assert config.method == GlamPaperSettings(same_position=False)
    assert config.model.alignment == AlignmentConfig(side=2, pooling_heads=2, slice_heads=1)
    whole = ["--out", tmp_path / "again", "--config", tmp_path / "run" / "config.json"]
    assert main([str(argument) for argument in [*command, *whole]]) == 0
    assert read_run(tmp_path / "again").config == config


@pytest.mark.usefixtures("toy_preset")
def test_a_file_that_holds_no_settings_is_refused_with_the_nearest_name(tmp_path, capsys):
    command = ["pretrain", "--cache", tmp_path, "--out", tmp_path / "run", "--preset", "tiny", "--config"]
    for content, message in {
        "[1]": "is no JSON object of settings",
        '{"model": {"vision": {"deph": 2}}}': "unknown setting model.vision.deph: did you mean depth?",
        '{"model": 3}': "model is 3: give a JSON object",
        '{"steps": true}': "steps is true: give a whole number",
        '{"views": null}': "views is None: give a JSON object",
    }.items():
        (tmp_path / "settings.json").write_text(content)
        assert message in refusal(capsys, *command, tmp_path / "settings.json")
    assert not (tmp_path / "run").exists()


def test_help_of_pretrain_shows_the_values_of_the_preset_and_of_the_options_so_far(capsys):
    for name in ("glam", "tiny"):
        with pytest.raises(SystemExit) as stop:
            main(["pretrain", "--preset", name, "--image.noise", "0.125", "--help"])
        assert stop.value.code == 0
        told = re.sub(r"[\s│|]+", " ", capsys.readouterr().out)
        options = dict(re.findall(r" (--[a-z][\w.-]*) (?:(?! --[a-z]).)*?\(default: ([^)]*)\)", told))
        shown = {as_option(key): value for key, value in leaves(preset(name).as_json()) if key != "method.name"}
        shown["--image.noise"] = 0.125
        del shown["--model.text.architecture"]  # an object of JSON
        quoted = {key: value.strip("'") for key, value in options.items()}
        assert {key: quoted.get(key) for key in shown} == {key: str(value) for key, value in shown.items()}
        assert re.search(r"--batch-size INT[^-]*--accumulate INT", told)


def test_presets_are_listed_and_told_with_what_differs_from_the_paper(capsys):
    assert main(["presets"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == list(PRESETS)
    assert main(["presets", "glam"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["settings"] == json.loads(json.dumps(preset("glam").as_json()))
    assert told["differs"]["optimizer"] == {"glam-paper": "sgd", "glam": "adamw"}
    assert "steps" not in told["differs"]
    assert main(["presets", "glam-paper"]) == 0
    assert json.loads(capsys.readouterr().out)["differs"] == {}
    assert "unknown preset 'clap'" in refusal(capsys, "presets", "clap")


@pytest.mark.usefixtures("toy_preset")
def test_a_run_says_at_its_start_what_an_update_takes_and_what_it_starts_from(tmp_path, capsys):
    command = ["pretrain", "--cache", tmp_path, "--preset", "tiny", "--device", "cpu", "--steps", 3]
    first, second = [*command, "--out", tmp_path / "first"], [*command, "--out", tmp_path / "second"]
    assert main([*map(str, first), "--stop-after-s", "0"]) == 0
    said = capsys.readouterr().err
    assert "4 pairs an update (batch_size 2 x accumulate 2), 3 updates of 12 pairs (1 times each), method glam" in said
    assert "from random weights (seed 42)" in said
    assert main([*map(str, first), "--resume"]) == 0
    assert "on from step-0000001 of 1 updates" in capsys.readouterr().err
    (*_, start) = checkpoints(tmp_path / "first")
    for option, told in {(): "with its heads", ("--model-only",): "its model alone, heads from seed 42"}.items():
        out = [*second[:-1], tmp_path / f"from{len(option)}"]
        assert main([*map(str, out), "--start-from", str(start), *option]) == 0
        assert f"from {start} ({told})" in capsys.readouterr().err


@pytest.mark.usefixtures("toy_preset")
def test_a_cache_of_phantoms_that_evaluation_is_held_out_on_is_not_trained_on(tmp_path, capsys, toy_cache, monkeypatch):
    held_out = replace(toy_cache, source={"kind": "phantoms", "seed": 91_000_500})
    monkeypatch.setattr("glam_train.data.cache.read_cache", lambda folder: held_out)
    said = refusal(capsys, "pretrain", "--cache", tmp_path, "--out", tmp_path / "run", "--preset", "tiny")
    assert "seed 91000500 draws phantoms that evaluation keeps for itself" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("toy_preset")
def test_a_run_on_damaged_pixels_leaves_no_folder(tmp_path, capsys, toy_cache, monkeypatch):
    shards = [np.array(toy_cache.shards[0])]
    shards[0][3] = 0
    monkeypatch.setattr("glam_train.data.cache.read_cache", lambda folder: replace(toy_cache, shards=shards))
    said = refusal(capsys, "pretrain", "--cache", tmp_path, "--out", tmp_path / "run", "--preset", "tiny")
    assert "shard-00000.npy is damaged: the pixels of" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("toy_preset")
def test_a_setting_that_may_change_begins_a_phase_of_a_resumed_run(tmp_path, capsys):
    run = tmp_path / "run"
    command = ["pretrain", "--cache", tmp_path, "--out", run, "--preset", "tiny", "--device", "cpu"]
    assert main([*map(str, command), "--steps", "4", "--stop-after-s", "0"]) == 0
    capsys.readouterr()
    change = ["--resume", "--learning-rate", "1e-5", "--precision", "fp16-mixed", "--steps", "3"]
    assert main([*map(str, command), *change]) == 0
    assert "from update 1 on: " in (said := capsys.readouterr().err)
    assert "steps 3 (was 4)" in said
    kept = read_run(run)
    assert (kept.config.steps, kept.config.learning_rate, kept.config.precision) == (3, 1e-5, "fp16-mixed")
    (phase,) = kept.phases
    assert phase["from_step"] == 1
    assert phase["changes"]["steps"] == {"was": 4, "is": 3}
    assert set(phase["changes"]) == {"steps", "learning_rate", "precision"}
    assert checkpoint_provenance(checkpoints(run)[-1])["phases"] == [phase]
    assert main([*map(str, command), *change]) == 0  # the same again changes nothing
    assert len(read_run(run).phases) == 1
    capsys.readouterr()
    said = refusal(capsys, *command, "--resume", "--model.alignment.side", 1, "--learning-rate", 1)
    assert f"the run at {run} has model.alignment.side 2, not 1: a resumed run keeps its own" in said
    assert "has made 3 updates: give --steps of 3 or more" in refusal(capsys, *command, "--resume", "--steps", 2)
    assert read_run(run).config == kept.config


@pytest.mark.usefixtures("toy_preset")
def test_a_run_that_starts_from_a_checkpoint_refuses_another_model_than_its_own(tmp_path, capsys):
    command = ["pretrain", "--cache", tmp_path, "--preset", "tiny", "--device", "cpu", "--steps", 1]
    assert main([*map(str, command), "--out", str(tmp_path / "first")]) == 0
    capsys.readouterr()
    start = ["--out", tmp_path / "second", "--start-from", checkpoints(tmp_path / "first")[-1]]
    said = refusal(capsys, *command, *start, "--model.alignment.side", 1)
    assert "has alignment.side 2, not 1: a run that starts from a checkpoint keeps its" in said


HEADER = "image_id,patient_id,exam_id,laterality,view,path,split\n"
ROWS = "i1,p,e,L,CC,a.dcm,train\ni2,p,e,L,MLO,b.dcm,train\n"


def refusal(capsys, *arguments) -> str:
    """What a command says that ends with 1: no traceback, nothing on stdout."""
    assert main([str(argument) for argument in arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, "none.csv cannot be read: No such file or directory"),
        ("table.txt", HEADER.encode(), "is neither .csv nor .parquet: save the table as one of them"),
        ("empty.csv", b"", "cannot be read: No columns to parse"),
        ("header.csv", HEADER.encode(), "has no image of split train: it has no row"),
        ("few.csv", b"image_id,view\n1,CC\n", "lacks the columns patient_id, exam_id, laterality, path: add them"),
        ("semicolons.csv", (HEADER + ROWS).replace(",", ";").encode(), "separate the columns by commas"),
        ("utf16.csv", (HEADER + ROWS).encode("utf-16"), "save it as UTF-8"),
        ("twice.csv", (HEADER + ROWS + ROWS).encode(), "row 3, image_id: 2 rows have it: give each image one row"),
        (
            "val.csv",
            (HEADER + ROWS).replace("train", "val").encode(),
            "no image of split train: its column split holds val",
        ),
        ("lone.csv", (HEADER + ROWS.splitlines()[0]).encode(), "none with a CC and an MLO image"),
        ("nul.csv", (HEADER + ROWS).replace("a.dcm", "a\0.dcm").encode(), "row 1, path: holds a NUL character"),
    ],
)
def test_a_manifest_that_cannot_be_prepared_is_refused_before_a_cache_is_made(tmp_path, capsys, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    said = refusal(capsys, "prepare", "--manifest", tmp_path / name, "--out", tmp_path / "cache", "--preset", "tiny")
    assert message in said
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_a_manifest_with_bom_crlf_and_a_suffix_in_capitals_is_read(tmp_path, capsys):
    (tmp_path / "A.CSV").write_bytes(("\ufeff" + HEADER + ROWS).replace("\n", "\r\n").encode())
    said = refusal(capsys, "prepare", "--manifest", tmp_path / "A.CSV", "--out", tmp_path / "c", "--preset", "tiny")
    assert "holds no pair: none of its files could be used" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pairs", 0], "pairs is 0: give 1 or more"),
        (["--pairs", 1, "--workers", 0], "workers is 0: give 1 or more"),
        (["--pairs", 1, "--seed", -1], "seed is -1: give a whole number from 0 to"),
        (["--pairs", 1, "--seed", 91_000_000], "seed 91000000 draws phantoms that evaluation keeps for itself"),
        (["--pairs", 9, "--seed", 90_999_992], "seed 90999992 draws phantoms that evaluation keeps for itself"),
    ],
)
def test_phantoms_that_cannot_be_drawn_are_refused_before_a_cache_is_made(tmp_path, capsys, options, message):
    assert message in refusal(capsys, "prepare-phantoms", "--out", tmp_path / "cache", *options)
    assert not (tmp_path / "cache").exists()


def test_a_path_that_cannot_be_written_is_named_with_the_reason(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    said = refusal(capsys, "prepare-phantoms", "--out", tmp_path / "file" / "cache", "--pairs", 1)
    assert said.splitlines()[-1] == f"{tmp_path / 'file' / 'cache'}: Not a directory"


@pytest.fixture
def toy_preset(toy_cache, toy_config, monkeypatch):
    """The toy settings as `tiny`, and the toy cache wherever one is read."""
    monkeypatch.setitem(PRESETS, "tiny", lambda: replace(toy_config, warmup_steps=0))
    monkeypatch.setattr("glam_train.data.cache.read_cache", lambda folder: toy_cache)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", 0], "steps is 0: give 1 or more"),
        (
            ["--batch-size", 7],
            "the cache holds 12 pairs, an update takes 14 (batch_size 7 x accumulate 2): give --batch-size 6",
        ),
        (["--learning-rate", "nan"], 'learning_rate is "nan": give a number\n'),
        (["--learning-rate", "high"], 'learning_rate is "high": give a number\n'),
        (["--steps", "1.5"], "steps is 1.5: give a whole number\n"),
        (["--decay-all", "1"], "decay_all is 1: give true or false\n"),
        (["--clip-norm", "much"], 'clip_norm is "much": give a number or none\n'),
        (["--optimizer", "adam"], 'optimizer is "adam": give one of adamw, sgd\n'),
        (["--method", "clap"], "unknown method 'clap': expected one of glam, glam_paper, glam_official"),
        (["--model.alignment", "9"], "model.alignment is '9': give model.alignment.side or another part of it"),
        (["--method", "glam_paper", "--method.view-weight", "1"], "unknown setting method.view_weight"),
        (["--model.vision.image-size", "56"], "vision.image_size 56 is not frame.size 28"),
        (
            ["--model.vision.image-size", "[28, 42]", "--model.frame.size", "[28,42]"],
            "the alignment module takes a square of whole patches of 14 px, not 28 x 42: set ",
        ),
        (["--model.alignment", "none"], "glam needs the alignment module"),
        (["--method", "clip"], "clip does not compare CC with MLO: set model.alignment to none"),
        (["--method.moco-weight", "1", "--negatives", "micro_batch"], "set negatives to update"),
        (["--device", "gpu"], "device gpu cannot be used: "),
        (["--model-only"], "--model-only takes the model of a checkpoint alone: give it with --start-from"),
        (["--config", "nowhere.json"], "nowhere.json: No such file or directory"),
        (["--save-every", 0], "save_every and log_every count updates"),
        (["--stop-after-s", "nan"], "stop_after_s is nan"),
        (["--tokenizer", "nowhere.json"], "no tokenizer at nowhere.json"),
        (["--start-from", "nowhere"], "no checkpoint at nowhere: give a folder such as"),
    ],
)
@pytest.mark.usefixtures("toy_preset")
def test_a_run_that_cannot_be_started_leaves_no_folder(tmp_path, capsys, options, message):
    run = tmp_path / "run"
    assert message in refusal(capsys, "pretrain", "--cache", tmp_path, "--out", run, "--preset", "tiny", *options)
    assert not run.exists()


@pytest.mark.usefixtures("toy_preset")
def test_a_resumed_run_refuses_another_preset_start_or_tokenizer_and_takes_its_own(tmp_path, capsys):
    command = ["pretrain", "--cache", tmp_path, "--out", tmp_path / "run", "--device", "cpu"]
    assert main([*map(str, command), "--preset", "tiny", "--steps", "1"]) == 0
    capsys.readouterr()
    assert "holds a run: continue it with --resume" in refusal(capsys, *command, "--preset", "tiny")
    assert "has preset tiny, not glam" in refusal(capsys, *command, "--resume", "--preset", "glam")
    assert "has start_from None, not " in refusal(capsys, *command, "--resume", "--start-from", tmp_path)
    other = ["--tokenizer", GOLDEN / "vocab.txt"]
    assert "another tokenizer than" in refusal(capsys, *command, "--resume", *other)
    own = ["--preset", "tiny", "--tokenizer", tmp_path / "run" / "tokenizer.json", "--steps", "1"]
    assert main([str(argument) for argument in [*command, "--resume", *own]]) == 0


def test_figures_that_could_not_be_written_are_refused_before_anything_is_measured(tmp_path, capsys):
    command = ["evaluate", "--bundle", tmp_path / "none", "--cache", tmp_path / "none", "--out"]
    assert "is a folder: give a file to write" in refusal(capsys, *command, tmp_path)
    assert "make it or give another path" in refusal(capsys, *command, tmp_path / "no" / "figures.json")
    assert "exams is 0" in refusal(capsys, *command, tmp_path / "figures.json", "--exams", 0)


def test_a_cache_without_phantoms_is_not_evaluated_on(tmp_path, capsys, toy_cache, monkeypatch):
    monkeypatch.setattr("glam_train.data.cache.read_cache", lambda folder: toy_cache)
    command = ["evaluate", "--bundle", tmp_path, "--cache", tmp_path, "--out", tmp_path / "figures.json"]
    assert "holds no phantoms: give one of glam-train prepare-phantoms" in refusal(capsys, *command)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is no checkpoint of plain tensors"),
        ({"weights": 1}, "has no state_dict"),
        ({"state_dict": [1]}, "has no state_dict"),
        ({"state_dict": {"a": 1}}, "has a, which is no tensor"),
        ({"state_dict": {}, "hyper_parameters": [1]}, "hyper_parameters that are no dictionary"),
        ({"state_dict": {}}, "it is not of the released GLAM"),
    ],
)
def test_a_file_that_is_no_released_checkpoint_is_refused(tmp_path, capsys, content, message):
    import torch

    file = tmp_path / "model.ckpt"
    file.write_bytes(b"")
    if content is not None:
        torch.save(content, file)
    words = ["--tokenizer", GOLDEN / "vocab.txt", "--text-heads", 4, "--out", tmp_path / "model"]
    assert message in refusal(capsys, "import-official", file, *words, "--vision-heads", 6)
    assert "vision_heads is 0" in refusal(capsys, "import-official", file, *words, "--vision-heads", 0)


def test_heads_are_held_to_what_a_file_tells_and_a_folder_that_is_there_is_kept(tmp_path, capsys):
    words = ["--tokenizer", GOLDEN / "vocab.txt", "--out", tmp_path / "model"]
    command = ["import-official", GOLDEN / "official.ckpt", *words]
    said = refusal(capsys, *command, "--vision-heads", 5, "--text-heads", 4)
    assert "--vision-heads is 5, the tower is" in said
    assert "--text-heads is 7, the tower is" in refusal(capsys, *command, "--vision-heads", 6, "--text-heads", 7)
    assert main([str(argument) for argument in [*command, "--vision-heads", "4", "--text-heads", "4"]]) == 0
    assert "--vision-heads 4 makes heads of" in capsys.readouterr().err
    before = (tmp_path / "model" / "config.json").read_bytes()
    said = refusal(capsys, *command, "--vision-heads", 6, "--text-heads", 4)
    assert "is there already, and is not overwritten: give a new --out" in said
    assert (tmp_path / "model" / "config.json").read_bytes() == before


def test_a_cache_is_prepared_as_the_model_of_a_checkpoint_takes_images(tmp_path, capsys):
    frame = {"size": 84, "kind": "stretch", "align_mlo": False}
    vision = {"image_size": 84, "embed_dim": 8, "num_heads": 2}
    config = changed_config(preset("glam-official"), {"model": {"frame": frame, "vision": vision}}).model
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps(config.as_json()))
    command = ["prepare-phantoms", "--pairs", 1, "--out", tmp_path / "cache", "--checkpoint", tmp_path / "model"]
    assert "leave out --preset and --voi" in refusal(capsys, *command, "--preset", "tiny")
    assert main([str(argument) for argument in command]) == 0
    assert read_cache(tmp_path / "cache").frame == config.frame
    assert config.frame.size == 84
