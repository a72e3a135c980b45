"""The rule for outbound addresses and its allow list."""

import ipaddress
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accredit.config import BadSetting
from accredit.policy.destinations import BadDestination, EgressRules, destination


def objection(rules: EgressRules, url: str, address: str) -> str | None:
    target = destination(url)
    return rules.objection(
        plain=target.scheme == "http",
        host=target.host,
        port=target.port,
        address=ipaddress.ip_address(address),
    )


class TestForWebhooks:
    """https only; what is not public only where it is listed, link-local too."""

    rules = EgressRules(public_only=True)

    @pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800::1"])
    def test_public_addresses(self, address):
        assert objection(self.rules, "https://hook.example", address) is None

    @pytest.mark.parametrize(
        "address",
        [
            "10.1.2.3", "192.168.0.9", "172.16.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "::1", "fd00::7",
            "fe80::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "198.18.0.1", "192.0.2.1",
            "::10.0.0.1", "::ffff:0:a00:1", "64:ff9b:1::a00:1", "fec0::1", "5f00::1",
        ],
    )  # fmt: skip
    def test_others_only_where_they_are_listed(self, address):
        assert "no public address" in (objection(self.rules, "https://hook.example", address) or "")
        listed = EgressRules(("hook.example",), public_only=True)
        assert objection(listed, "https://hook.example", address) is None
        assert objection(listed, "https://other.example", address)

    def test_plain_http_never(self):
        listed = EgressRules(("hook.example", "127.0.0.1"), public_only=True)
        for address in ("93.184.216.34", "127.0.0.1"):
            assert "plain http" in (objection(listed, "http://hook.example", address) or "")

    @pytest.mark.parametrize("address", ["0.0.0.0", "0.1.2.3", "224.0.0.1", "ff02::1"])
    def test_addresses_of_no_single_host_never(self, address):
        everything = EgressRules(("hook.example", "0.0.0.0/0", "::/0"), public_only=True)
        assert objection(everything, "https://hook.example", address)


