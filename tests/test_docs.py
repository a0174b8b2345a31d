"""Every command of the README and the docs runs, in the order in which it stands there."""

import argparse
import ast
import csv
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from functools import cache, partial
from pathlib import Path

import pytest
import torch
import warm
import yaml
from object_store import KEYS
from runs import ROOT, TINY, free_port, write_json

from mmtsf.commands import COMMANDS, new_command
from mmtsf.config import load_config
from mmtsf.registry import MODELS
from mmtsf.utils.arguments import parsed

GUIDES = ROOT / 'docs/guides'
#: A command runs in the first that has it
DOCS = [
    GUIDES / 'gpus.md',  # which tests what it trains
    ROOT / 'README.md',
    ROOT / 'CONTRIBUTING.md',
    *sorted(set(ROOT.glob('docs/**/*.md')) - {GUIDES / 'gpus.md'}),
    *sorted(ROOT.glob('benchmarks/*.md')),
    *sorted(ROOT.glob('projects/*/README.md')),
]
PAPER = ROOT / 'docs/paper.md'
#: Commands that are not run here, and why
UNTRIED = {
    'bash tools/run_tests.sh': 'it runs this test',
    'bash tools/run_tests.sh -k rollout': 'it runs this test',
    'bash tools/run_tests.sh -m gpu': 'it needs a GPU',
    '.venv/bin/pre-commit install': 'it changes the checkout',
    'mmtsf export CONFIG CHECKPOINT model.onnx --normalise --int8': 'tests/deploy runs it, with each of its options',
    'source .venv/bin/activate': 'this test runs in that environment',
    'bash tools/install.sh demo': 'the same',
    'bash tools/install.sh analysis': 'the same',
    'bash tools/install.sh export': 'the same',
    'python projects/ray_train/train.py configs/timesformer_tiny_motion.py --processes 2': 'a test of its own runs it',
    **dict.fromkeys(
        (
            'mmtsf features LIST CONFIG CHECKPOINT features.parquet --engine ray',
            'mmtsf predict LIST CONFIG CHECKPOINT --engine ray --parquet predictions.parquet --json predictions.json',
            'mmtsf check LIST --engine ray',
            'mmtsf transcode LIST OUT --engine ray',
        ),
        'tests/batch/test_ray.py runs it on a cluster that all its tests share',
    ),
    'pip install --no-deps -e ./projects/example': 'it changes the environment; the guide has it in PYTHONPATH',
}
#: Changes that make a training of days one of seconds
SMALL = {
    'max_epochs': 1,
    'clip.num_frames': 4,
    'clip.size': 32,
    'clip.jitter': '(32,40)',
    'global_batch_size': 4,
    'model.backbone.embed_dims': 24,
    'model.backbone.num_heads': 2,
    'model.backbone.num_layers': 1,
    'train_dataloader.num_workers': 1,
    'val_dataloader.num_workers': 1,
    'test_dataloader.num_workers': 1,
}


def blocks(language: str, document: Path) -> list[str]:
    """Blocks of code in a document."""
    return re.findall(rf'```{language}\n(.*?)```', document.read_text(), re.DOTALL)


def commands_of(document: Path) -> list[str]:
    """Commands in the bash blocks of a document, with continued lines joined and comments left out."""
    lines = '\n'.join(blocks('bash', document)).replace('\\\n', ' ').splitlines()
    return [' '.join(line.partition(' #')[0].split()) for line in lines if line.strip()]


@pytest.fixture
def workshop(motion, tiny_checkpoint, tmp_path) -> Path:
    """Folder with the project's configs and tools, a checkpoint, and videos of two classes with lists."""
    for name in ('configs', 'tools', 'projects'):
        (tmp_path / name).symlink_to(ROOT / name)
    for split, number in (('train', 2), ('val', 1), ('test', 1)):  # as mmtsf motion would have made it, but fewer
        for video in motion.glob(f'{split}/*/000[0-{number - 1}].mp4'):
            link = tmp_path / 'data/motion' / video.relative_to(motion)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(video)
    (tmp_path / 'tiny.pth').symlink_to(tiny_checkpoint)
    content = torch.load(tiny_checkpoint, weights_only=True)
    state = {key: value for key, value in content['state_dict'].items() if not re.search(r'blocks\.[1-9]', key)}
    meta = content['meta'] | dict(backbone=content['meta']['backbone'] | dict(num_layers=1))
    torch.save(dict(state_dict=state, meta=meta), tmp_path / 'shallow.pth')
    videos = tmp_path / 'videos'
    videos.mkdir()
    for label in ('left', 'right'):
        (videos / label).symlink_to(motion / 'train' / label)
    for split, number in (('train', 4), ('val', 2)):
        rows = [f'{label}/{i:04}.mp4,{label}\n' for label in ('left', 'right') for i in range(number)]
        (videos / f'{split}.csv').write_text(''.join(rows))
    (videos / 'classes.txt').write_text('left\nright\n')
    [config] = [code for code in blocks('python', GUIDES / 'own_model.md') if code.startswith('_base_')]
    (tmp_path / 'my_model.py').write_text(config)
    write_json(tmp_path / 'data/motion', tmp_path / 'videos_json')
    return tmp_path


