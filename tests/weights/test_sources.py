"""Checkpoints from a server, by URL and by published name."""

import base64
import errno
import gzip
import hashlib
import multiprocessing
import os
import re
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import traceback
from email.utils import formatdate
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from helpers import read_for_a_runner
from runs import ROOT, TINY, free_port, options, run_tool
from safetensors.torch import save_file
from servers import CONTENT, Served, capped, endless, forever, in_chunks, plain, serving, wait_for

from mmtsf.utils.sources import MODEL_INDEX
from mmtsf.utils.text import cleaned, without_secrets
from mmtsf.weights import Pretrained, download, read_checkpoint
from mmtsf.weights.sources import cached, fetch, local_path

OTHER = CONTENT[:2] + CONTENT[:1:-1]
FORK = multiprocessing.get_context('fork')
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    return tmp_path / 'cache/hub/checkpoints'


@pytest.fixture
def server(cache):
    """A real server on this machine that has ``/model.pth``."""
    with serving() as server:
        yield server


def rest(url: str) -> set[str]:
    """Names of what lies in the cache for an address, but the lock."""
    return {path.name for path in cached(url).parent.iterdir()} - {'.lock'}


def test_a_file_is_fetched_once(server, cache):
    path = fetch(server.url())
    assert cache in path.parents
    assert path.name == 'model.pth'
    assert path.read_bytes() == CONTENT
    assert fetch(server.url()) == path
    assert server.ranges == [None]
    assert rest(server.url()) == {'model.pth', 'model.pth.sha256'}


@pytest.mark.parametrize(
    ('one', 'two'),
    [
        ('/a/model.pth', '/b/model.pth'),
        ('/a/resolve/main/pytorch_model.bin', '/b/resolve/main/pytorch_model.bin'),
        ('/get?file=a', '/get?file=b'),
        ('/model.pth?v=1', '/model.pth?v=2'),
        ('/a%2Fmodel.pth', '/a/model.pth'),
    ],
)
def test_addresses_that_differ_anywhere_are_different_files(server, one, two):
    server.files |= {one: Served(CONTENT), two: Served(OTHER)}
    for _ in range(2):
        assert fetch(server.url(one)).read_bytes() == CONTENT
        assert fetch(server.url(two)).read_bytes() == OTHER
    assert len(server.asked) == 2


def test_two_servers_have_files_of_the_same_name(server):
    with serving() as other:
        other.files['/model.pth'].content = OTHER
        assert fetch(server.url()).read_bytes() == CONTENT
        assert fetch(other.url()).read_bytes() == OTHER


@pytest.mark.parametrize('path', ['/', '/..', '/.hidden', '/' + 'long' * 100 + '.pth', '/a b.pth', '/ä.pth', '/a%00b'])
def test_any_name_on_the_server_is_a_name_in_its_own_folder(server, cache, path):
    served = Served(instead=plain(200, CONTENT, Content_Length=str(len(CONTENT))))
    server.files = dict.fromkeys(['/', '/..', '/.hidden', path, '/a%20b.pth', '/%C3%A4.pth'], served)
    target = fetch(server.url(path))
    assert target.read_bytes() == CONTENT
    assert target.parents[1] == cache / 'mmtsf'
    assert not target.name.startswith('.')


def test_every_way_to_a_checkpoint_leads_through_the_cache(server, tmp_path):
    torch.save(dict(weight=torch.full((1, 2), 3.0), bias=torch.ones(1)), tmp_path / 'model.pth')
    server.files['/model.pth'].content = (tmp_path / 'model.pth').read_bytes()
    for url in (server.url(), server.url().replace('http', 'HTTP')):
        assert read_checkpoint(url)['weight'].sum() == 6
        assert read_for_a_runner(url)['weight'].sum() == 6
    with pytest.raises(ValueError, match='no architecture that is known'):
        Pretrained(server.url())(torch.nn.Linear(2, 1))  # read, and then seen to be no TimeSformer
    assert len(server.asked) == 2


@pytest.mark.parametrize('source', ['ftp://h/m.pth', 'file:///etc/passwd', 'openmmlab://resnet50'])
def test_other_kinds_of_addresses_are_refused(cache, source):
    for read in (read_checkpoint, read_for_a_runner):
        with pytest.raises(FileNotFoundError, match='no address that is fetched; give one that begins with http:// or'):
            read(source)


# Downloads that break


def test_a_download_goes_on_where_it_broke_off(server):
    server.files['/model.pth'].breaks = [300_000, 200_000]
    assert fetch(server.url()).read_bytes() == CONTENT
    assert server.ranges == [None, 'bytes=300000-', 'bytes=500000-']
    assert server.heard[1]['If-Range'] == '"one"'


def test_a_download_goes_on_in_a_later_run(server):
    server.files['/model.pth'].breaks = [300_000, 0]
    with pytest.raises(FileNotFoundError, match=r'the connection broke after 300000 of 1024000 bytes; try again'):
        fetch(server.url())
    assert fetch(server.url()).read_bytes() == CONTENT
    assert server.ranges[-1] == 'bytes=300000-'


