"""The pages for those who come from elsewhere name options that exist, on both sides, and configs that load."""

import inspect
import re
from pathlib import Path
from typing import Any

import mmaction
import pytest
from mmengine.config import Config, ConfigDict
from mmengine.registry import OPTIMIZERS
from runs import ROOT

import mmtsf.models  # noqa: F401  # registers
from mmtsf.config import resolve
from mmtsf.config.checks import runner_keys
from mmtsf.registry import MODELS

PAGES = sorted(ROOT.glob('docs/from_*.md'))
CONFIG = Config.fromfile(ROOT / 'configs/timesformer_base_k400.py')
RESOLVED = resolve(CONFIG)  # in which the head has its class
THEIRS = '.mim/configs/recognition/timesformer/timesformer_divST_8xb8-8x32x1-15e_kinetics400-rgb.py'
KEY = re.compile(r'[a-z]\w*(\.\w+)*')
SCHEMES = {'divided_space_time', 'joint_space_time', 'space_only'}


def cells(page: Path, column: int) -> list[str]:
    """Words in code in a column of a page's table of options, without the values after ``=``."""
    options = page.read_text().partition('## Options')[2].partition('\n## ')[0]
    rows = [line.split(' | ')[column] for line in options.splitlines() if line.startswith('| `')]
    assert len(rows) > 10
    return [code.partition('=')[0] for row in rows for code in re.findall('`([^`]+)`', row)]


def exists(key: str, config: Any) -> bool:
    """Whether a config has a key, or the class that it stands for takes it."""
    node = config
    for word in key.split('.'):
        if word in node:
            node = node[word]
            continue
        if not isinstance(node, ConfigDict) or 'type' not in node:
            return False
        kind = MODELS.get(node.type) or OPTIMIZERS.get(node.type)
        return word in inspect.signature(kind).parameters
    return True


@pytest.mark.parametrize('page', PAGES, ids=[page.stem for page in PAGES])
def test_options_that_a_page_leads_to_exist(page):
    command_line = ''.join(
        (ROOT / name).read_text() for name in ('mmtsf/commands/train.py', 'mmtsf/utils/arguments.py')
    )
    for word in cells(page, 1):
        if word.startswith('--'):
            assert f"'{word}'" in command_line, word
        elif KEY.fullmatch(word):
            assert word in runner_keys() or exists(word, CONFIG) or exists(word, RESOLVED), word
        elif word.endswith('Attention'):
            assert MODELS.get(word) is not None, word
        elif '/' in word:
            assert (ROOT / word).is_file(), word


def test_options_of_mmaction2_are_those_of_its_config():
    config = Config.fromfile(Path(mmaction.__file__).parent / THEIRS)
    transforms = {step.type: step for step in [*config.train_pipeline, *config.test_pipeline]}
    for word in cells(ROOT / 'docs/from_mmaction2.md', 0):
        name, _, argument = word.partition('.')
        if name in transforms:
            assert not argument or argument in transforms[name], word
        elif not word.startswith("'"):
            assert word in runner_keys() or exists(word, config), word


def test_options_of_hugging_face_are_those_of_its_config():
    config = pytest.importorskip('transformers').TimesformerConfig()
    for word in set(cells(ROOT / 'docs/from_huggingface.md', 0)) - SCHEMES:
        assert hasattr(config, word), word