#: What a reader puts his own in place of
NAMES = {'CONFIG': TINY, 'CHECKPOINT': 'tiny.pth', 'SOURCE': 'tiny.pth', 'VIDEOS': 'videos', 'LIST': 'videos/val.csv'}


def named(command: str) -> str:
    """The command with names of files for what the reader is to name."""
    return re.sub(r'\b(CONFIG|CHECKPOINT|SOURCE|VIDEOS|LIST)\b(?=[ ]|$)', lambda name: NAMES[name[0]], command)


def small(command: str, motion: Path) -> list[str]:
    """The command on small data, for seconds."""
    command = re.sub(r'\bVIDEO\b(?=[ ]|$)', f'{motion}/test/left/0000.mp4', named(command))
    command = re.sub(r'epoch_\d+', 'epoch_1', re.sub(r'max_epochs=\d+', 'max_epochs=1', command))
    words = shlex.split(re.sub(r'(\.py|\.pth) 8$', r'\1 2', command))
    if 'mmtsf export' in command:  # which takes a quarter of a minute for a model of four blocks
        words = ['shallow.pth' if word == 'tiny.pth' else word for word in words]
        return [*words, '--cfg-options', 'model.backbone.num_layers=1']
    if re.search(r'quickstart\.sh|mmtsf quickstart', command):
        return [*words, '--minutes', '0.01', '--videos', '2', '1', '1']
    if re.search('make_motion|mmtsf motion', command):
        return [*words, '--videos', '8', '2', '3']
    if 'tiny.pth' in command or not re.search('train|test|visualize|attention', words[1]):
        return words
    if re.search('visualize|mmtsf attention', command):  # the config that its training left
        config = Path(words[3])
        words[3] = f'work_dirs/{config.stem}/{config.name}'
        return words
    changes = dict(SMALL)
    if not re.search('tiny|my_model|example', command):
        changes['start'] = 'None'  # nothing is fetched
    if 'data.' not in command and '_k600' in command:
        changes |= {'data.source': 'folder', 'data.root': 'data/motion', 'data.num_classes': 4}
    given = [] if '--cfg-options' in words else ['--cfg-options']
    return [*words, *given, *(f'{key}={value}' for key, value in changes.items() if f'{key}=' not in command)]


#: The first document that has a command: there it runs
FIRST = {named(command): document for document in reversed(DOCS) for command in commands_of(document)}


def run_here(document: Path) -> list[str]:
    """Commands of a document that no document before it has, and trainings whose results these read."""
    commands = [command for command in commands_of(document) if command not in UNTRIED]
    new = [FIRST[named(command)] == document or command.startswith('export ') for command in commands]
    last = max((place for place, command in enumerate(commands) if new[place] and 'work_dirs/' in command), default=0)
    return [
        command
        for place, command in enumerate(commands)
        if new[place] or (place < last and re.search(r'train(\.py|\.sh)? ', command) and '--dry-run' not in command)
    ]


def warm_venv(folder: Path) -> Path:
    """The environment of this Python, with a warm one in its place."""
    real = Path(sys.executable).parents[1]
    (folder / 'bin').mkdir(parents=True)
    for path in [*real.glob('bin/*'), *real.glob('installed-*')]:
        if not path.name.startswith('python'):
            (folder / path.relative_to(real)).symlink_to(path)
    (folder / 'bin/python').symlink_to(warm.python())
    (folder / 'bin/mmtsf').unlink(missing_ok=True)
    (folder / 'bin/mmtsf').write_text(f'#!/bin/sh\nexec {folder}/bin/python -m mmtsf "$@"\n')
    (folder / 'bin/mmtsf').chmod(0o755)
    return folder


