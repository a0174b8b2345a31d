"""Parameters and multiply-accumulates as a user asks for them."""

import json

import pytest
from runs import ROOT, in_process, run_tool


@pytest.mark.parametrize(
    ('name', 'params', 'gmacs'),
    [
        ('base', 121_566_352, 196),
        ('hr', 122_024_080, 1703),  # more places in the position table
        ('l', 121_633_936, 2380),
        ('space', 86_106_256, 140.5),  # of peers, the paper has no figure for these two
        ('joint', 86_112_400, 179.6),
    ],
)
def test_costs_are_the_papers(name, params, gmacs, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    config = f'configs/timesformer_{name}_k400.py'
    in_process('flops', config, '--json')
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    found = json.loads(lines[0])
    assert found['config'] == config
    assert found['params'] == params
    assert found['macs'] / 1e9 == pytest.approx(gmacs, rel=0.005)


def test_the_table_has_every_part():
    table = run_tool('tools/analysis/get_flops.py', 'configs/timesformer_axial_k400.py')
    parts = ['attention.time', 'attention.width', 'attention.height', 'norm', 'mlp', 'embedding', 'head', 'total']
    assert {line.split()[0] for line in table.splitlines()[1:]} == set(parts)
