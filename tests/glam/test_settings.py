"""Dataclasses of nested dicts: unknown keys, wrong types, defaults, changes."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pytest

from glam.config import AlignmentConfig, ModelConfig, TextConfig, VisionConfig, model_config_from_json
from glam.settings import SettingError, Text, changed_leaves, merged, settings_from_json


@dataclass(frozen=True, kw_only=True)
class Inner:
    size: int = 3


@dataclass(frozen=True, kw_only=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    other: Inner | None = None
    scale: float | tuple[float, float] = 1.0
    names: tuple[str, ...] = ()
    free: dict[str, Any] | None = None
    kind: Literal["a", "none"] | None = "a"
    on: bool = False


WHOLE = asdict(Outer())


def test_what_was_written_is_read_and_a_list_is_a_tuple_again():
    content = Outer(scale=(1.0, 2.0), names=("x",), free={"deep": {"er": 1}}, other=Inner(size=1), kind=None)
    assert settings_from_json(Outer, asdict(content) | {"scale": [1.0, 2.0], "names": ["x"]}) == content


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sclae": 1}, "unknown setting sclae: did you mean scale?"),
        ({"inner": {"sise": 1}}, "unknown setting inner.sise: did you mean size?"),
        ({"inner": {"size": "3"}}, 'inner.size is "3": give a whole number'),
        ({"inner": {"size": True}}, "inner.size is true: give a whole number"),
        ({"inner": None}, "inner is None: give a JSON object"),
        ({"scale": [1.0]}, r"scale is \[1.0\]: give a number or a list such as \[a number, a number\]"),
        ({"scale": float("nan")}, "scale is NaN: give a number"),
        ({"scale": Text("nan")}, 'scale is "nan": give a number'),
        ({"scale": Text("1e400")}, "scale is Infinity: give a number"),
        ({"kind": "b"}, 'kind is "b": give one of a, none or none'),
        ({"on": 1}, "on is 1: give true or false"),
    ],
)
def test_a_key_or_a_value_that_is_none_of_the_fields_is_named(changes, message):
    with pytest.raises(SettingError, match=message):
        settings_from_json(Outer, merged(WHOLE, changes))


def test_a_scalar_that_is_left_out_has_its_default_and_a_part_must_be_there():
    assert settings_from_json(Outer, {"inner": {}, "other": None}) == Outer()
    with pytest.raises(SettingError, match=r"there is no model\.inner"):
        settings_from_json(Outer, {"other": None}, within="model.")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("scale", "4", 4.0),
        ("scale", ".5", 0.5),
        ("scale", "[1, 2]", (1, 2)),
        ("names", '["a"]', ("a",)),
        ("free", '{"Key": null}', {"Key": None}),
        ("free", "none", None),
        ("other", "None", None),
        ("kind", "a", "a"),
        ("on", "True", True),
    ],
)
def test_a_command_line_says_it_by_the_type_of_the_field(name, text, value):
    assert getattr(settings_from_json(Outer, merged(WHOLE, {name: Text(text)})), name) == value


def test_changes_reach_a_part_that_was_left_out_and_the_name_of_another_class_replaces():
    assert merged({"a": None, "b": 1}, {"a": {"c": 2}}) == {"a": {"c": 2}, "b": 1}
    assert merged({"m": {"name": "x", "k": 1}}, {"m": {"name": "y"}}) == {"m": {"name": "y"}}
    assert merged({"m": {"name": "x", "k": 1}}, {"m": {"name": "x", "l": 2}}) == {"m": {"name": "x", "k": 1, "l": 2}}
    assert changed_leaves({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == {"a.c": (2, 3)}


def test_bundles_of_before_are_read_without_the_key_that_is_retired():
    content = ModelConfig().as_json()
    assert model_config_from_json(content | {"view_projection": True}) == ModelConfig()
    with pytest.raises(ValueError, match=r"unknown setting model\.view_projektion"):
        model_config_from_json(content | {"view_projektion": True})


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        (VisionConfig, {"num_heads": 0}, "num_heads is 0: give 1 or more"),
        (VisionConfig, {"patch_size": 0}, "patch_size is 0: give 1 or more"),
        (VisionConfig, {"depth": -1}, "depth is -1: give 1 or more"),
        (VisionConfig, {"std": 0.0}, "std is 0.0: give a number above 0"),
        (TextConfig, {"num_heads": 0}, "num_heads is 0: give 1 or more"),
        (TextConfig, {"max_tokens": 0}, "max_tokens is 0: give 1 or more"),
        (TextConfig, {"dropout": 1.5}, "dropout is 1.5: give a share from 0 to below 1"),
        (AlignmentConfig, {"spread": 0.0}, "spread is 0.0: give a number above 0"),
        (AlignmentConfig, {"window": 0.0}, "window is 0.0: give a number above 0"),
        (ModelConfig, {"joint_dim": 0}, "joint_dim is 0: give 1 or more"),
        (ModelConfig, {"max_scale": 0.0}, "max_scale is 0.0: give a number above 0"),
        (
            ModelConfig,
            {"alignment": AlignmentConfig(slice_heads=5)},
            "vision.embed_dim 768 is not a multiple of alignment.slice_heads 5",
        ),
        (
            ModelConfig,
            {"alignment": AlignmentConfig(pooling_heads=5)},
            "vision.embed_dim 768 is not a multiple of alignment.pooling_heads 5",
        ),
    ],
)
def test_a_number_that_no_model_can_have_is_refused_before_one_is_built(part, changes, message):
    with pytest.raises(ValueError, match=message):
        part(**changes)


def test_averages_of_patches_need_no_heads():
    assert ModelConfig(alignment=AlignmentConfig(pooling="average", pooling_heads=5)).compares_views