def warm_environment(folder: Path) -> dict[str, str]:
    """An environment in which commands of the package start in milliseconds."""
    venv = warm_venv(folder / 'venv')
    path = f'{venv}/bin:{os.environ["PATH"]}'
    return dict(os.environ, PATH=path, PYTHON=f'{venv}/bin/python', OMP_NUM_THREADS='1', VENV=str(venv))


@pytest.mark.parametrize(
    'document', [path for path in DOCS if run_here(path)], ids=lambda path: str(path.relative_to(ROOT))
)
def test_every_command_of_a_document_runs(document, workshop, motion, request):
    environment = warm_environment(workshop)
    bucket = request.getfixturevalue('s3') if any('s3://' in command for command in run_here(document)) else None
    if bucket:
        bucket.put_folder(workshop / 'videos', 'videos')
        environment |= {name: os.environ[name] for name in (*KEYS, 'AWS_ENDPOINT_URL')}
    for command in run_here(document):
        command = command.replace('s3://bucket', bucket.url) if bucket else command
        if command.startswith('export '):
            name, _, value = command.removeprefix('export ').partition('=')
            environment[name] = value
            continue
        if 'train' in command and '--resume' not in command:  # which checkpoints of an earlier command would keep out
            shutil.rmtree(workshop / 'work_dirs', ignore_errors=True)
        result = subprocess.run(
            small(command, motion),
            cwd=workshop,
            env=dict(environment, PORT=str(free_port())),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=400,
        )
        assert result.returncode == 0, f'{command}\n{result.stdout[-3000:]}'


NOTEBOOK = ROOT / 'docs/notebooks/start.ipynb'


def cells_of(notebook: Path) -> list[str]:
    """Code cells of a notebook."""
    cells = json.loads(notebook.read_text())['cells']
    return [''.join(cell['source']) for cell in cells if cell['cell_type'] == 'code']


def test_the_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch, capfd):
    """Its cells, with lines for the shell as Jupyter takes them; with fewer videos and epochs."""
    monkeypatch.chdir(tmp_path)
    for name, value in warm_environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    names = dict(shell=partial(subprocess.run, shell=True, check=True))
    for cell in cells_of(NOTEBOOK):
        code = re.sub(r'^(\s*)!(.*)$', r"\1shell(f'\2')", cell, flags=re.MULTILINE)
        code = re.sub(r'^(\s*)%pip .*$', r'\1pass', code, flags=re.MULTILINE)
        for number, less in (('VIDEOS = 100', 'VIDEOS = 4'), ('EPOCHS = 25', 'EPOCHS = 1')):
            code = code.replace(number, less)
        exec(code, names)
    assert re.search(r'videos/test/left/0000.mp4: \w+ \(\d+%\)', capfd.readouterr().out)
    assert names['EPOCHS'] == 1
    assert names['VIDEOS'] == 4


def test_the_notebook_installs_the_package_in_colab():
    first = cells_of(NOTEBOOK)[0]
    assert "if 'google.colab' in sys.modules" in first
    assert '%pip install' in first


@pytest.mark.parametrize('document', DOCS, ids=[str(path.relative_to(ROOT)) for path in DOCS])
def test_commands_that_are_not_run_here_say_what_they_need(document):
    for block in blocks('text', document):
        if re.search(r'^\S*(python|bash|pip|docker|[A-Z_]+=\S*) ', block, re.MULTILINE):
            assert block.startswith('# needs '), block


def commands_of_the_paper() -> list[str]:
    """Commands of docs/paper.md that need the paper's data and machines, once each."""
    lines = '\n'.join(blocks('text', PAPER)).replace('\\\n', ' ').splitlines()
    return list(dict.fromkeys(' '.join(line.split()) for line in lines if line and not line.startswith('#')))


@cache
def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser of a command, by the name of the command or of its tool."""
    return new_command(name)[1]


@pytest.mark.parametrize('command', [line for line in commands_of_the_paper() if not line.startswith('shuf ')])
def test_a_command_of_the_papers_size_is_taken_by_its_parser_and_its_config_builds(command, workshop, monkeypatch):
    monkeypatch.chdir(workshop)
    program, name, *words = shlex.split(re.sub('CHECKPOINT', 'tiny.pth', command))
    if name.startswith('tools/dist_'):  # CONFIG GPUS ..., or CONFIG CHECKPOINT GPUS ...
        name = name.removeprefix('tools/dist_').removesuffix('.sh')
        gpus = words.pop(dict(train=1, test=2)[name])
        assert int(gpus) > 0
    elif program == 'python':
        assert_is_taken_by_the_study(name, words, monkeypatch)
        return
    args = parser_of(name).parse_args(words)
    if hasattr(args, 'config'):
        with torch.device('meta'):
            MODELS.build(load_config(args.config, parsed(args.cfg_options)).model)


def assert_is_taken_by_the_study(name: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a tool takes these words, which for the study name what it can run."""
    monkeypatch.syspath_prepend(str(ROOT / 'tools/study'))
    monkeypatch.setattr(sys, 'argv', [name, *words])
    args = runpy.run_path(str(ROOT / name))['parse_args']()
    if 'study' in name:
        grid = runpy.run_path(str(ROOT / 'tools/study/grid.py'))
        known = {run.study for run in grid['all_runs'](['motion'])} | {'costs'}
        assert args.only
        assert set(args.only) <= known


