"""The table of methods: its names, its modules, and what an unknown name is answered."""

import json
import subprocess
import sys
from importlib import import_module
from typing import get_args, get_type_hints

import pytest

from glam_train.commands import Pretrain
from glam_train.config import pretrain_config_from_json
from glam_train.methods import METHODS
from glam_train.methods.method import Method
from glam_train.presets import PRESETS, preset


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_json_and_back_with_the_name_of_its_method(name):
    config = preset(name)
    data = json.loads(json.dumps(config.as_json()))
    assert data["method"]["name"] == config.method.name
    assert pretrain_config_from_json(data) == config


def test_every_method_of_the_table_is_a_class_of_its_module_and_has_a_preset():
    for name, entry in METHODS.items():
        assert entry.settings.name == name
        method = getattr(import_module(f"glam_train.methods.{entry.module}"), entry.class_name)
        assert issubclass(method, Method)
    assert {preset(name).method.name for name in PRESETS} == set(METHODS)


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown preset 'glam_paper': expected one of tiny, glam, glam-paper, "):
        preset("glam_paper")
    data = preset("tiny").as_json()
    with pytest.raises(ValueError, match="unknown method 'clap': expected one of glam, glam_paper"):
        pretrain_config_from_json(data | {"method": {"name": "clap"}})


def test_the_choices_of_the_command_line_are_the_presets_of_the_table():
    choices, none = get_args(get_type_hints(Pretrain)["preset"])
    assert get_args(choices) == tuple(PRESETS)
    assert none is type(None)


def test_a_configuration_and_the_command_line_do_without_torch():
    code = "from glam_train.config import PretrainConfig\nPretrainConfig()\nimport glam_train.cli, sys"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nprint('torch' in sys.modules)"], capture_output=True, text=True
    )
    assert done.stdout == "False\n", done.stderr


def test_help_lists_the_presets_without_torch():
    code = "import sys\nfrom glam_train.cli import main\ntry: main(['pretrain', '--help'])\n"
    code += "finally: assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in PRESETS)
