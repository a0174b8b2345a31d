import shutil
from collections.abc import Iterator
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
VERSION = next(
    line.split("'")[1]
    for line in (ROOT / 'mmtsf/__init__.py').read_text().splitlines()
    if line.startswith('__version__')
)


#: Tools that need the checkout
OF_THE_CHECKOUT = ('install.sh', 'quickstart.sh', 'run_tests.sh', 'make_zoo.py')
#: Of requirements/
EXTRAS = ('analysis', 'demo', 'export', 'tensorboard', 'torchcodec', 'dev')


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
    name='mmtsf',
    version=VERSION,
    description='TimeSformer as an MMAction2-style codebase: five attention schemes, three variants, from video files',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['mmtsf', 'mmtsf.*']),
    package_data={'mmtsf': ['model-index.yml', 'datasets/classes/*.txt']},
    cmdclass={'build_py': BuildWithConfigs},
    entry_points={'console_scripts': ['mmtsf = mmtsf.commands:main']},
    python_requires='>=3.10,<3.13',
    install_requires=[
        'torch>=2.11,<2.16',
        'numpy>=2.2',
        'mmengine==0.10.7',
        'mmcv-lite>=2.0.1,<2.1',
        'mmaction2==1.1.0',
        'einops>=0.8',
        'filelock>=3.12',
        'importlib_metadata',
        'jinja2',
        'av>=17.1',
        'matplotlib',
        'pillow>=11',
        'pyyaml',
        'rich',
        'safetensors',
    ],
    extras_require={name: list(requirements(ROOT / f'requirements/{name}.txt')) for name in EXTRAS},
)
