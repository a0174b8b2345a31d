"""Tell the mistakes of users, which are one line, from faults of the program, which show where they come from."""

import dis
import errno
import re
import shlex
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import metadata
from types import FrameType, TracebackType

#: Errors of files and sockets that say what is wrong with what the user gave, or with the machine
OF_THE_SYSTEM = (
    'ENOENT EACCES EPERM EISDIR ENOTDIR EEXIST ENOTEMPTY ENAMETOOLONG ELOOP ENOSPC EDQUOT EROFS EFBIG EMFILE ENFILE '
    'EADDRINUSE EADDRNOTAVAIL ECONNREFUSED EHOSTUNREACH ENETUNREACH ETIMEDOUT'
)
#: Where an error that is raised by name is meant for the user
OURS = ('/mmtsf/', '/mmengine/config/', '/mmengine/registry/', '/mmengine/utils/')
#: What is meant so wherever it is raised, by the names of its class, so that nothing is imported for them
MEANT = ('BrokenVideoError', 'URLError', 'HTTPError', 'gaierror', 'UnpicklingError')
#: Packages that are installed by another name than they are imported by
INSTALLED_AS = {
    'PIL': 'pillow',
    'cv2': 'opencv-python',
    'mlflow': 'mlflow-skinny',
    'sklearn': 'scikit-learn',
    'yaml': 'pyyaml',
}
#: How errors of other packages begin or read whose remedy they do not tell, and the remedy
REMEDIES = {
    'Torch not compiled with CUDA enabled': 'this PyTorch has no CUDA; use the CPU, or install one that has',
    'Found no NVIDIA driver': 'there is no GPU or no driver; use the CPU',
    'No CUDA GPUs are available': 'there is no GPU, or CUDA_VISIBLE_DEVICES hides it; use the CPU',
    'invalid device ordinal': 'there is no GPU of that number; see nvidia-smi',
    'CUDA unknown error': 'the GPU cannot be used; see nvidia-smi',
    'Invalid device string': 'expected cpu, cuda or cuda:NUMBER',
    'device type at start of device string': 'expected cpu, cuda or cuda:NUMBER',
    'None is not a callable object': 'there is no optimizer of that name',
    'EADDRINUSE': 'the port is in use by another run; give another as PORT=29501',
    'Cannot find empty port': 'the page cannot be served there; give another --port or --host',
    'Address already in use': 'the port is in use; give another one',
}
#: How messages say that memory is short
NO_MEMORY = ('CUDA out of memory', 'DefaultCPUAllocator', 'Cannot allocate memory', 'CUDA error: out of memory')
HELPS = 'model.backbone.with_cp=True, a smaller train_dataloader.batch_size or clip.size, and --amp take less'


def mistake(error: BaseException) -> str | None:
    """Return one line for the user, where an error tells of a mistake or of what the machine lacks; None for a fault of
    the program."""
    return next(filter(None, (find(error) for find in FINDERS)), None)


def _of_memory(error: BaseException) -> str | None:
    short = isinstance(error, MemoryError) or type(error).__name__ == 'OutOfMemoryError'
    if short or any(words in str(error) for words in NO_MEMORY):
        said = plain(error).partition('. ')[0]
        return said if said.startswith('out of memory') else f'out of memory: {said}; {HELPS}'
    return None


def _of_a_worker(error: BaseException) -> str | None:
    """What a data worker has raised, of which PyTorch tells only the text."""
    head, words, raised = str(error).partition('Original Traceback (most recent call last):\n')
    if not words or not head.startswith('Caught '):
        return None
    places = list(re.finditer(r'  File "(.*)", line \d+, in .*\n    (.*)\n', raised))
    told = re.split(r'^(?=\S)', raised, flags=re.MULTILINE)[-1]
    name, _, message = told.partition(': ')
    deliberate = bool(places) and _is_ours(places[-1][1]) and places[-1][2].startswith('raise ')
    if name.rpartition('.')[2] in MEANT or deliberate:
        return ' '.join(message.split())
    return None


def _of_a_config(error: BaseException) -> str | None:
    """An error in the code of a config file, with its line; MMEngine names the file of a syntax error itself."""
    frames = list(frames_of(error))
    if isinstance(error, SyntaxError):
        files = [frame.f_locals.get('filename') for frame, _ in frames if _reads_configs(frame)]
        return plain(error).replace('<unknown>', str(next(filter(None, reversed(files)), 'the config')))
    for (reader, _), (frame, line) in zip(frames, frames[1:]):
        is_file = frame.f_code.co_name == '<module>' and not frame.f_code.co_filename.startswith('<frozen')
        if is_file and _reads_configs(reader):
            return f'{frame.f_code.co_filename}, line {line}: {type(error).__name__}: {plain(error)}'
    return None


def _reads_configs(frame: FrameType) -> bool:
    return frame.f_code.co_filename.endswith('mmengine/config/config.py')