def test_the_page_of_the_paper_has_the_results_that_the_zoo_gives_as_the_papers():
    page = PAPER.read_text()
    for model in yaml.safe_load((ROOT / 'mmtsf/model-index.yml').read_text())['Models']:
        for result in model.get('Results', []):
            metrics = [str(value) for name, value in result.get('Metrics', {}).items() if name.startswith('Top')]
            assert ' / '.join(metrics) in page, model['Name']


def test_the_page_of_the_paper_has_every_table_and_figure():
    text = '\n'.join(line for line in PAPER.read_text().splitlines() if line.startswith('## '))
    for kind, numbers in (('Table', range(1, 9)), ('Figure', range(1, 9))):
        named = ' '.join(re.findall(rf'{kind}s? ([\d, and]+)', text))
        assert set(map(int, re.findall(r'\d', named))) == set(numbers)


def test_the_page_of_the_paper_has_the_costs_that_the_study_computed():
    rows = [line.strip('| ').split(' | ') for line in PAPER.read_text().splitlines()]
    header, table = next(row for row in rows if row[0] == 'frames x crop'), {row[0]: row[1:] for row in rows}
    with (ROOT / 'docs/study/costs.csv').open(newline='') as file:
        costs = {(row['scheme'], f'{row["frames"]} x {row["pixels"]}'): row['gigamacs'] for row in csv.DictReader(file)}
    for scheme in ('divided', 'joint'):
        assert table[scheme] == [costs[scheme, size] for size in header[1:]]


def test_every_config_in_the_documents_loads_and_builds(tmp_path):
    found = [block for document in DOCS for block in blocks('python', document) if block.startswith('_base_')]
    found = [block for block in found if 'custom_imports' not in block]  # tests/test_architecture.py trains that one
    assert len(found) > 7
    for number, code in enumerate(found):
        file = tmp_path / f'child_{number}.py'
        file.write_text(re.sub("'(timesformer_\\w+.py)'", r"'mmtsf::\1'", code, count=1))
        if 'schedules/' in code:
            file.write_text(code.replace('configs/', f'{ROOT}/configs/'))
            config = load_config(str(ROOT / TINY), {'recipe': str(file)})
        else:
            config = load_config(str(file))
        with torch.device('meta'):
            MODELS.build(config.model)


@pytest.mark.parametrize(
    'document',
    [
        'README.md',
        'docs/configs.md',
        'docs/from_huggingface.md',
        'docs/guides/own_model.md',
        'docs/installing.md',
        'docs/using.md',
    ],
)
def test_the_python_of_a_document_runs(document, workshop, motion, monkeypatch):
    monkeypatch.chdir(workshop)
    for name in ('one.mp4', 'two.mp4', 'video.mp4'):
        Path(name).symlink_to(motion / 'test/left/0000.mp4')
    curves = Path('work_dirs/my_model/20261127/vis_data')
    curves.mkdir(parents=True)
    (curves / 'scalars.json').write_text('{"epoch": 1, "loss": 1.4, "step": 1}\n{"acc/top1": 0.3, "step": 1}\n')
    scripts = [block for block in blocks('python', ROOT / document) if block.startswith(('from', 'import'))]
    scripts = [code for code in scripts if 'mmengine.hub' not in code]  # of an installed wheel, tests/test_package.py
    assert scripts
    for code in scripts:
        for named, here in [
            (r'(?<=Inferencer\()\S+, \S+\b', f"'{TINY}', 'tiny.pth"),
            ("'CONFIG', 'CHECKPOINT'", f"'{TINY}', 'tiny.pth'"),
            ("device='cuda'", "device='cpu'"),
            ('config.work_dir =', 'config.max_epochs = 1; config.work_dir ='),
        ]:
            code = re.sub(named, here, code)
        exec(code, {})