class TestWithoutAList:
    rules = EgressRules()

    @pytest.mark.parametrize(
        "address", ["93.184.216.34", "10.1.2.3", "192.168.0.9", "2606:2800::1", "fd00::7"]
    )
    def test_https_goes_to_public_and_private_addresses(self, address):
        assert objection(self.rules, "https://ca.example", address) is None

    @pytest.mark.parametrize(
        "address",
        ["169.254.169.254", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"],
    )
    def test_link_local_is_never_connected_to(self, address):
        everything = EgressRules(("ca.example", "0.0.0.0/0", "::/0", "169.254.0.0/16"))
        for rules in (self.rules, everything):
            assert "link-local" in (objection(rules, "https://ca.example", address) or "")

    @pytest.mark.parametrize(
        "address", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"]
    )
    def test_loopback_is_not_connected_to(self, address):
        assert "loopback" in (objection(self.rules, "https://ca.example", address) or "")

    @pytest.mark.parametrize(
        "address", ["0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1"]
    )
    def test_addresses_of_no_single_host_are_not_connected_to(self, address):
        everything = EgressRules(("ca.example", "0.0.0.0/0", "::/0"))
        for rules in (self.rules, everything):
            assert objection(rules, "https://ca.example", address)

    def test_plain_http_is_not_spoken(self):
        assert "plain http" in (objection(self.rules, "http://ca.example", "93.184.216.34") or "")

    @given(st.ip_addresses())
    def test_plain_http_goes_nowhere(self, address):
        assert self.rules.objection(plain=True, host="ca.example", port=80, address=address)


class TestListed:
    @pytest.mark.parametrize(
        "entry",
        ["ca.example", "CA.Example.", "ca.example:8080", "10.0.0.0/8", "10.1.2.3", "10.1.2.3:8080"],
    )
    def test_plain_http_where_listed(self, entry):
        assert objection(EgressRules((entry,)), "http://CA.example.:8080/x", "10.1.2.3") is None

    @pytest.mark.parametrize(
        "entry", ["ca.example", "ca.example:8080", "127.0.0.0/8", "127.0.0.1", "127.0.0.1:8080", "0.0.0.0/0"]
    )
    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_loopback_where_listed(self, entry, scheme):
        assert objection(EgressRules((entry,)), f"{scheme}://ca.example:8080", "127.0.0.1") is None

    @pytest.mark.parametrize("entry", ["::1", "[::1]", "[::1]:8080", "::/64", "localhost:8080"])
    def test_ipv6_where_listed(self, entry):
        assert objection(EgressRules((entry,)), "http://localhost:8080", "::1") is None

    @pytest.mark.parametrize(
        "entry", ["other.example", "ca.example:8081", "example", "10.0.0.0/8", "127.0.0.1:8081", "::1"]
    )
    def test_another_entry_does_not_help(self, entry):
        assert objection(EgressRules((entry,)), "http://ca.example:8080", "127.0.0.1")

    def test_a_listed_range_covers_an_ipv4_mapped_address(self):
        assert objection(EgressRules(("127.0.0.0/8",)), "http://ca.example", "::ffff:127.0.0.1") is None

    @pytest.mark.parametrize(
        "entry",
        ["", " ", "http://ca.example", "ca.example:0", "ca.example:65536", "ca.example:x", ":80", "10.0.0.1/8",
         "10.0.0.0/33", "a b", "ca.example/path", "[::1", "é.example", "user@host", "a:" + "9" * 5000],
    )  # fmt: skip
    def test_a_bad_entry_is_refused_with_the_settings_name(self, entry):
        with pytest.raises(BadSetting, match="ACCREDIT_EGRESS_ALLOW"):
            EgressRules((entry,))

    @given(st.text(max_size=60))
    def test_any_text_is_an_entry_or_a_bad_setting(self, entry):
        with suppress(BadSetting):
            assert EgressRules((entry,)).allow == (entry,)


class TestDigiCertURL:
    def test_counts_as_listed_for_loopback(self):
        rules = EgressRules((), "http://localhost:9400")
        assert objection(rules, "http://localhost:9400/iot", "127.0.0.1") is None
        assert objection(rules, "http://localhost:9400/iot", "::1") is None

    def test_counts_at_its_own_port_only(self):
        assert objection(EgressRules((), "http://localhost:9400"), "http://localhost:9401", "127.0.0.1")

    def test_plain_http_ends_at_loopback(self):
        assert "plain http" in (
            objection(EgressRules((), "http://ca.test:1"), "http://ca.test:1", "10.0.0.1") or ""
        )

    def test_does_not_stand_in_the_way_of_another_entry(self):
        rules = EgressRules(("ca.test",), "http://ca.test:1")
        assert objection(rules, "http://ca.test:1", "10.0.0.1") is None

    @pytest.mark.parametrize(
        "url",
        ["ftp://x", "one.digicert.com", "https://", "https://u:p@x", "https://x/?a=1", "https://x/#a", "https://x:0",
         "https://x:99999", "https://x y", "http://10.0.0.1:80", "https://[::1", "https://a!b", "https://x\n", "https://" + "x" * 5000],
    )  # fmt: skip
    def test_a_bad_url_is_refused_with_the_settings_name(self, url):
        with pytest.raises(BadSetting, match="ACCREDIT_DIGICERT_URL") as caught:
            EgressRules((), url)
        assert "u:p" not in str(caught.value)

    def test_the_public_host_needs_nothing(self):
        rules = EgressRules((), "https://one.digicert.com")
        assert objection(rules, "https://one.digicert.com/iot", "93.184.216.34") is None


@given(st.text(max_size=80))
def test_any_text_is_a_destination_or_is_not(text):
    try:
        target = destination("https://" + text)
    except BadDestination:
        return
    assert target.host == target.host.lower()
    assert 1 <= target.port <= 65_535