def _of_a_package(error: BaseException) -> str | None:
    if not isinstance(error, ModuleNotFoundError) or not error.name or error.name.split('.')[0] == 'mmtsf':
        return None
    package = error.name.split('.')[0]
    return f'the package {package} is missing; pip install {shlex.quote(_requirement(package))}'


def _requirement(package: str) -> str:
    """Return what this package requires of another one, which extras may ask for; its name, if nothing."""
    from packaging.requirements import Requirement

    name = INSTALLED_AS.get(package, package)
    with suppress(metadata.PackageNotFoundError):
        for required in map(Requirement, metadata.requires('mmtsf') or ()):
            extra = re.search(r'extra == "(\w+)"', str(required.marker))
            is_for_us = required.marker is None or required.marker.evaluate({'extra': extra[1] if extra else ''})
            if required.name == name and is_for_us:
                return f'{name}{required.specifier}'
    return name


def _of_a_component(error: BaseException) -> str | None:
    """What a component of another project refuses, or a wrong keyword of one, while it is built from the config."""
    context = error.__context__
    frames = [frame for frame, _ in frames_of(error)]
    if context is not None and frames and frames[-1].f_code.co_name == 'call_hook':  # MMEngine raises it anew
        return _of_a_component(context) or _keyword_of_a_hook(context)
    names = [place for place, frame in enumerate(frames) if _builds(frame)]
    if not names or not isinstance(error, (TypeError, ValueError, KeyError, AttributeError, AssertionError)):
        return None
    inside = frames[names[-1] + 1 :]
    passed_on = all(frame.f_code.co_name in ('__init__', 'refuse_unknown') for frame in inside)
    is_keyword = isinstance(error, TypeError) and 'argument' in str(error) and passed_on
    is_of_others = not any(_is_ours(frame.f_code.co_filename) for frame in (inside[-1:] if passed_on else inside))
    if not (is_keyword or (inside and is_of_others)):
        return None
    kind = next(filter(None, map(_type_in, reversed(frames[names[-1] :]))), None)
    return f'in the config{", " + kind if kind else ""}: {_of_other_packages(error) or plain(error)}'


def _keyword_of_a_hook(error: BaseException) -> str | None:
    is_keyword = isinstance(error, TypeError) and 'unexpected keyword argument' in str(error)
    return f'in the config: {plain(error)}' if is_keyword else None


def _builds(frame: FrameType) -> bool:
    """Return whether a frame is MMEngine's, of a function that builds what a config names."""
    return frame.f_code.co_name.startswith('build') and '/mmengine/' in frame.f_code.co_filename


def _type_in(frame: FrameType) -> str | None:
    """Return the type that a frame is building."""
    for name in ('optimizer_cfg', 'cfg'):
        config = frame.f_locals.get(name)
        if isinstance(config, dict) and isinstance(config.get('type'), (str, type)):
            return str(getattr(config['type'], '__name__', config['type']))
    return None


def _of_the_system(error: BaseException) -> str | None:
    number = (error.errno or 0) if isinstance(error, OSError) else 0
    return plain(error) if errno.errorcode.get(number) in OF_THE_SYSTEM.split() else None


def _of_other_packages(error: BaseException) -> str | None:
    words = next((words for words in REMEDIES if words in str(error)), None)
    return words and f'{plain(error).partition(". ")[0]}; {REMEDIES[words]}'


def _deliberate(error: BaseException) -> str | None:
    """What our code raises by name, or MMEngine's of configs and registries; what only happens there is a fault."""
    if type(error).__name__ in MEANT:
        return plain(error)
    frames = list(frames_of(error))
    if not frames or isinstance(error, (AssertionError, NotImplementedError)):
        return None
    return plain(error) if _is_ours(frames[-1][0].f_code.co_filename) and _raises(error) else None


#: In the order in which they are asked
FINDERS: tuple[Callable[[BaseException], str | None], ...] = (
    _of_memory,
    _of_a_worker,
    _of_a_config,
    _of_a_package,
    _of_a_component,
    _of_other_packages,
    _of_the_system,
    _deliberate,
)


def plain(error: BaseException) -> str:
    """Return an error's message as one line; a KeyError's without quotes."""
    is_words = isinstance(error, KeyError) and error.args and ' ' in str(error.args[0])
    text = str(error.args[0] if is_words else error) or type(error).__name__
    for rest in (' More details can be found at ', ', the current sys.path is'):  # of MMEngine's messages
        text = text.partition(rest)[0]
    cause = f': {error.__cause__}' if isinstance(error, ImportError) and error.__cause__ else ''
    return ' '.join(f'{text}{cause}'.split())


def frames_of(error: BaseException) -> Iterator[tuple[FrameType, int]]:
    """Return the frames that an error came through, outermost first, with their lines."""
    return traceback.walk_tb(error.__traceback__)


def _is_ours(file: str) -> bool:
    return any(place in file.replace('\\', '/') for place in OURS)


def _raises(error: BaseException) -> bool:
    """Return whether the innermost frame had come to a ``raise``."""
    last: TracebackType | None = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is not None and dis.opname[last.tb_frame.f_code.co_code[last.tb_lasti]] == 'RAISE_VARARGS'