def test_every_untried_command_stands_in_a_document():
    assert set(UNTRIED) <= {command for document in DOCS for command in commands_of(document)}


def test_every_link_between_documents_leads_somewhere():
    for document in DOCS:
        for target in re.findall(r'\]\((?!http)([^)#]+)', document.read_text()):
            assert (document.parent / target).exists(), f'{document.name} links to {target}'


def test_every_file_that_a_document_names_exists():
    for document in DOCS:
        for name in re.findall(
            r'`((?:_base_|benchmarks|configs|mmtsf|requirements|tests|tools)/\w[\w./]*)`', document.read_text()
        ):
            assert (ROOT / name).exists() or (ROOT / 'configs' / name).exists(), f'{document.name} names {name}'


def test_costs_in_the_readme_and_the_paper_are_those_of_the_zoo():
    """Which its own test computes."""
    readme, zoo = (ROOT / 'README.md').read_text(), (ROOT / 'docs/zoo.md').read_text()
    rows = [line.split('|') for line in zoo.splitlines() if '_k400.py' in line and '.pth' not in line.split('|')[1]]
    costs = {row[4].split()[-1] for row in rows if len(row) > 6}
    assert len(costs) == 7
    assert all(f'{cost} G' in readme + PAPER.read_text() for cost in costs)
    assert all(f'{cost} G' in readme for cost in ('195.8', '1702.7', '2379.9'))


def test_commands_that_a_document_names_are_there():
    for document in DOCS:
        named = re.findall(r'(?:`|^)mmtsf ([a-z]+)', document.read_text(), re.MULTILINE)
        assert set(named) <= set(COMMANDS), document


def test_the_readme_is_short_and_begins_with_a_picture():
    lines = (ROOT / 'README.md').read_text().splitlines()
    assert len(lines) <= 120
    assert any(line.startswith('![') for line in lines[:15])


def texts_of_the_code() -> str:
    """All texts in the Python code, with a form feed where a value stands."""
    found = []
    for path in [*ROOT.glob('mmtsf/**/*.py'), *ROOT.glob('tools/**/*.py')]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                found.append(''.join(part.value if isinstance(part, ast.Constant) else '\f' for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return '\n'.join(found)


def test_the_messages_that_troubleshooting_explains_exist():
    page = (GUIDES / 'troubleshooting.md').read_text().partition('## Messages of other packages')[0]
    messages = re.findall(r'^\| `(.+?)` \|', page, re.MULTILINE)
    assert len(messages) > 50
    code = texts_of_the_code()
    missing = [
        message
        for message in messages
        if not all(part.strip() in code for part in re.split(r'\.\.\.|\$\{', message) if len(part.strip()) > 5)
    ]
    assert not missing


def test_the_files_that_the_guide_quotes_are_quoted_exactly():
    quoted = re.findall(r'```python title="(\S+)"\n(.*?)```', (GUIDES / 'own_parts.md').read_text(), re.DOTALL)
    assert len(quoted) == 9
    for name, code in quoted:
        assert code in (ROOT / name).read_text(), name


def test_the_citation_file_names_the_paper_and_is_complete():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert {'cff-version', 'message', 'title', 'authors'} <= set(citation)
    paper = citation['preferred-citation']
    assert {'type', 'title', 'authors', 'year'} <= set(paper)
    bibtex = (GUIDES / 'citing.md').read_text()
    assert paper['title'] in bibtex
    assert ' and '.join(f'{author["family-names"]}, {author["given-names"]}' for author in paper['authors']) in bibtex


def test_the_tree_in_the_docs_names_the_folders_that_there_are():
    """The drawing of the tree in docs/architecture.md: two spaces a level."""
    drawing = (ROOT / 'docs/architecture.md').read_text().split('The tree:')[1].split('```')[1]
    drawn, above = set(), []
    for line in drawing.strip('\n').splitlines():
        indent, name = len(line) - len(line.lstrip()), line.split()[0]
        above = [*above[: indent // 2], name]
        drawn.add(''.join(above).rstrip('/'))
    folders = {path for part in ('mmtsf', 'tools', 'configs', 'benchmarks') for path in (ROOT / part).rglob('*')}
    there = {
        str(path.relative_to(ROOT)) for path in folders if path.is_dir() and any(p.is_file() for p in path.glob('*.*'))
    }
    there = {path for path in there if '__pycache__' not in path and '/.mim' not in path}
    assert {path for path in drawn if (ROOT / path).is_dir()} == drawn
    assert there - drawn == set()
