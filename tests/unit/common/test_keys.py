from pathlib import Path

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from services.common.auth.keys import (
    UnusableKeyError,
    as_jwk,
    key_id,
    load_signing_key,
    load_trusted_keys,
)


def pem(key: PrivateKeyTypes, password: bytes | None = None) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption(),
    )


def test_a_signing_key_is_read_with_its_thumbprint(tmp_path: Path) -> None:
    private = Ed25519PrivateKey.generate()
    path = tmp_path / "key.pem"
    path.write_bytes(pem(private))
    loaded = load_signing_key(path)
    assert loaded.key_id == key_id(private.public_key())
    assert loaded.private.private_bytes_raw() == private.private_bytes_raw()


def test_the_thumbprint_is_that_of_rfc_8037() -> None:
    jwk = as_jwk(
        Ed25519PrivateKey.from_private_bytes(
            bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
        ).public_key(),
        "user",
    )
    assert jwk["x"] == "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    assert jwk["kid"] == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize(
    "content",
    [
        pem(generate_rsa_key(65537, 2048)),
        pem(generate_ec_key(SECP256R1())),
        pem(Ed25519PrivateKey.generate(), password=b"secret"),
        b"",
        b"not a key",
    ],
    ids=["rsa", "p-256", "encrypted", "empty", "garbage"],
)
def test_only_a_plain_ed25519_key_signs(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    with pytest.raises(UnusableKeyError, match=r"key\.pem"):
        load_signing_key(path)


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableKeyError, match=r"absent\.pem cannot be read"):
        load_signing_key(tmp_path / "absent.pem")
    with pytest.raises(UnusableKeyError, match=r"absent\.json cannot be read"):
        load_trusted_keys(tmp_path / "absent.json")


def test_a_written_key_set_reads_back(tmp_path: Path) -> None:
    old, new, other = (Ed25519PrivateKey.generate().public_key() for _ in range(3))
    path = tmp_path / "keys.json"
    keys = [as_jwk(old, "user"), as_jwk(new, "user"), as_jwk(other, "order")]
    path.write_bytes(orjson.dumps({"keys": keys}))
    trusted = load_trusted_keys(path)
    assert {kid: key.issuer for kid, key in trusted.items()} == {
        key_id(old): "user",
        key_id(new): "user",
        key_id(other): "order",
    }
    assert trusted[key_id(new)].public == new


JWK = as_jwk(Ed25519PrivateKey.generate().public_key(), "user")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"keys": 5}',
        b'{"keys": [5]}',
        b'{"keys": []}',
        orjson.dumps({"keys": [JWK | {"x": "AAAA"}]}),
        orjson.dumps({"keys": [JWK | {"x": 5}]}),
        orjson.dumps({"keys": [JWK | {"crv": "Ed448"}]}),
        orjson.dumps({"keys": [{k: v for k, v in JWK.items() if k != "iss"}]}),
    ],
)
def test_a_file_that_is_no_key_set_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(content)
    with pytest.raises(UnusableKeyError, match=r"keys\.json"):
        load_trusted_keys(path)
