"""Build the package; what it is stands in ``pyproject.toml``."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
#: Tools that need the checkout
OF_THE_CHECKOUT = ('install.sh', 'quickstart.sh', 'run_tests.sh', 'make_zoo.py')
#: Of requirements/
EXTRAS = (
    *('analysis', 'bitsandbytes', 'demo', 'export', 'lora', 'mlflow', 'ray', 'shards', 'storage'),
    *('sweep', 'tensorboard', 'torchcodec', 'wandb', 'dev'),
)


class BuildWithConfigs(build_py):
    """Puts configs, tools and the model index where MMEngine and mim look for them: ``mmtsf/.mim``.

    An editable installation finds them in the checkout.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        mim = Path(self.build_lib, 'mmtsf/.mim')
        shutil.rmtree(mim, ignore_errors=True)  # what an earlier build left
        for folder in ('configs', 'tools'):
            left_out = shutil.ignore_patterns('__pycache__', *OF_THE_CHECKOUT)
            shutil.copytree(ROOT / folder, mim / folder, ignore=left_out)
        shutil.copy(ROOT / 'mmtsf/model-index.yml', mim / 'metafile.yml')
        (mim / 'model-index.yml').write_text('Import:\n  - metafile.yml\n')


def requirements(path: Path) -> Iterator[str]:
    """Requirements of a list, and of the lists that it names."""
    for line in path.read_text().splitlines():
        line = line.partition('#')[0].strip()
        if line.startswith('-r '):
            yield from requirements(path.parent / line.removeprefix('-r '))
        elif line:
            yield line


setup(
    cmdclass={'build_py': BuildWithConfigs},
    extras_require={name: list(requirements(ROOT / f'requirements/{name}.txt')) for name in EXTRAS},
)