def test_a_server_that_always_breaks_off_is_given_up(server):
    server.files['/model.pth'].breaks = [1000] * 100
    with pytest.raises(FileNotFoundError, match='the connection broke after 5000 of 1024000 bytes'):
        fetch(server.url())
    assert len(server.asked) == 5
    assert not cached(server.url()).exists()


def test_a_file_that_changed_meanwhile_is_fetched_anew(server):
    served = server.files['/model.pth']
    served.breaks = [300_000, 0]
    with pytest.raises(FileNotFoundError):
        fetch(server.url())
    served.content, served.headers = OTHER, {'ETag': '"two"'}
    assert fetch(server.url()).read_bytes() == OTHER


def test_a_server_that_ignores_if_range_does_not_splice(server):
    served = server.files['/model.pth']
    served.breaks, served.if_range = [300_000, 0], False
    with pytest.raises(FileNotFoundError):
        fetch(server.url())
    served.content, served.headers = OTHER, {'ETag': '"two"'}
    assert fetch(server.url()).read_bytes() == OTHER
    assert server.ranges[-2:] == ['bytes=300000-', None]


@pytest.mark.parametrize(
    'headers',
    [
        {},
        {'ETag': 'W/"weak"'},
        # written in this very second: a second change within it would bear the same date
        {'Last-Modified': 'now'},
    ],
)
def test_what_does_not_tell_versions_apart_is_fetched_anew(server, headers):
    served = server.files['/model.pth']
    served.breaks = [300_000, 300_000, 300_000]
    served.headers = {name: formatdate(usegmt=True) if value == 'now' else value for name, value in headers.items()}
    with pytest.raises(FileNotFoundError):
        fetch(server.url())
    served.content, served.breaks = OTHER, []
    assert fetch(server.url()).read_bytes() == OTHER
    assert set(server.ranges) == {None}


def test_an_older_date_tells_versions_apart(server):
    served = server.files['/model.pth']
    served.breaks, served.headers = [300_000], {'Last-Modified': formatdate(time.time() - 100, usegmt=True)}
    assert fetch(server.url()).read_bytes() == CONTENT
    assert server.ranges == [None, 'bytes=300000-']
    assert server.heard[1]['If-Range'] == served.headers['Last-Modified']


def test_a_known_checksum_lets_any_server_go_on_and_tells_a_splice(server):
    served = server.files['/model.pth']
    served.headers = {}
    served.breaks = [300_000]
    assert fetch(server.url(), DIGEST).read_bytes() == CONTENT
    assert server.ranges == [None, 'bytes=300000-']
    server.files['/other.pth'] = Served(OTHER, {}, breaks=[300_000, 0])
    with pytest.raises(FileNotFoundError):
        fetch(server.url('/other.pth'), DIGEST)
    server.files['/other.pth'].content = CONTENT
    assert fetch(server.url('/other.pth'), DIGEST).read_bytes() == CONTENT
    assert server.ranges[-2:] == ['bytes=300000-', None]


def test_a_server_without_ranges_sends_all_again(server):
    served = server.files['/model.pth']
    served.ranges, served.breaks = False, [300_000, 500_000]
    assert fetch(server.url()).read_bytes() == CONTENT
    assert server.ranges == [None, 'bytes=300000-', 'bytes=500000-']


def test_a_part_that_begins_elsewhere_is_not_taken(server):
    served = server.files['/model.pth']
    served.shift, served.breaks = 17, [300_000]
    assert fetch(server.url()).read_bytes() == CONTENT
    assert server.ranges == [None, 'bytes=300000-', None]


def test_a_part_that_is_longer_than_the_file_is_fetched_anew(server):
    served = server.files['/model.pth']
    served.breaks = [300_000, 0]
    with pytest.raises(FileNotFoundError):
        fetch(server.url())
    served.content = b'\x80hort'
    assert fetch(server.url()).read_bytes() == b'\x80hort'
    assert server.ranges[-2:] == ['bytes=300000-', None]


def test_a_part_that_is_whole_needs_no_more(server):
    server.files['/model.pth'].breaks = [300_000, 0]
    with pytest.raises(FileNotFoundError):
        fetch(server.url())
    cached(server.url()).with_name('model.pth.part').write_bytes(CONTENT)
    asked = len(server.asked)
    assert fetch(server.url()).read_bytes() == CONTENT
    assert len(server.asked) == asked


def test_a_part_of_which_nothing_is_known_is_not_taken(server):
    part = cached(server.url()).with_name('model.pth.part')
    part.parent.mkdir(parents=True)
    part.write_bytes(OTHER[:300_000])
    for known in ('', '{"version"', '[]', '{"length": 5}'):
        part.with_name('model.pth.part.json').write_text(known)
        assert fetch(server.url()).read_bytes() == CONTENT
        cached(server.url()).unlink()
    assert set(server.ranges) == {None}


def test_bodies_in_chunks_are_whole_or_refused(server):
    server.files['/model.pth'].instead = in_chunks
    assert fetch(server.url()).read_bytes() == CONTENT
    server.files['/half.pth'] = Served(instead=partial(in_chunks, whole=False))
    with pytest.raises(FileNotFoundError, match='IncompleteRead'):
        fetch(server.url('/half.pth'))
    assert not cached(server.url('/half.pth')).exists()


