"""Find out whether packets of H.264 are missing, by the numbers of frames in its bitstream."""

from collections.abc import Iterator

from .bitstream import units

#: Profiles whose parameters tell the format of colours
WITH_COLOURS = {44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244}


class FrameNumbers:
    """Follow the numbers of frames (ISO/IEC 14496-10, 7.4.3: ``frame_num``), which count those that others refer to.

    Args:
        extradata (bytes): What the container tells of the stream: ``avcC``, or units with start codes.
        length_size (int): Bytes of the lengths before units, 0 if there are start codes.
    """

    def __init__(self, extradata: bytes, length_size: int) -> None:
        self.length_size = length_size
        self._bits: int | None = None  # of a number
        self._planes = False
        self._last = 0
        stored = list(_stored(extradata)) if length_size else [extradata[a:b] for a, b in units(extradata, 0)]
        for unit in stored:
            self._note_parameters(unit)

    def follows(self, data: bytes) -> bool:
        """Whether no frame that others may refer to is missing between the last packet and this one.

        Raises:
            ValueError: If it is damaged.
            IndexError: The same.
        """
        for start, end in units(data, self.length_size):
            kind, is_referred = data[start] & 31, data[start] >> 5 & 3 > 0
            self._note_parameters(data[start : min(end, start + 64)])
            if kind not in (1, 5):
                continue
            number, last = self._number(data[start + 1 : start + 24]), self._last
            if number is None or kind == 1 and number not in (last, (last + 1) % (1 << (self._bits or 0))):
                return False
            if is_referred:
                self._last = number
            return True
        return True

    def _number(self, header: bytes) -> int | None:
        if self._bits is None:
            return None
        bits = _Bits(header)
        for _ in range(3):  # first macroblock, type of the slice, picture parameters
            bits.code()
        bits.take(2 if self._planes else 0)
        return bits.take(self._bits)

    def _note_parameters(self, unit: bytes) -> None:
        if not unit or unit[0] & 31 != 7:
            return
        bits = _Bits(unit[1:])
        profile = bits.take(24) >> 16
        bits.code()
        self._planes = False
        if profile in WITH_COLOURS:
            self._planes = bits.code() == 3 and bits.take(1) == 1
            bits.code(), bits.code(), bits.take(1)
            if bits.take(1):  # matrices, which are long
                self._bits = None
                return
        self._bits = bits.code() + 4


class _Bits:
    """Bits of a unit, without the bytes that keep start codes out of it."""

    def __init__(self, data: bytes) -> None:
        plain = data.replace(b'\0\0\3', b'\0\0')
        self.length = 8 * len(plain)
        self.value = int.from_bytes(plain, 'big')

    def take(self, count: int) -> int:
        if count > self.length:
            raise ValueError
        self.length -= count
        return self.value >> self.length & (1 << count) - 1

    def code(self) -> int:
        """Exp-Golomb code of an unsigned number (9.1)."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)


def _stored(extradata: bytes) -> Iterator[bytes]:
    """Sequence parameters in an ``avcC`` (ISO/IEC 14496-15)."""
    place = 6
    for _ in range(extradata[5] & 31):
        size = int.from_bytes(extradata[place : place + 2], 'big')
        yield extradata[place + 2 : place + 2 + size]
        place += 2 + size
