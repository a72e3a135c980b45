"""Envelopes open where they were closed and nowhere else; the key file is its owner's alone."""

import base64
import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.secret import Secret
from accredit.seal import KEY_BYTES, OVERHEAD_BYTES, Sealer, SealError

ONE = Secret(b"1" * KEY_BYTES)
TWO = Secret(b"2" * KEY_BYTES)
PLACE = ("enrollments", "group/fleet", "sealed")

sealer = Sealer([ONE])
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


class TestEnvelopes:
    @given(st.binary(), names, names, names)
    def test_what_is_sealed_opens_at_its_place(self, content, table, key, column):
        envelope = sealer.seal(content, table, key, column)
        assert len(envelope) == len(content) + OVERHEAD_BYTES
        assert sealer.open(envelope, table, key, column) == content

    @given(st.tuples(names, names, names), st.tuples(names, names, names))
    def test_at_another_place_it_does_not_open(self, place, other):
        envelope = sealer.seal(b"secret", *place)
        if place != other:
            with pytest.raises(SealError, match="belongs somewhere else"):
                sealer.open(envelope, *other)

    @given(st.data())
    def test_a_changed_bit_is_noticed(self, data):
        envelope = bytearray(sealer.seal(b"a secret of some length", *PLACE))
        bit = data.draw(st.integers(0, len(envelope) * 8 - 1))
        envelope[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealError):
            sealer.open(bytes(envelope), *PLACE)

    @given(st.binary(max_size=80))
    def test_what_was_never_an_envelope_is_refused(self, rubbish):
        with pytest.raises(SealError, match="group/fleet"):
            sealer.open(rubbish, *PLACE)

    @pytest.mark.parametrize("size", range(OVERHEAD_BYTES))
    def test_a_cut_envelope_is_refused(self, size):
        with pytest.raises(SealError, match="damaged"):
            sealer.open(sealer.seal(b"", *PLACE)[:size], *PLACE)

    def test_the_same_secret_looks_different_every_time(self):
        assert len({sealer.seal(b"secret", *PLACE) for _ in range(100)}) == 100

    def test_the_secret_is_not_in_it(self):
        assert b"a secret" not in sealer.seal(b"a secret", *PLACE)


class TestKeys:
    def test_the_first_seals_and_any_opens(self):
        old = Sealer([ONE]).seal(b"secret", *PLACE)
        rotated = Sealer([TWO, ONE])
        assert rotated.open(old, *PLACE) == b"secret"
        new = rotated.seal(b"secret", *PLACE)
        assert Sealer([TWO]).open(new, *PLACE) == b"secret"
        with pytest.raises(SealError):
            Sealer([ONE]).open(new, *PLACE)

    def test_another_key_is_told_by_name(self):
        envelope = Sealer([TWO]).seal(b"secret", *PLACE)
        message = f"sealed with another master key .key id {Sealer([TWO]).key_id}.; loaded: {sealer.key_id}"
        with pytest.raises(SealError, match=message):
            sealer.open(envelope, *PLACE)

    def test_a_key_id_tells_nothing_of_the_key(self):
        assert sealer.key_id not in ONE.reveal().hex()
        assert sealer.key_id == Sealer([ONE]).key_id != Sealer([TWO]).key_id

    def test_at_least_one_of_the_right_size(self):
        with pytest.raises(SealError, match="No master key"):
            Sealer([])
        with pytest.raises(SealError, match="32 bytes, not 31"):
            Sealer([Secret(b"x" * 31)])

    def test_derived_keys_depend_on_purpose_context_and_key(self):
        assert sealer.derive("heads", b"1") == Sealer([ONE, TWO]).derive("heads", b"1")
        derived = {
            sealer.derive("heads", b"1"),
            sealer.derive("heads", b"2"),
            sealer.derive("tails", b"1"),
            sealer.derive("heads", b""),
            Sealer([TWO]).derive("heads", b"1"),
            ONE,
        }
        assert len(derived) == 6
        assert {len(key.reveal()) for key in derived} == {32}


class TestFiles:
    def test_a_made_key_is_found_again(self, tmp_path):
        path = tmp_path / "master.key"
        envelope = Sealer.create(path).seal(b"secret", *PLACE)
        assert Sealer.load(path).open(envelope, *PLACE) == b"secret"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert os.listdir(tmp_path) == ["master.key"]

    def test_two_made_keys_differ(self, tmp_path):
        assert Sealer.create(tmp_path / "a").key_id != Sealer.create(tmp_path / "b").key_id

    def test_a_key_file_is_never_overwritten(self, tmp_path):
        path = tmp_path / "master.key"
        path.write_bytes(b"precious")
        with pytest.raises(SealError, match="exists already"):
            Sealer.create(path)
        assert path.read_bytes() == b"precious"
        assert os.listdir(tmp_path) == ["master.key"]

    def test_no_folder_no_key(self, tmp_path):
        with pytest.raises(SealError, match="can't be made"):
            Sealer.create(tmp_path / "missing" / "master.key")

    @pytest.mark.parametrize(
        "content",
        [
            bytes(range(32)),
            base64.b64encode(bytes(range(32))),
            base64.b64encode(b"\xff" * 32) + b"\r\n",
            base64.urlsafe_b64encode(b"\xff" * 32).rstrip(b"=") + b"\n",
        ],
        ids=["raw", "base64", "line", "urlsafe"],
    )
    def test_raw_or_base64(self, tmp_path, content):
        path = self.file(tmp_path, content)
        key = bytes(range(32)) if b"/" not in content and b"_" not in content else b"\xff" * 32
        assert Sealer.load(path).key_id == Sealer([Secret(key)]).key_id

    @pytest.mark.parametrize(
        "content", [b"", b"x" * 31, b"x" * 33, base64.b64encode(b"x" * 31), b"\xff" * 44, b"A" * 9999]
    )
    def test_anything_else_is_refused(self, tmp_path, content):
        path = self.file(tmp_path, content)
        with pytest.raises(SealError, match=f"{path} does not hold a key"):
            Sealer.load(path)

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o660])
    def test_others_must_not_read_it(self, tmp_path, mode):
        path = self.file(tmp_path, b"x" * 32, mode)
        with pytest.raises(SealError, match=f"mode {mode:04o}.: run `chmod 600 {path}`"):
            Sealer.load(path)

    def test_a_read_only_file_will_do(self, tmp_path):
        Sealer.load(self.file(tmp_path, b"x" * 32, 0o400))

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(SealError, match="nowhere.*No such file"):
            Sealer.load(tmp_path / "nowhere")
        with pytest.raises(SealError, match="can't be read"):
            Sealer.load(tmp_path)

    def test_several_files(self, tmp_path):
        Sealer.create(tmp_path / "new")
        Sealer.create(tmp_path / "old")
        envelope = Sealer.load(tmp_path / "old").seal(b"secret", *PLACE)
        both = Sealer.load(tmp_path / "new", tmp_path / "old")
        assert both.open(envelope, *PLACE) == b"secret"
        assert both.key_id == Sealer.load(tmp_path / "new").key_id

    def file(self, folder, content, mode=0o600):
        path = folder / "master.key"
        path.write_bytes(content)
        path.chmod(mode)
        return path
