"""Call what reads or writes addresses: again where a failure may pass, and with errors of one line."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import tenacity

from .locations import scheme_of
from .text import without_secrets

T = TypeVar('T')
#: How often a call is tried that fails for a reason that may pass, in all; the waits between double from the first
ATTEMPTS, FIRST_WAIT, LONGEST_WAIT = 6, 0.2, 3.0
#: Seconds after which a server that does not answer, or does not go on, is taken for gone
CONNECT_TIMEOUT, READ_TIMEOUT = 5, 20
#: Seconds after which nothing is tried again: a data worker waits for a video for 60
PATIENCE = 30
#: By names of classes, so that nothing is imported for them: errors of the libraries' that may pass
PASSING = {
    *(
        'ClientConnectionError',
        'ClientPayloadError',
        'PayloadEncodingError',
        'ConnectionError',
        'EndpointConnectionError',
        'FSTimeoutError',
    ),
    *('HTTPClientError', 'IncompleteRead', 'IncompleteReadError', 'ProtocolError', 'ResponseStreamingError'),
    *('ServiceRequestError', 'ServiceResponseError', 'TimeoutError', 'gaierror'),
}
#: and those that tell of missing or refused credentials
OF_CREDENTIALS = {
    *('ClientAuthenticationError', 'CredentialRetrievalError', 'DefaultCredentialsError', 'NoCredentialsError'),
    *('PartialCredentialsError', 'ProfileNotFound', 'RefreshError', 'TokenRetrievalError', 'LocalTokenNotFoundError'),
}
#: Numbers of system errors that may pass, as s3fs tells of 500 and 503
PASSING_NUMBERS = {errno.EBUSY, errno.EIO, errno.ETIMEDOUT, errno.ECONNRESET, getattr(errno, 'EREMOTEIO', errno.EIO)}
#: Answers of servers that may pass
PASSING_ANSWERS = {408, 425, 429, 500, 502, 503, 504}
#: Whose keys the libraries find, and where
CREDENTIALS = {
    's3': 'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE',
    's3a': 'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE',
    'gs': 'GOOGLE_APPLICATION_CREDENTIALS',
    'gcs': 'GOOGLE_APPLICATION_CREDENTIALS',
    'az': 'AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_STORAGE_CONNECTION_STRING',
    'abfs': 'AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_STORAGE_CONNECTION_STRING',
    'hf': 'HF_TOKEN',
}
EXTRA = "pip install 'mmtsf[storage]'"

_attempts: ContextVar[int] = ContextVar('attempts', default=ATTEMPTS)


class UnreachableError(ConnectionError):
    """A server that does not answer, or answers that it cannot at present, also after several tries."""


class NoRangesError(OSError):
    """A server that gives a whole file where a range of it was asked for."""


class ChangedError(OSError):
    """A file that is another one than when its reading began.

    Args:
        address (object): Where it is.
    """

    def __init__(self, address: object) -> None:
        super().__init__(f'{without_secrets(str(address))} has changed while it was read; read it again')

    def __reduce__(self) -> tuple:
        return OSError, self.args


@contextmanager
def few_attempts(number: int = 2) -> Iterator[None]:
    """Try calls inside only so often, where a person waits for the answer."""
    before = _attempts.set(number)
    try:
        yield
    finally:
        _attempts.reset(before)


def attempt(address: object, call: Callable[..., T], *args: Any, **more: Any) -> T:
    """Call what reads or writes an address; again after a while if it fails for a reason that may pass.

    Args:
        address (object): What it is about, for messages.
        call (Callable): What is called.
        args: Its arguments.
        more: Its named arguments.

    Raises:
        OSError: If it fails, see :func:`clear`.
        ValueError: If a package is missing.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(may_pass),
        wait=tenacity.wait_exponential_jitter(initial=FIRST_WAIT, max=LONGEST_WAIT, jitter=FIRST_WAIT),
        stop=tenacity.stop_after_attempt(_attempts.get()) | tenacity.stop_after_delay(PATIENCE),
        reraise=True,
    )
    try:
        return retrying(call, *args, **more)
    except Exception as error:
        told = clear(error, address)
        if told is error:
            raise
        raise told from error


def _names(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that it was raised for."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        yield cause
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__


def _answer(error: BaseException) -> int | None:
    """The status that a server has answered with, where an error holds it."""
    response = getattr(error, 'response', None)
    metadata = response.get('ResponseMetadata', {}) if isinstance(response, dict) else {}
    found = (getattr(error, name, None) for name in ('status', 'status_code', 'code'))
    numbers = (metadata.get('HTTPStatusCode'), *found, getattr(response, 'status_code', None))
    return next((number for number in numbers if isinstance(number, int)), None)


def may_pass(error: BaseException) -> bool:
    """Return whether an error may pass: a server that cannot at present, a connection that broke. Rights, absence and
    a missing package do not."""
    if isinstance(error, (UnreachableError, ImportError)):
        return False
    for cause in reversed(list(_causes(error))):  # fsspec says of all on the web that it is not there
        if _names(cause) & OF_CREDENTIALS:
            return False
        if _names(cause) & PASSING:
            return True
        if (answer := _answer(cause)) is not None:
            return answer in PASSING_ANSWERS
        if isinstance(cause, OSError) and cause.errno in PASSING_NUMBERS:
            return True
        if isinstance(cause, (PermissionError, FileNotFoundError)):
            return False
    return False


def clear(error: BaseException, address: object) -> BaseException:
    """Return what tells a user in one line why an address cannot be read or written; the error itself where it is none
    of storage.

    Args:
        error (BaseException): What a library has raised.
        address (object): What it was about.
    """
    told = IsADirectoryError, NotADirectoryError, FileExistsError, UnreachableError, NoRangesError, ChangedError
    if isinstance(error, told):
        return error
    shown, scheme = without_secrets(str(address)), scheme_of(str(address)) or ''
    *_, first = causes = list(_causes(error))
    names = set().union(*map(_names, causes))
    answer = next(filter(None, map(_answer, causes)), None)
    of_web = any(type(cause).__module__.startswith('aiohttp') for cause in causes)
    said = f'({type(first).__name__}: {" ".join(without_secrets(str(first)).split())[:200]})'
    keys = f'; set {CREDENTIALS[scheme]}' if scheme in CREDENTIALS else '; correct the address'
    if isinstance(error, ImportError):
        return ValueError(f'{shown} needs a package of the extra storage; {EXTRA} {said}')
    if names & OF_CREDENTIALS or answer == 401:
        return PermissionError(f'{shown}: no credentials for it were found, or they are not valid{keys} {said}')
    if answer == 403 or (isinstance(error, PermissionError) and answer is None):
        return PermissionError(f'{shown}: no rights to it{keys} {said}')
    if may_pass(error):
        return UnreachableError(f'{shown} cannot be reached; check the network and the address {said}')
    if answer == 412:
        return ChangedError(address)
    if 'TooManyRedirects' in names:
        return OSError(f'{shown} is led on from one address to the next without an end; correct the address {said}')
    if answer in (404, 410) or (isinstance(error, FileNotFoundError) and answer is None and not of_web):
        return FileNotFoundError(f'{shown} does not exist; correct the address')
    if answer is not None or isinstance(error, OSError) or of_web or type(error).__module__.startswith('botocore'):
        return OSError(f'{shown} cannot be read or written {said}')
    return error
