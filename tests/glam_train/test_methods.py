"""The table of methods: its names, its modules, and what an unknown name is answered."""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from typing import get_args

import pytest

from glam_train.commands import Pretrain
from glam_train.config import PretrainConfig, pretrain_config_from_json
from glam_train.methods import METHODS, OBJECTIVES, PRESETS, objective, preset


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_names_an_objective_of_its_own_module_and_is_json(name):
    config = preset(name)
    (method,) = [method for method in METHODS if name in method.presets]
    assert config.objective in method.objectives
    assert pretrain_config_from_json(json.loads(json.dumps(asdict(config)))) == config


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_of_the_table_is_a_function_of_its_module(name):
    assert objective(name).__name__ == f"{name}_objective"


def test_no_name_is_in_the_table_twice():
    assert len(set(OBJECTIVES)) == len(OBJECTIVES)
    assert len(set(PRESETS)) == len(PRESETS)


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown preset 'glam_paper': expected one of tiny, glam, glam-paper"):
        preset("glam_paper")
    with pytest.raises(ValueError, match="unknown objective 'glam-paper': expected one of glam, glam_paper"):
        objective("glam-paper")
    with pytest.raises(ValueError, match="unknown objective 'clip'"):
        replace(PretrainConfig(), objective="clip")


def test_the_choices_of_the_command_line_are_the_presets_of_the_table():
    choices, none = get_args(Pretrain.__annotations__["preset"])
    assert get_args(choices) == PRESETS
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
