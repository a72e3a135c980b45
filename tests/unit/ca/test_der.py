"""Writing DER: what is written is read back, by ourselves and by the library."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.ca import der
from accredit.domain.der import content


@given(st.integers(0, 255), st.lists(st.binary(max_size=300), max_size=4))
def test_an_element_reads_back(tag, parts):
    written = der.element(tag, *parts)
    start, end = content(written, 0, tag)
    assert written[start:end] == b"".join(parts)
    assert end == len(written)


@pytest.mark.parametrize(
    ("size", "header"),
    [
        (0, "3000"),
        (0x7F, "307f"),
        (0x80, "308180"),
        (0xFF, "3081ff"),
        (0x100, "30820100"),
        (0xFFFF, "3082ffff"),
        (0x10000, "3083010000"),
    ],
)
def test_a_length_takes_the_fewest_octets(size, header):
    assert der.element(0x30, bytes(size)).removesuffix(bytes(size)).hex() == header


class TestTime:
    """RFC 5280, 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050 on; seconds always, Zulu always."""

    @pytest.mark.parametrize(
        ("instant", "expected"),
        [
            (0, b"\x17\x0d700101000000Z"),
            (1_800_000_000, b"\x17\x0d270115080000Z"),
            (2_524_607_999, b"\x17\x0d491231235959Z"),
            (2_524_608_000, b"\x18\x0f20500101000000Z"),
            (253_402_300_799, b"\x18\x0f99991231235959Z"),
        ],
    )
    def test_both_forms(self, instant, expected):
        assert der.time(instant) == expected

    @given(st.integers(0, 253_402_300_799))
    def test_every_instant(self, instant):
        moment = datetime.fromtimestamp(instant, UTC)
        form = "%y%m%d%H%M%SZ" if moment.year < 2050 else "%Y%m%d%H%M%SZ"
        assert der.time(instant)[2:].decode() == moment.strftime(form)
