"""The whole set of a cluster's keys and certificates."""

import datetime
import stat
from pathlib import Path

import pytest
from cryptography import x509

from sampan import effects
from sampan.pki import rotation
from sampan.pki.cluster import ClusterNames, ClusterPKI


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


class Later(effects.SystemSource):
    """The system's source with a wall clock that is ahead."""

    def __init__(self, ahead: datetime.timedelta) -> None:
        super().__init__()
        self.ahead = ahead

    def now(self) -> datetime.datetime:
        return super().now() + self.ahead


def test_ensuring_twice_changes_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        pki = ClusterPKI.ensure(tmp_path / "pki", ClusterNames(("172.30.0.11",)))
        pki.ensure_node("a-1", ["172.30.0.11"])
        if _ == 0:
            first = contents(tmp_path)
    assert contents(tmp_path) == first
    assert len(pki.renewables) == 11


def test_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    pki = ClusterPKI.ensure(tmp_path / "pki")
    pki.ensure_node("a-1", [])
    keys = list((tmp_path / "pki").rglob("*.key"))
    assert len(keys) == 14
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
    assert stat.S_IMODE((tmp_path / "pki").stat().st_mode) == 0o700


def test_the_api_server_answers_to_all_its_names(tmp_path: Path) -> None:
    pki = ClusterPKI.ensure(tmp_path, ClusterNames(("172.30.0.11",)))
    credential = pki.pair("apiserver").load()
    assert credential is not None
    names = credential.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {
        "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
        "localhost",
    }
    assert {str(a) for a in names.get_values_for_type(x509.IPAddress)} == {
        "10.96.0.1", "127.0.0.1", "::1", "172.30.0.11"
    }


def test_a_name_that_is_new_reissues_only_the_certificate_that_lacks_it(tmp_path: Path) -> None:
    ClusterPKI.ensure(tmp_path, ClusterNames(("172.30.0.11",)))
    before = contents(tmp_path)
    ClusterPKI.ensure(tmp_path, ClusterNames(("172.30.0.11", "172.30.0.12")))
    after = contents(tmp_path)
    assert {name for name in after if after[name] != before[name]} == {"apiserver.crt", "apiserver.key"}


@pytest.mark.parametrize("damage", ["missing", "other key", "not PEM"])
def test_a_damaged_credential_is_replaced(tmp_path: Path, damage: str) -> None:
    pki = ClusterPKI.ensure(tmp_path)
    pair = pki.pair("scheduler")
    match damage:
        case "missing":
            pair.key.unlink()
        case "other key":
            pair.key.write_bytes(pki.pair("admin").key.read_bytes())
        case "not PEM":
            pair.certificate.write_text("garbage")
    assert pair.load() is None
    healed = ClusterPKI.ensure(tmp_path).pair("scheduler").load()
    assert healed is not None
    assert pki.ca.issued(healed.certificate)


def test_certificates_renew_at_four_fifths_of_their_lifetime(tmp_path: Path) -> None:
    pki = ClusterPKI.ensure(tmp_path)
    renewed: list[str] = []
    now = effects.now()
    assert rotation.renew_due(pki.renewables, lambda r: renewed.append(r.name), now) == rotation.LONGEST_SLEEP_S
    assert renewed == []
    ahead = datetime.timedelta(days=365 * 0.8)
    with effects.use(Later(ahead)):
        wait_s = rotation.renew_due(pki.renewables, lambda r: renewed.append(r.name), effects.now())
    assert sorted(renewed) == sorted(r.name for r in pki.renewables)
    assert wait_s == rotation.LONGEST_SLEEP_S
    credential = pki.pair("apiserver").load()
    assert credential is not None
    assert credential.certificate.not_valid_after_utc > now + ahead + datetime.timedelta(days=360)


def test_a_renewal_that_fails_is_tried_again_and_does_not_stop_the_others(tmp_path: Path) -> None:
    pki = ClusterPKI.ensure(tmp_path)

    def broken() -> None:
        raise OSError("disk full")

    first = rotation.Renewable("broken", pki.pair("missing"), broken)  # type: ignore[arg-type]
    renewed: list[str] = []
    later = effects.now() + datetime.timedelta(days=300)
    wait_s = rotation.renew_due([first, pki.renewables[0]], lambda r: renewed.append(r.name), later)
    assert renewed == ["apiserver"]
    assert wait_s <= rotation.RETRY_S


def test_service_account_keys_sign_tokens_that_their_public_half_verifies(tmp_path: Path) -> None:
    import jwt

    from sampan.pki.service_account import ALGORITHM, SigningKey

    tmp_path.mkdir(exist_ok=True)
    key = SigningKey.ensure(tmp_path)
    token = jwt.encode({"sub": "system:serviceaccount:default:default"}, key.private_pem, ALGORITHM)
    assert jwt.decode(token, SigningKey.ensure(tmp_path).public_pem, [ALGORITHM])["sub"].endswith("default")
