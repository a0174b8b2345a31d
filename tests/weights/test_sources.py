"""Checkpoints from a server, by URL and by published name."""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import yaml
from runs import ROOT, free_port

from mmtsf.weights import read_checkpoint
from mmtsf.weights.sources import MODEL_INDEX, checksum, fetch, local_path

CONTENT = bytes(range(256)) * 4000


class Server(BaseHTTPRequestHandler):
    """Serves ``CONTENT``, and goes on where it is asked to; hangs up after ``breaks_after`` bytes."""

    breaks_after: int | None = None
    ranges: list[str | None] = []

    def do_GET(self) -> None:
        asked = self.headers.get('Range')
        self.ranges.append(asked)
        start = int(re.search(r'\d+', asked)[0]) if asked else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if asked else 200)
        self.send_header('Content-Length', str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : self.breaks_after])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """URL of a file on a real server on this machine, with an empty cache."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setattr(Server, 'ranges', [])
    monkeypatch.setattr(Server, 'breaks_after', None)
    with ThreadingHTTPServer(('127.0.0.1', 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f'http://127.0.0.1:{server.server_port}/files/model.pth?dl=1'
        server.shutdown()
        thread.join()


def test_a_file_is_fetched_once(server, tmp_path):
    path = fetch(server)
    assert path == tmp_path / 'hub/checkpoints/model.pth'
    assert path.read_bytes() == CONTENT
    assert fetch(server) == path
    assert Server.ranges == [None]


def test_a_download_goes_on_where_it_broke_off(server, monkeypatch):
    monkeypatch.setattr(Server, 'breaks_after', 300_000)
    with pytest.raises(FileNotFoundError, match=r'the connection broke after 300000 of 1024000 bytes; try again'):
        fetch(server)
    monkeypatch.setattr(Server, 'breaks_after', None)
    assert fetch(server).read_bytes() == CONTENT
    assert Server.ranges == [None, 'bytes=300000-']


def test_a_whole_part_needs_no_more(server, tmp_path):
    part = tmp_path / 'hub/checkpoints/model.pth.part'
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT)
    assert fetch(server, checksum(part)).read_bytes() == CONTENT


def test_another_file_than_the_published_one_is_refused_and_forgotten(server, tmp_path):
    with pytest.raises(ValueError, match=f'{re.escape(server)} has the sha256 [0-9a-f]{{64}}, expected a4d0d01f'):
        fetch(server, 'a4d0d01f')
    assert not any((tmp_path / 'hub/checkpoints').iterdir())


def test_without_a_server_it_says_what_to_fetch_and_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    url = f'http://127.0.0.1:{free_port()}/model.pth'
    with pytest.raises(FileNotFoundError) as error:
        read_checkpoint(url)
    assert f'cannot fetch {url}' in str(error.value)
    assert f'put it at {tmp_path}/hub/checkpoints/model.pth' in str(error.value)
    torch.save(dict(weight=torch.ones(1)), tmp_path / 'hub/checkpoints/model.pth')
    assert torch.equal(read_checkpoint(url)['weight'], torch.ones(1))


def test_a_name_leads_to_its_published_file(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    path = tmp_path / 'hub/checkpoints/TimeSformer_divST_8x32_224_K400.pyth'
    path.parent.mkdir(parents=True)
    path.touch()
    assert local_path('timesformer_base_k400') == path


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(FileNotFoundError, match='no published weights of that name; known are timesformer_base_k400, '):
        local_path('timesformer_huge_k400')


def test_every_published_file_has_a_config_and_an_address():
    models = yaml.safe_load(MODEL_INDEX.read_text())['Models']
    assert len({model['Name'] for model in models}) == len(models)
    for model in models:
        assert model['In Collection'] == 'ViT' or Path(ROOT, model['Config']).is_file()
    published = [model['Weights'] for model in models if 'Weights' in model]
    assert len(set(published)) == 16
    assert all(address.startswith('https://') for address in published)


def test_a_model_without_published_weights_is_no_name_of_weights():
    with pytest.raises(FileNotFoundError, match='no published weights of that name'):
        local_path('timesformer_axial_k400')