# What a server may not do


def test_a_length_that_is_not_told_is_refused_unless_a_checksum_is_known(server):
    server.files['/model.pth'].instead = plain(200, CONTENT)
    with pytest.raises(ValueError, match='does not say how long the file is'):
        fetch(server.url())
    assert rest(server.url()) <= {'model.pth.part.json'}
    assert fetch(server.url(), DIGEST).read_bytes() == CONTENT


def test_a_body_without_end_is_stopped(server, monkeypatch):
    monkeypatch.setattr(download, 'MAX_UNTOLD', 3_000_000)
    server.files['/model.pth'].instead = endless
    with pytest.raises(ValueError, match='the server sends more than 3,000,000 bytes; fetch it by other means'):
        fetch(server.url())
    assert not list(cached(server.url()).parent.glob('*.part'))


def test_a_disk_is_not_filled(server, monkeypatch):
    monkeypatch.setattr(download, 'RESERVE', shutil.disk_usage('.').free - 3_000_000)
    server.files['/model.pth'].instead = endless
    with pytest.raises(OSError, match='cannot be kept in .*: No space left on device .* that stay free; make room'):
        fetch(server.url())
    assert rest(server.url()) <= {'model.pth.part.json'}
    monkeypatch.setattr(download, 'RESERVE', shutil.disk_usage('.').free + 10**9)
    server.files['/told.pth'] = Served()
    with pytest.raises(OSError, match='No space left on device for 1,024,000 bytes'):
        fetch(server.url('/told.pth'))
    assert not rest(server.url('/told.pth'))


@pytest.mark.parametrize('length', ['100000000001', '999999999999999999999', '0'])
def test_a_length_that_no_weights_have_is_refused_at_once(server, length):
    server.files['/model.pth'].instead = plain(200, CONTENT, Content_Length=length)
    with pytest.raises(ValueError, match=f'announces {int(length):,} bytes, expected 1 to 100,000,000,000'):
        fetch(server.url())
    assert not rest(server.url())


def test_more_than_was_announced_is_not_taken(server):
    server.files['/model.pth'].instead = plain(200, CONTENT + b'more', Content_Length=str(len(CONTENT)))
    assert fetch(server.url()).read_bytes() == CONTENT


def test_less_than_was_announced_is_not_taken(server):
    server.files['/model.pth'].instead = plain(200, CONTENT[:-1], Content_Length=str(len(CONTENT)))
    with pytest.raises(FileNotFoundError, match='the connection broke after 1023999 of 1024000 bytes'):
        fetch(server.url())
    assert not cached(server.url()).exists()


def test_a_body_that_was_packed_on_the_way_is_refused(server):
    packed = gzip.compress(CONTENT)
    headers = dict(Content_Length=str(len(packed)), Content_Encoding='gzip')
    server.files['/model.pth'].instead = plain(200, packed, **headers)
    with pytest.raises(ValueError, match='the server sent the file as gzip, expected it as it is'):
        fetch(server.url())
    assert server.heard[0]['Accept-Encoding'] == 'identity'
    assert not rest(server.url())


def test_a_web_page_in_the_place_of_a_file_is_not_kept(server):
    page = b'\n<!DOCTYPE html><title>Log in</title>'
    server.files['/model.pth'].content = page
    with pytest.raises(ValueError, match='the server sent a web page'):
        fetch(server.url())
    server.files['/model.pth'].content = CONTENT
    assert fetch(server.url()).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ('name', 'said'),
    [
        ('zip', 'an archive that is damaged or cut off'),
        ('npz', 'an archive that is damaged or cut off'),
        ('safetensors', 'a safetensors file that is damaged or cut off'),
        ('json', 'what begins with b\'."error":1.\', expected a .pth, .safetensors or .npz file'),
        ('text', "what begins with b'Rate limit"),
    ],
)
def test_what_is_seen_to_be_broken_is_not_kept(server, tmp_path, name, said):
    whole = tmp_path / 'whole'
    if name == 'npz':
        with whole.open('wb') as file:
            np.savez(file, a=np.zeros(1000))
    elif name == 'safetensors':
        save_file(dict(a=torch.zeros(1000)), whole)
    else:
        torch.save(dict(a=torch.zeros(1000)), whole)
    broken = dict(json=b'{"error":1}', text=b'Rate limit').get(name, whole.read_bytes()[:-200])
    server.files['/model.pth'].content = broken
    with pytest.raises(ValueError, match=f'{server.url()} is not taken: the server sent {said}'):
        fetch(server.url())
    server.files['/model.pth'].content = whole.read_bytes()
    assert read_checkpoint(server.url()).get('state_dict', {}).keys() <= {'a'}


