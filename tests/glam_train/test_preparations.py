"""Each preset names how its images are prepared; another cache is refused with the command that prepares them so."""

import json
import shlex
from dataclasses import replace

import pytest

from glam.config import FrameConfig
from glam_train.cli import main
from glam_train.data.cache import read_cache
from glam_train.presets import PRESETS, describe_preset, preset
from glam_train.presets.frames import PREPARATIONS, mama_frame, mammo_clip_frame, preparation_of, told_preparation
from glam_train.pretraining.run_folder import RunError, check_fit

NAMED = {
    "tiny": "glam-paper",
    "glam": "glam",
    "glam-paper": "glam-paper",
    "glam-official": "glam-official",
    "mama-bert": "mama",
    "clip": "mama",
    "clip-deit": "mama",
    "slip-official": "glam-official",
    "mammo-clip-b2": "mammo-clip",
    "mammo-clip-b5-train": "mammo-clip",
}


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_names_its_preparation_and_the_command(name):
    about = describe_preset(name)["preparation"]
    assert about["name"] in PREPARATIONS
    assert about["name"] == NAMED.get(name, about["name"])
    assert about["what"] == told_preparation(preset(name).model.frame)
    assert f"glam-train prepare --manifest MANIFEST --preset {name} --out FOLDER" == about["command"]


def test_a_preparation_is_known_at_any_size_and_grey_policy_and_no_other_is():
    for name, frame_of in PREPARATIONS.items():
        frame = frame_of((98, 56))
        assert preparation_of(frame) == name
        told = preparation_of(replace(frame, voi="breast"))  # of two that differ in this alone, the first
        assert replace(PREPARATIONS[told]((98, 56)), voi=frame.voi) == frame
    assert preparation_of(FrameConfig(kind="nipple_mm")) is None
    assert told_preparation(FrameConfig(kind="nipple_mm")).startswith("settings of your own: ")
    assert told_preparation(mammo_clip_frame()).startswith("mammo-clip: The breast's box stretched to 1520 rows x 912")


def test_mama_and_mammo_clip_are_prepared_as_their_papers_say():
    mama, mammo_clip = mama_frame(), mammo_clip_frame()
    assert (mama.size, mama.kind, mama.align_mlo, mama.mask_muscle) == (518, "isotropic", False, False)
    assert (mammo_clip.size, mammo_clip.kind) == ((1520, 912), "stretch")
    assert (mammo_clip.align_mlo, mammo_clip.mask_muscle) == (False, False)


@pytest.mark.parametrize("name", PRESETS)
def test_another_cache_is_refused_with_the_command_of_the_preset(name, toy_cache):
    of_files = replace(toy_cache, source={"kind": "manifest"})
    with pytest.raises(RunError, match=f"prepare another one with .*prepare-phantoms --preset {name} --out FOLDER$"):
        check_fit(preset(name), toy_cache, preset_name=name)
    with pytest.raises(RunError, match=f" glam-train prepare --manifest MANIFEST --preset {name} --out FOLDER$"):
        check_fit(preset(name), of_files, preset_name=name)


def test_the_difference_is_named_and_nothing_else(toy_cache):
    with pytest.raises(RunError) as refused:
        check_fit(preset("mammo-clip-b2"), toy_cache)
    told = str(refused.value)
    assert told.startswith(
        "the cache was prepared for size 28 px, kind nipple_stretch, align_mlo True, mask_muscle True, voi header, the "
        "model takes size 1520 x 912 px, kind stretch, align_mlo False, mask_muscle False, voi voi_lut: "
    )
    assert "span_mm" not in told


def test_the_command_of_a_refusal_prepares_what_the_run_takes(toy_cache, tmp_path, capsys):
    """A preset with settings of one's own: the command says them as options."""
    config = preset("clip")
    frame = FrameConfig(size=(56, 42), kind="stretch", mask_muscle=False)
    model = replace(config.model, frame=frame, vision=replace(config.model.vision, image_size=(56, 42)))
    with pytest.raises(RunError) as refused:
        check_fit(replace(config, model=model), toy_cache, preset_name="slip-official")
    command = str(refused.value).partition("prepare another one with glam-train ")[2]
    options = shlex.split(command.replace("FOLDER", str(tmp_path / "cache")))
    assert options == [
        *("prepare-phantoms", "--preset", "slip-official", "--model.frame.size", "[56, 42]", "--out"),
        str(tmp_path / "cache"),
    ]
    assert main([*options, "--pairs", "1"]) == 0
    assert read_cache(tmp_path / "cache").frame == frame
    assert read_cache(tmp_path / "cache").squares(0).shape == (2, 56, 42)
    assert "prepared as glam-official: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--model.frame.kinds", "stretch"], 2, "did you mean --model.frame.kind?"),
        (["--learning-rate", "1"], 2, "there is no option --learning-rate"),
        (["--model.frame.size", "[1, 2, 3]"], 1, "model.frame.size is [1, 2, 3]: give a whole number or a list such"),
        (["--model.frame.size", "10"], 1, "size 10 is smaller than one patch"),
    ],
)
def test_an_option_that_is_none_of_the_frame_is_refused(tmp_path, capsys, options, code, message):
    assert main(["prepare-phantoms", "--pairs", "1", "--out", str(tmp_path / "cache"), *options]) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


def test_presets_prints_the_preparation(capsys):
    assert main(["presets", "mammo-clip-b2"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["preparation"]["name"] == "mammo-clip"
    assert told["settings"]["model"]["frame"]["size"] == [1520, 912]