def test_a_broken_file_that_only_reading_tells_is_named_with_its_address(server, tmp_path):
    torch.save(dict(a=torch.zeros(1000)), tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    server.files['/model.pth'].content = (tmp_path / 'old.pth').read_bytes()[:-200]
    said = f'{cached(server.url())} is not a checkpoint, or a truncated one; remove it to fetch {server.url()} again'
    with pytest.raises(ValueError, match=re.escape(said)):
        read_checkpoint(server.url())
    server.files['/model.pth'].content = (tmp_path / 'old.pth').read_bytes()
    cached(server.url()).unlink()
    assert read_checkpoint(server.url()).keys() == {'a'}


@pytest.mark.parametrize('path', ['/weights?file=x.npz', '/away', '/x.bin'])
def test_arrays_are_known_by_content(server, tmp_path, path):
    np.savez(tmp_path / 'x.npz', **{'Transformer/block': np.ones(3)})
    server.files['/real.npz'] = Served((tmp_path / 'x.npz').read_bytes())
    server.files[path] = Served((tmp_path / 'x.npz').read_bytes())
    server.files['/away'] = Served(instead=plain(302, Location='/real.npz', Content_Length='0'))
    assert read_checkpoint(server.url(path))['state_dict']['Transformer/block'].sum() == 3


@pytest.mark.parametrize('name', ['lock', '.lock', 'model.pth.sha256', 'weights.part', 'x.part.json'])
def test_no_name_is_one_of_the_caches_own(server, name):
    server.files[f'/{name}'] = Served()
    assert fetch(server.url(f'/{name}')).read_bytes() == CONTENT
    assert fetch(server.url(f'/{name}')).read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_a_part_that_nobody_asked_for_is_refused(server):
    part = dict(Content_Length='100', Content_Range='bytes 0-99/1024000')
    server.files['/model.pth'].instead = plain(206, CONTENT[:100], **part)
    with pytest.raises(FileNotFoundError, match='sent a part of the file, though all of it was asked for'):
        fetch(server.url())


def test_redirects_are_followed_to_web_servers_alone(server, tmp_path):
    secret = tmp_path / 'secret'
    secret.write_text('secret')
    server.files['/here.pth'] = Served(instead=plain(302, Location='/model.pth', Content_Length='0'))
    assert fetch(server.url('/here.pth')).read_bytes() == CONTENT
    asked = len(server.asked)
    for place in (secret.as_uri(), f'ftp://127.0.0.1:{free_port()}/model.pth', 'data:text/plain,secret'):
        server.files['/away.pth'] = Served(instead=plain(302, Location=place, Content_Length='0'))
        with pytest.raises((FileNotFoundError, ValueError), match='not allowed|no address of a web server'):
            fetch(server.url('/away.pth'))
    server.files['/round.pth'] = Served(instead=plain(302, Location='/round.pth', Content_Length='0'))
    with pytest.raises(FileNotFoundError, match='infinite loop'):
        fetch(server.url('/round.pth'))
    assert [path for path, _ in server.asked[asked:] if path == '/model.pth'] == []


def test_a_server_that_stalls_is_given_up(server, monkeypatch):
    monkeypatch.setattr(download, 'TIMEOUT', 0.5)
    server.files['/model.pth'].each = lambda: time.sleep(20)
    begin = time.monotonic()
    with pytest.raises(FileNotFoundError, match='timed out'):
        fetch(server.url())
    assert time.monotonic() - begin < 10


def test_a_server_that_drips_is_given_up(server, monkeypatch):
    monkeypatch.setattr(download, 'SLOWEST', (200_000, 0.2))
    monkeypatch.setattr(download, 'TRIES', 1)
    server.files['/model.pth'].each = lambda: time.sleep(0.15)
    with pytest.raises(FileNotFoundError, match=r'less than 200,000 bytes of the file came in 0\.2 seconds'):
        fetch(server.url())


CHUNKED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'


@pytest.mark.parametrize(
    ('first', 'again', 'wait'),
    [
        pytest.param(CHUNKED + b'2\r\n\x80\x02\r\n0\r\n', b'X-A: b\r\n', 0.001, id='trailers'),
        pytest.param(b'', b'HTTP/1.1 100 Continue\r\nA: b\r\n\r\n', 0.001, id='100 Continue'),
        pytest.param(b'HTTP/1.1 200 OK\r\nX-A: ', b'a', 0.05, id='a header byte by byte'),
        pytest.param(b'HTTP', b'/', 0.05, id='a status line byte by byte'),
        pytest.param(CHUNKED + b'5;', b'a', 0.05, id='a chunk extension byte by byte'),
        pytest.param(CHUNKED, b'1;%s\r\na\r\n' % (b'x' * 1000), 0.05, id='chunks that are mostly extension'),
    ],
)
@pytest.mark.parametrize('sha256', [None, DIGEST])
def test_no_part_of_an_answer_can_go_on_for_ever(server, monkeypatch, first, again, wait, sha256):
    monkeypatch.setattr(download, 'SLOWEST', (1000, 0.4))
    server.files['/model.pth'].instead = forever(first, again, wait)
    begin = time.monotonic()
    with pytest.raises(FileNotFoundError, match=r'less than 1,000 bytes of the file came in 0\.4 seconds'):
        fetch(server.url(), sha256)
    assert time.monotonic() - begin < 5
    server.files['/model.pth'].instead = None
    assert fetch(server.url()).read_bytes() == CONTENT  # the lock is free


def test_a_page_without_end_that_leads_elsewhere_is_not_read(server):
    head = b'HTTP/1.1 302 Found\r\nLocation: /model.pth\r\n\r\n'
    server.files['/away.pth'] = Served(instead=forever(head, bytes(50_000)))
    assert fetch(server.url('/away.pth')).read_bytes() == CONTENT


@pytest.mark.parametrize('proxy', [False, True])
def test_a_handshake_can_not_go_on_for_ever(cache, monkeypatch, proxy):
    monkeypatch.setattr(download, 'SLOWEST', (1000, 0.4))
    with socket.create_server(('127.0.0.1', 0)) as listener:

        def talk() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b'HTTP/1.1 200 OK\r\nX: ' if proxy else b'\x16\x03\x03\x40\x00')
                for _ in range(400):
                    connection.sendall(b'a')
                    time.sleep(0.05)

        threading.Thread(target=talk, daemon=True).start()
        place = f'127.0.0.1:{listener.getsockname()[1]}'
        if proxy:
            monkeypatch.setenv('https_proxy', f'http://{place}')
        begin = time.monotonic()
        with pytest.raises(FileNotFoundError, match='less than 1,000 bytes'):
            fetch('https://elsewhere.invalid/model.pth' if proxy else f'https://{place}/model.pth')
        assert time.monotonic() - begin < 5


@pytest.mark.parametrize('most', [1000, 300_000])
def test_a_server_that_sends_no_more_than_so_much_at_once_is_asked_again(server, most):
    opened = len(os.listdir('/proc/self/fd'))
    server.files['/model.pth'].breaks = [300_000, 0]
    with pytest.raises(FileNotFoundError):
        fetch(server.url())
    server.files['/model.pth'] = Served(instead=partial(capped, most=most))
    assert fetch(server.url()).read_bytes() == CONTENT
    assert len(server.asked) >= 2 + 724_000 // most
    assert len(os.listdir('/proc/self/fd')) < opened + 20


def test_breaks_after_much_was_brought_are_not_counted(server):
    server.files['/model.pth'].breaks = [100_000] * 9
    assert fetch(server.url()).read_bytes() == CONTENT
    assert len(server.asked) == 10


def test_a_server_that_starts_again_and_again_is_given_up(server):
    served = server.files['/model.pth']
    served.ranges, served.breaks = False, [300_000, 200_000] * 20
    with pytest.raises(FileNotFoundError, match='the connection broke'):
        fetch(server.url())
    assert len(server.asked) == 6


def test_nothing_leads_from_https_to_http(server, monkeypatch, tmp_path):
    if not shutil.which('openssl'):
        pytest.skip('a certificate is made with openssl')
    pem = tmp_path / 'server.pem'
    words = '-x509 -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1'
    subprocess.run(['openssl', 'req', *words.split(), '-keyout', pem, '-out', tmp_path / 'cert.pem'], check=True)
    pem.write_text(pem.read_text() + (tmp_path / 'cert.pem').read_text())
    monkeypatch.setenv('SSL_CERT_FILE', str(tmp_path / 'cert.pem'))
    with serving() as safe:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        safe.socket = context.wrap_socket(safe.socket, server_side=True)
        url = safe.url('/away.pth').replace('http', 'https')
        assert fetch(url.replace('away', 'model')).read_bytes() == CONTENT
        safe.files['/away.pth'] = Served(instead=plain(302, Location=server.url(), Content_Length='0'))
        with pytest.raises(FileNotFoundError, match=f'a redirect to {server.url()} is not followed'):
            fetch(url)
    assert not server.asked


def test_what_is_no_web_server_is_said(cache):
    with socket.create_server(('127.0.0.1', 0)) as listener:

        def talk() -> None:
            connection, _ = listener.accept()
            connection.sendall(b'220 welcome to ftp\r\n')
            connection.close()

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(FileNotFoundError, match='cannot fetch'):
            fetch(f'http://127.0.0.1:{listener.getsockname()[1]}/model.pth')
        thread.join()


@pytest.mark.parametrize('status', [404, 401, 500, 204])
def test_a_server_without_the_file_is_named_with_where_to_put_it(server, status):
    server.files['/model.pth'].instead = plain(status, Content_Length='0')
    with pytest.raises((FileNotFoundError, ValueError)) as error:
        fetch(server.url())
    assert server.url() in str(error.value)
    assert not cached(server.url()).exists()


# Secrets


def test_user_and_password_go_to_the_server_and_nowhere_else(server, caplog, capsys, cache):
    url = server.url().replace('//', '//ann:s%40cret-word@') + '?token=another-secret&dl=1'
    server.files['/model.pth?token=another-secret&dl=1'] = server.files['/model.pth']
    fetch(url)
    assert server.heard[0]['Authorization'] == f'Basic {base64.b64encode(b"ann:s@cret-word").decode()}'
    shown = server.url().replace('//', '//***@') + '?***'
    said = []
    for served in (
        Served(instead=plain(404, Content_Length='0')),
        Served(b'<html>'),
        Served(instead=plain(302, Location='file:///x', Content_Length='0')),
        Served(headers={'Content-Encoding': 'gzip'}),
    ):
        server.files['/model.pth?token=another-secret&dl=1'] = served
        cached(url).unlink(missing_ok=True)
        with pytest.raises((FileNotFoundError, ValueError)) as error:
            fetch(url)
        assert shown in str(error.value)
        said.append(error.value)
    for bad in ('http://ann:s%40cret-word@127.0.0.1:x/m', 'http://ann:s%40cret-word@h:99999/m?token=another-secret'):
        with pytest.raises((FileNotFoundError, ValueError)) as error:
            fetch(bad)
        said.append(error.value)
    texts = [''.join(traceback.format_exception_only(error)) for error in said]
    assert all(error.__cause__ is None and error.__suppress_context__ for error in said)
    texts += [str(path) for path in cache.rglob('*')] + [caplog.text, *capsys.readouterr()]
    for text in texts:
        assert not re.search('s(%40|@)cret|another-secret', text)


@pytest.mark.parametrize(
    'address',
    [
        'http://h:0/m.pth?AKIASECRET',
        'http://h:0/m.pth?token=SECRET',
        'http://h:0/m.pth?a=b&SECRET#SECRET',
        'http://h:0/m.pth;k=SECRET',
        'http://h:0/m.pth#SECRET',
        'http://u:SECRET/SECRET@h/m.pth',
        'http://u:SECRET?SECRET@h/m.pth',
        'http://u:SECRET#SECRET@h/m.pth',
        'http://u:SECRET@SECRET@h:x/m.pth',
        'http://u:SECRET SECRET@h:x/m.pth',
        '//u:SECRET@h/m.pth',
        'http:/u:SECRET@h/m.pth',
        'http:u:SECRET@h/m.pth',
        's3://u:SECRET@h/m.pth?SECRET',
        ' http://u:SECRET@h/m.pth',
    ],
)
def test_no_secret_of_an_address_that_is_refused_is_shown(cache, address):
    with pytest.raises((FileNotFoundError, ValueError)) as error:
        local_path(address)
    assert 'SECRET' not in ''.join(traceback.format_exception_only(error.value))
    assert 'SECRET' not in without_secrets(address)


def test_no_key_gets_into_a_name(server, caplog):
    for path in ('/model.pth;k=SECRET', '/model.pth%3Bk=SECRET'):
        server.files[path] = Served()
        assert 'SECRET' not in str(fetch(server.url(path)))
    assert 'k=SECRET' not in caplog.text.replace('%3Bk=SECRET', '')  # there it is a part of the path


@pytest.mark.parametrize(
    'place',
    ['http://u:SECRET@127.0.0.1:9/x', 'http://127.0.0.1:9/x?sig=SECRET', 'file:///x?SECRET', 'http://u:SECRET@h:x/'],
)
def test_no_secret_of_a_redirect_is_shown(server, place):
    server.files['/model.pth'].instead = plain(302, Location=place, Content_Length='0')
    with pytest.raises((FileNotFoundError, ValueError)) as error:
        fetch(server.url())
    assert 'SECRET' not in str(error.value)


def test_what_a_server_says_does_not_steer_the_terminal(server):
    for head in (
        b'HTTP/1.1 403 \x1b[31mBAD /model.pth?k=SECRET\x1b[0m\r\nContent-Length: 0\r\n\r\n',
        b'HTTP/1.1 \x1b[31m no\r\n\r\n',
        b'HTTP/1.1 200 OK\r\nContent-Encoding: \x1b[31m\r\nContent-Length: 9\r\n\r\n',
    ):
        server.files['/model.pth'].instead = lambda handler, head=head: handler.wfile.write(head)
        with pytest.raises((FileNotFoundError, ValueError)) as error:
            fetch(server.url())
        assert str(error.value).isprintable()
        assert 'SECRET' not in str(error.value)
    assert cleaned('a\u202eb\nc') == 'a�b c'


@pytest.mark.parametrize(
    'address', ['http://[::1/x.pth', 'http://h:99999/x.pth', 'http://h:-1/x', 'http:///x.pth', 'https://']
)
def test_what_is_no_address_is_said(cache, address):
    for read in (read_checkpoint, cached):
        with pytest.raises(ValueError, match='is no address of a web server, expected http'):
            read(address)


@pytest.mark.parametrize(
    ('source', 'said'),
    [
        ('~nosuchuser/x.pth', 'cannot be found: Could not determine home directory'),
        ('x' * 5000, 'cannot be found: File name too long'),
        ('', 'does not exist'),
        (' ', 'does not exist'),
        ('\0.pth', 'does not exist'),
    ],
)
def test_paths_that_can_be_none_are_said(source, said):
    with pytest.raises(FileNotFoundError, match=f'the checkpoint .*{said}') as error:
        read_checkpoint(source)
    assert len(str(error.value)) < 2000


@pytest.mark.parametrize('number', [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_not_blamed_on_the_network(server, monkeypatch, number):
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr('fcntl.flock', flock)
    with pytest.raises(OSError, match=f'cannot be kept in .*: {os.strerror(number)}; make room there, let TORCH_HOME'):
        fetch(server.url())


def test_a_redirect_elsewhere_does_not_get_the_password(server):
    with serving() as other:
        server.files['/model.pth'].instead = plain(302, Location=other.url(), Content_Length='0')
        fetch(server.url().replace('//', '//ann:secret@'))
        assert 'Authorization' in server.heard[0]
        assert 'Authorization' not in other.heard[0]


# Checksums


def test_another_file_than_the_published_one_is_refused_and_forgotten(server):
    message = f'{re.escape(server.url())} has the sha256 {DIGEST}, expected a4d0d01f'
    with pytest.raises(ValueError, match=message):
        fetch(server.url(), 'a4d0d01f')
    assert rest(server.url()) <= {'model.pth.part.json'}


@pytest.mark.parametrize(
    ('name', 'right'), [(f'm-{DIGEST[:8]}.pth', True), (f'm-{DIGEST}.bin', True), ('m-0badcafe.pth', False)]
)
def test_a_checksum_in_the_name_is_checked(server, name, right):
    server.files[f'/{name}'] = Served()
    if right:
        assert fetch(server.url(f'/{name}')).read_bytes() == CONTENT
    else:
        with pytest.raises(ValueError, match='expected 0badcafe; .* fetch it by other means and give its path'):
            fetch(server.url(f'/{name}'))


@pytest.mark.parametrize('name', ['m-20220815.pth', 'm-abcd.pth', 'vit-base.pth', 'm-0badcafe-v2.pth', 'deadbeef.pth'])
def test_other_words_in_names_are_no_checksums(server, name):
    server.files[f'/{name}'] = Served()
    assert fetch(server.url(f'/{name}')).read_bytes() == CONTENT


@pytest.mark.parametrize('sha256', [None, DIGEST[:8]])
@pytest.mark.parametrize('damage', ['cut', 'one bit', 'longer', 'empty'])
def test_a_damaged_entry_is_fetched_again(server, sha256, damage):
    target = fetch(server.url(), sha256)
    flipped = bytearray(CONTENT)
    flipped[500_000] ^= 1
    target.write_bytes({'cut': CONTENT[:9], 'one bit': flipped, 'longer': CONTENT + b'x', 'empty': b''}[damage])
    assert fetch(server.url(), sha256) == target
    assert target.read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_a_damaged_entry_is_refused_by_name_without_a_network(server):
    target = fetch(server.url())
    target.write_bytes(CONTENT[:1000])
    server.files.clear()
    with pytest.raises(FileNotFoundError) as error:
        fetch(server.url())
    assert f'{target} is there, but damaged' in str(error.value)
    assert f'put it at {target}' in str(error.value)
    target.write_bytes(CONTENT)
    assert fetch(server.url()) == target


def test_a_file_of_pytorchs_own_cache_is_taken_if_its_checksum_says_so(server, cache):
    name = f'm-{DIGEST[:8]}.pth'
    server.files[f'/{name}'] = Served()
    cache.mkdir(parents=True)
    (cache / name).write_bytes(CONTENT)
    assert fetch(server.url(f'/{name}')) == cache / name
    assert server.asked == []
    (cache / name).write_bytes(OTHER)
    assert fetch(server.url(f'/{name}')).read_bytes() == CONTENT
    (cache / 'model.pth').write_bytes(OTHER)  # of whatever server
    assert fetch(server.url()).read_bytes() == CONTENT


# Without a network, or a disk


def test_without_a_server_it_says_what_to_fetch_and_where_to_put_it(cache):
    url = f'http://127.0.0.1:{free_port()}/model.pth'
    with pytest.raises(FileNotFoundError) as error:
        read_checkpoint(url)
    assert f'cannot fetch {url}' in str(error.value)
    assert f'put it at {cached(url)}' in str(error.value)
    torch.save(dict(weight=torch.ones(1)), cached(url))
    assert torch.equal(read_checkpoint(url)['weight'], torch.ones(1))


def in_child(work, *words: object) -> str:
    """What a function does in a process of its own: ``ok``, or its error."""
    reader, writer = FORK.Pipe(duplex=False)

    def run() -> None:
        try:
            work(*words)
            writer.send('ok')
        except BaseException as error:
            writer.send(f'{type(error).__name__}: {error}')

    process = FORK.Process(target=run)
    process.start()
    answer = reader.recv()
    process.join()
    return answer


def test_a_disk_that_takes_no_more_is_said_with_the_remedy(server):
    def fetch_little() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
        fetch(server.url())

    answer = in_child(fetch_little)
    folder = cached(server.url()).parent
    assert answer.startswith(f'OSError: {server.url()} cannot be kept in {folder}: File too large; make room there')
    assert 'TORCH_HOME' in answer
    assert fetch(server.url()).read_bytes() == CONTENT
    assert server.ranges[0] is None
    assert server.ranges[-1] != server.ranges[0]


@pytest.mark.parametrize('place', ['/dev/null/cache', '/proc/cache', '{tmp}/file/cache'])
def test_a_cache_that_cannot_be_made_is_said_with_the_remedy(server, tmp_path, monkeypatch, place):
    (tmp_path / 'file').touch()
    monkeypatch.setenv('TORCH_HOME', place.format(tmp=tmp_path))
    with pytest.raises(OSError, match=r'cannot be kept in .*; make room there, let TORCH_HOME name a folder'):
        fetch(server.url())


def test_a_cache_that_is_read_only_serves_what_it_has(server, monkeypatch):
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv('TORCH_HOME', folder)
        fetch(server.url())
        for path in [*Path(folder).rglob('*'), Path(folder)]:
            path.chmod(0o555 if path.is_dir() else 0o444)

        def as_somebody(path: str) -> None:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            assert fetch(server.url(path)).read_bytes() == CONTENT

        assert in_child(as_somebody, '/model.pth') == 'ok'
        answer = in_child(as_somebody, '/other.pth')
        assert answer.startswith(f'OSError: {server.url("/other.pth")} cannot be kept in {folder}/')
        assert 'Permission denied; make room there, let TORCH_HOME name a folder that can be written' in answer
        for path in [Path(folder), *Path(folder).rglob('*')]:
            path.chmod(0o755)
    assert [path for path, _ in server.asked] == ['/model.pth']


# Several processes


def children(number: int, url: str, delay: float, sha256: str | None = None) -> list:
    """Processes that fetch at the same moment, or one after the other; each ends with 0 if it has the right bytes."""
    start = FORK.Barrier(number)

    def run(rank: int) -> None:
        start.wait()
        time.sleep(rank * delay)
        right = fetch(url, sha256).read_bytes() == CONTENT
        os._exit(0 if right else 1)

    processes = [FORK.Process(target=run, args=(rank,)) for rank in range(number)]
    for process in processes:
        process.start()
    return processes


@pytest.mark.parametrize('delay', [0, 0.1])
@pytest.mark.parametrize('headers', [{'ETag': '"one"'}, {}])
def test_of_several_processes_one_fetches_and_the_others_wait(server, delay, headers):
    served = server.files['/model.pth']
    served.each, served.headers = lambda: time.sleep(0.02), headers
    processes = children(4, server.url(), delay)
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert server.ranges == [None]
    assert rest(server.url()) == {'model.pth', 'model.pth.sha256'}


def test_several_processes_live_through_a_server_that_breaks_off(server):
    served = server.files['/model.pth']
    served.breaks = [200_000, 0, 300_000, 0, 100_000]
    processes = children(4, server.url(), 0)
    for process in processes:
        process.join(60)
    assert cached(server.url()).read_bytes() == CONTENT
    assert sum(process.exitcode == 0 for process in processes) >= 2  # a break without a byte ends its process
    assert len(server.asked) <= 6


@pytest.mark.parametrize('headers', [{'ETag': '"one"'}, {}])
def test_when_the_one_that_fetches_is_killed_the_next_goes_on(server, headers):
    served = server.files['/model.pth']
    served.each, served.headers = lambda: time.sleep(0.05), headers
    first = children(1, server.url(), 0)[0]
    part = cached(server.url()).with_name('model.pth.part')
    wait_for(lambda: part.is_file() and part.stat().st_size >= 200_000)
    second = children(1, server.url(), 0)[0]
    time.sleep(0.1)
    assert len(server.asked) == 1
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    second.join(60)
    assert second.exitcode == 0
    assert cached(server.url()).read_bytes() == CONTENT
    assert (server.ranges[1] is not None) == bool(headers)


def test_kills_at_any_time_leave_nothing_wrong(server):
    served = server.files['/model.pth']
    served.each = lambda: time.sleep(0.003)
    target = cached(server.url())
    for wait in range(12):
        process = children(1, server.url(), 0)[0]
        time.sleep(0.01 * wait)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert not target.exists() or target.read_bytes() == CONTENT
    assert fetch(server.url()).read_bytes() == CONTENT


@pytest.mark.long
def test_two_processes_train_from_an_address_with_an_empty_cache(server, motion, tiny_checkpoint, tmp_path):
    server.files['/model.pth'].content = tiny_checkpoint.read_bytes()
    server.files['/backbone.pth'] = Served(tiny_checkpoint.read_bytes(), each=lambda: time.sleep(0.1))
    changes = {'max_epochs': 1, 'load_from': server.url(), 'start': server.url('/backbone.pth')}
    changes |= {'model.backbone.num_layers': 4, 'model.backbone.drop_path_rate': 0.0}
    words = ['--work-dir', tmp_path / 'work', *options(motion, **changes)]
    run_tool('tools/dist_train.sh', TINY, 2, *words)
    assert sorted(server.asked) == [('/backbone.pth', None), ('/model.pth', None)]
    assert (tmp_path / 'work/epoch_1.pth').is_file()


# Names


def test_a_name_leads_to_its_published_file(cache):
    url = next(
        model['Weights']
        for model in yaml.safe_load(MODEL_INDEX.read_text())['Models']
        if model['Name'] == 'timesformer_base_k400'
    )
    path = cached(url)
    assert path.name == 'TimeSformer_divST_8x32_224_K400.pyth'
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
        assert Path(ROOT, model['Config']).is_file() if model['In Collection'] == 'TimeSformer' else model['Weights']
    published = [model['Weights'] for model in models if 'Weights' in model]
    assert len(set(published)) == 16 + 39
    assert all(address.startswith('https://') for address in published)


def test_a_model_without_published_weights_is_no_name_of_weights():
    with pytest.raises(FileNotFoundError, match='no published weights of that name'):
        local_path('timesformer_axial_k400')
