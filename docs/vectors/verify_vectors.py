#!/usr/bin/env python3
"""Recomputes the pairing vectors without any code of this project.

Usage: python3 docs/vectors/verify_vectors.py [FILE...]

Without a file: those beside this script. A file is a pairing of the same form, with any keys.
Needs Python 3.10 and the package `cryptography`; `requirements.txt` has the versions that CI takes.
HKDF, HMAC and the transcript come from the standard library; HPKE is written out below after RFC
9180 and, if the package `pyhpke` is installed, opened a second time by that. Exit status 0 means
every check passed.
"""

import base64
import hashlib
import hmac
import json
import pathlib
import sys

from cryptography import x509
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CONFIG_SIGNING = "1.3.6.1.4.1.58888.1.1"
CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"
TRUST_LEVEL = "1.3.6.1.4.1.58888.1.2"
CHECKS = []


def check(name, condition):
    """Records one check; the first failure ends the run."""
    if not condition:
        sys.exit(f"FAILED: {name}")
    CHECKS.append(name)


# --- primitives in the protocol's notation -----------------------------------------------------


def h(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def mac(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def l(x):  # noqa: E743 - the protocol calls it L
    return len(x).to_bytes(4, "big") + x


def extract(salt, ikm):
    return mac(salt, ikm)


def expand(prk, info, length):
    out, block, counter = b"", b"", 1
    while len(out) < length:
        block = mac(prk, block, info, bytes([counter]))
        out, counter = out + block, counter + 1
    return out[:length]


def b64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


# --- HPKE mode_psk: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM (RFC 9180) ---------------


def hpke_open_psk(private_key, enc, info, aad, psk, psk_id, ct):
    def labeled_extract(suite_id, salt, label, ikm):
        return extract(salt, b"HPKE-v1" + suite_id + label + ikm)

    def labeled_expand(suite_id, prk, label, info, length):
        labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite_id + label + info
        return expand(prk, labeled, length)

    kem_suite = b"KEM" + (0x0010).to_bytes(2, "big")
    suite = b"HPKE" + b"".join(n.to_bytes(2, "big") for n in (0x0010, 0x0001, 0x0002))
    ephemeral = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), enc)
    dh = private_key.exchange(ec.ECDH(), ephemeral)
    recipient = private_key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    eae_prk = labeled_extract(kem_suite, b"", b"eae_prk", dh)
    shared = labeled_expand(kem_suite, eae_prk, b"shared_secret", enc + recipient, 32)

    psk_id_hash = labeled_extract(suite, b"", b"psk_id_hash", psk_id)
    info_hash = labeled_extract(suite, b"", b"info_hash", info)
    context = b"\x01" + psk_id_hash + info_hash
    secret = labeled_extract(suite, shared, b"secret", psk)
    key = labeled_expand(suite, secret, b"key", context, 32)
    nonce = labeled_expand(suite, secret, b"base_nonce", context, 12)
    return AESGCM(key).decrypt(nonce, ct, aad)


def pyhpke_open_psk(private_key, enc, info, aad, psk, psk_id, ct):
    """The same by an independent package; None if it is not installed."""
    try:
        from pyhpke import AEADId, CipherSuite, KDFId, KEMId, KEMKey
    except ImportError:
        return None
    suite = CipherSuite.new(KEMId.DHKEM_P256_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.AES256_GCM)
    pem = private_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    key = KEMKey.from_pem(pem)
    recipient = suite.create_recipient_context(enc, key, info=info, psk=psk, psk_id=psk_id)
    return recipient.open(ct, aad=aad)


# --- signatures ---------------------------------------------------------------------------------


def verify_jws(jws, typ, key):
    """Verifies a compact JWS and returns (header, payload)."""
    signed, _, signature = jws.rpartition(".")
    header, payload = (b64url(part) for part in signed.split("."))
    header = json.loads(header)
    signature = b64url(signature)
    check(f"{typ}: typ", header["typ"] == typ)
    if isinstance(key, rsa.RSAPublicKey):
        check(f"{typ}: alg", header["alg"] == "PS256")
        pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
        key.verify(signature, signed.encode(), pss, hashes.SHA256())
    else:
        check(f"{typ}: alg", header["alg"] == "ES256" and len(signature) == 64)
        r, s = (int.from_bytes(part, "big") for part in (signature[:32], signature[32:]))
        key.verify(
            utils.encode_dss_signature(r, s), signed.encode(), ec.ECDSA(hashes.SHA256())
        )
    check(f"{typ}: signature", True)
    return header, payload


def spki(public_key):
    return public_key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def load(keys, name):
    return serialization.load_der_private_key(bytes.fromhex(keys[name]), None)


# --- SPAKE2+ on P-256 (RFC 9383), from the curve's equation up --------------------------------------

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
# RFC 9383, section 4: M and N of P-256, compressed.
M = "02886e2f97ace46e55ba9dd7242579f2993b64e16ef3dcab95afd497333d8fa12f"
N = "03d8bbd6c639c62937b04d997f38c3770719c629d7014d49a24b4f98baa1292b49"


def add(a, b):
    if a is None or b is None:
        return a or b
    (x1, y1), (x2, y2) = a, b
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    if a == b:
        slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, P)
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, P)
    x3 = (slope * slope - x1 - x2) % P
    return x3, (slope * (x1 - x3) - y1) % P


def times(scalar, point):
    total = None
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point, scalar = add(point, point), scalar >> 1
    return total


def minus(point):
    return point[0], -point[1] % P


def point(data):
    numbers = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), data).public_numbers()
    return numbers.x, numbers.y


def encoded(point):
    return b"\x04" + b"".join(n.to_bytes(32, "big") for n in point)


def le(data):
    return len(data).to_bytes(8, "little") + data


def verify_typed_code(v):
    label, hello = v["label"].encode(), v["hello"].encode()
    ids = [v["stationId"].encode(), v["deviceId"].encode()]
    password = b"".join(le(part) for part in [v["code"].encode(), *ids])
    salt = label + bytes.fromhex(v["windowId"])
    w = hashlib.pbkdf2_hmac("sha256", password, salt, v["rounds"], 80)
    w0, w1 = (int.from_bytes(half, "big") % ORDER for half in (w[:40], w[40:]))
    x, y = (
        int.from_bytes(bytes.fromhex(v[name]), "big") % ORDER
        for name in ("proverRandom", "verifierRandom")
    )
    m, n = (point(bytes.fromhex(text)) for text in (M, N))
    share_p = add(times(x, G), times(w0, m))
    share_v = add(times(y, G), times(w0, n))
    check("shareP", encoded(share_p).hex() == v["shareP"])
    check("shareV", encoded(share_v).hex() == v["shareV"])
    from_v = add(share_v, minus(times(w0, n)))
    from_p = add(share_p, minus(times(w0, m)))
    z, shared = times(x, from_v), times(w1, from_v)
    check("Z on both sides", z == times(y, from_p))
    check("V on both sides", shared == times(y, times(w1, G)))
    points = [encoded(p) for p in (m, n, share_p, share_v, z, shared)]
    parts = [label + h(hello), *ids, *points, w0.to_bytes(32, "big")]
    main = h(*(le(part) for part in parts))
    confirmation = expand(extract(b"", main), b"ConfirmationKeys", 64)
    confirm_p = mac(confirmation[:32], encoded(share_v))
    confirm_v = mac(confirmation[32:], encoded(share_p))
    check("confirmV", confirm_v.hex() == v["confirmV"])
    check("confirmP", confirm_p.hex() == v["confirmP"])
    k_shared = expand(extract(b"", main), b"SharedKey", 32)
    prk = extract(h(b"zp1 hello", l(hello)), k_shared)
    claim = mac(expand(prk, b"zp1 claim", 32), hello)
    check("prk", claim.hex() == v["claimMacUnderPrk"])


# --- one file -----------------------------------------------------------------------------------


def verify_derivations(v):
    root = bytes.fromhex(v["keys"]["root"])
    labels = {"token", "code hash", "pin", "slot", "retire", "state", "identity"}
    check("root labels", set(v["derived"]["byLabel"]) == {f"zp1 {label}" for label in labels})
    for label, key in v["derived"]["byLabel"].items():
        check(f"root label {label}", expand(root, label.encode(), 32).hex() == key)
    code_key = expand(root, b"zp1 code hash", 32)
    code = v["derived"]["codeHash"]
    check("code hash", mac(code_key, code["code"].encode()).hex() == code["hash"])
    thumbprint = h(spki(load(v["keys"], "identity").public_key()))
    check("identity thumbprint", thumbprint.hex() == v["derived"]["identityThumbprint"])
    return root, thumbprint


def verify_token(v, root, thumbprint):
    t = v["token"]
    body = (
        b"\x01" + t["port"].to_bytes(2, "big") + bytes.fromhex(t["nonce"]) + thumbprint[:16]
    )
    check("token body", len(body) == 35)
    fields = [t[name].encode() for name in ("deviceId", "serial", "ipAddress", "code", "expiresAt")]
    tag = mac(
        expand(root, b"zp1 token", 32),
        bytes.fromhex(t["windowId"]),
        body,
        *(l(field) for field in fields),
    )
    token = body + tag[:16]
    check("token bytes", token.hex() == t["bytes"] and len(token) == 51)
    text = base64.urlsafe_b64encode(token).decode()
    check("token text", text == t["text"] and len(text) == 68)
    check("token id", h(b"zp1 token id", token)[:16].hex() == t["tokenId"])
    return token


def verify_certificates(v):
    def chain(name):
        return [x509.load_der_x509_certificate(bytes.fromhex(c)) for c in v["certificates"][name]]

    def purposes(certificate):
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        return [oid.dotted_string for oid in usage]

    def names(certificate):
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return sorted(san.get_values_for_type(x509.UniformResourceIdentifier))

    (anchor,), (signing,), (client, client_ca) = (
        chain(name) for name in ("anchor", "signing", "client")
    )
    for certificate, issuer in (
        (anchor, anchor),
        (signing, anchor),
        (client_ca, client_ca),
        (client, client_ca),
    ):
        certificate.verify_directly_issued_by(issuer)
    for name, certificate in (("anchor", anchor), ("station", signing), ("clients", client_ca)):
        own = spki(load(v["keys"], name).public_key())
        check(f"{name} key", spki(certificate.public_key()) == own)
    check("signing purpose", purposes(signing) == [CONFIG_SIGNING])
    check("signing names", names(signing) == ["urn:zp:site:SITE-A", "urn:zp:station:CS-1"])
    lifetime = signing.not_valid_after_utc - signing.not_valid_before_utc
    check("signing lifetime", lifetime.days <= 90)
    check("client purpose", purposes(client) == [CLIENT_AUTH])
    check("client names", names(client) == ["urn:zp:device:MON-1"])
    level = client.extensions.get_extension_for_oid(x509.ObjectIdentifier(TRUST_LEVEL))
    check("client trust level", level.value.value == b"\x0c\x08anchored" and not level.critical)
    check("client key", spki(client.public_key()) == spki(load(v["keys"], "tls").public_key()))

    listener = x509.load_der_x509_certificate(bytes.fromhex(v["certificates"]["listener"]))
    listener.verify_directly_issued_by(listener)
    identity = load(v["keys"], "identity").public_key()
    check("listener key", spki(listener.public_key()) == spki(identity))
    return signing


def verify_messages(v, signing, thumbprint, token):
    hello = v["hello"]["jws"].encode()
    header, payload = verify_jws(v["hello"]["jws"], "zp-hello+jws", signing.public_key())
    der = signing.public_bytes(serialization.Encoding.DER)
    check("hello x5c", [base64.b64decode(c) for c in header["x5c"]] == [der])
    check("hello payload", payload.decode() == v["hello"]["payload"])
    check("hello hash", h(hello).hex() == v["hello"]["hash"])
    said = json.loads(payload)
    check("hello window", b64url(said["windowRef"]) == h(b"zp1 token id", token)[:16])
    check("hello device key", b64url(said["deviceKey16"]) == thumbprint[:16])

    identity_key = load(v["keys"], "identity").public_key()
    _, payload = verify_jws(v["identity"]["jws"], "zp-identity+jws", identity_key)
    check("identity payload", payload.decode() == v["identity"]["payload"])
    check("identity hash", h(v["identity"]["jws"].encode()).hex() == v["identity"]["hash"])
    said = json.loads(payload)
    check("identity answers the hello", b64url(said["helloHash"]) == h(hello))
    check("identity key", h(b64url(said["identityKey"])) == thumbprint)
    kem = load(v["keys"], "kem").public_key()
    check("kem key", b64url(said["kemKey"]) == spki(kem))
    csr = x509.load_der_x509_csr(b64url(said["csr"]))
    check("csr signature", csr.is_signature_valid)
    check("csr key", spki(csr.public_key()) == spki(load(v["keys"], "tls").public_key()))
    return hello, v["identity"]["jws"].encode()


def verify_session(v, token, hello, identity):
    prk = extract(h(b"zp1 hello", l(hello)), token)
    claim = mac(expand(prk, b"zp1 claim", 32), hello)
    check("claim MAC", claim.hex() == v["claim"]["claimMac"])
    t = h(b"zp1 session", l(hello), l(identity))
    s = v["session"]
    check("transcript", t.hex() == s["transcript"])
    k_mac, psk, k_key = (expand(prk, label + t, 32) for label in (b"zp1 mac", b"zp1 psk", b"zp1 key"))
    check("kMac", k_mac.hex() == s["kMac"])
    check("psk", psk.hex() == s["psk"])
    check("kKey", k_key.hex() == s["kKey"])
    bits = int.from_bytes(expand(prk, b"zp1 words" + t, 6), "big") >> 4
    words = [(bits >> shift) & 0x7FF for shift in (33, 22, 11, 0)]
    check("words", words == s["wordIndices"])
    blink = mac(expand(prk, b"zp1 blink" + t, 32), bytes.fromhex(v["envelope"]["sessionId"]) + (1).to_bytes(4, "big"))
    check("MAC of blink 1", blink.hex() == s["blinkMac"])
    return t, k_mac, psk, k_key


def verify_envelope(v, t, k_mac, psk):
    suite = v["suite"]
    e = v["envelope"]
    data = bytes.fromhex(e["bytes"])
    session_id, message_id = bytes.fromhex(e["sessionId"]), bytes.fromhex(e["messageId"])
    header = b"\x01" + bytes([suite]) + session_id + message_id
    check("envelope header", data[:34] == header)
    body, tag = data[:-32], data[-32:]
    check("envelope MAC", hmac.compare_digest(mac(k_mac, body), tag))
    enc_length = int.from_bytes(body[34:38], "big")
    enc, rest = body[38 : 38 + enc_length], body[38 + enc_length :]
    ct = rest[4:]
    check("envelope lengths", int.from_bytes(rest[:4], "big") == len(ct))

    info = b"zp1 config" + bytes([suite]) + t
    private = load(v["keys"], "kem")
    expected = v["configuration"]["jws"].encode()
    if suite == 1:
        args = (private, enc, info, header, psk, session_id, ct)
        check("envelope opens by RFC 9180", hpke_open_psk(*args) == expected)
        other = pyhpke_open_psk(*args)
        if other is None:
            print("  pyhpke is not installed: HPKE checked by the code above only")
        else:
            check("envelope opens by pyhpke", other == expected)
        try:
            hpke_open_psk(private, enc, info, header, bytes(32), session_id, ct)
            check("a wrong psk is refused", False)
        except InvalidTag:
            check("a wrong psk is refused", True)
    else:
        oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label=info)
        cek = private.decrypt(enc, oaep)
        check("CEK", len(cek) == 32)
        okm = expand(extract(psk, cek), b"zp1 rsa" + t + h(enc), 44)
        opened = AESGCM(okm[:32]).decrypt(okm[32:], ct, header)
        check("envelope opens by OAEP, HKDF and AES-GCM", opened == expected)


def verify_client_key(v, t, k_key):
    """The client key in the document's form: made by a station and sealed once more (D6)."""
    suite = v["suite"]
    sealed = bytes.fromhex(v["clientKey"]["sealed"])
    length = int.from_bytes(sealed[:4], "big")
    enc, rest = sealed[4 : 4 + length], sealed[4 + length :]
    ct = rest[4:]
    check("client key lengths", int.from_bytes(rest[:4], "big") == len(ct))
    info = b"zp1 private" + bytes([suite]) + t
    aad = h(bytes.fromhex(v["certificates"]["client"][0]))
    private = load(v["keys"], "kem")
    session_id = bytes.fromhex(v["envelope"]["sessionId"])
    if suite == 1:
        opened = hpke_open_psk(private, enc, info, aad, k_key, session_id, ct)
        other = pyhpke_open_psk(private, enc, info, aad, k_key, session_id, ct)
        if other is not None:
            check("client key opens by pyhpke", other == opened)
    else:
        oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label=info)
        cek = private.decrypt(enc, oaep)
        okm = expand(extract(k_key, cek), b"zp1 rsa" + t + h(enc), 44)
        opened = AESGCM(okm[:32]).decrypt(okm[32:], ct, aad)
    key = serialization.load_der_private_key(opened, None)
    check("client key is PKCS#8", spki(key.public_key()) == spki(load(v["keys"], "tls").public_key()))


def verify_configuration(v, signing, t, thumbprint):
    _, payload = verify_jws(v["configuration"]["jws"], "zp-config+jws", signing.public_key())
    check("configuration payload", payload.decode() == v["configuration"]["payload"])
    digest = h(v["configuration"]["jws"].encode())
    check("configuration hash", digest.hex() == v["configuration"]["hash"])
    said = json.loads(payload)
    check("configuration repeats T", b64url(said["session"]) == t)
    check("configuration repeats the key", said["deviceKey"] == thumbprint.hex())
    check("configuration repeats the code", said["pairingCode"] == v["token"]["code"])
    pem = base64.b64decode(said["clientCertificate"])
    check("client chain is base64 of PEM", len(x509.load_pem_x509_certificates(pem)) == 2)


def verify_audit(v):
    prev = bytes(32)
    for row in v["audit"]:
        check("audit link", row["prev"] == prev.hex())
        record = row["record"].encode()
        prev = h(b"zp1 audit", row["lane"].encode(), row["seq"].to_bytes(8, "big"), prev, l(record))
        check("audit hash", row["hash"] == prev.hex())


def verify_signed(section, typ, key):
    """Verifies one message of a file and returns what it says."""
    header, payload = verify_jws(section["jws"], typ, key)
    check(f"{typ}: payload", payload.decode() == section["payload"])
    check(f"{typ}: hash", h(section["jws"].encode()).hex() == section["hash"])
    return header, json.loads(payload)


def verify_after(v, signing):
    """What is signed after the envelope (§7 of the protocol)."""
    device = load(v["keys"], "identity").public_key()
    der = signing.public_bytes(serialization.Encoding.DER)
    configuration = json.loads(v["configuration"]["payload"])
    (client, _) = (
        x509.load_der_x509_certificate(bytes.fromhex(c)) for c in v["certificates"]["client"]
    )
    number = f"{client.serial_number:x}".zfill(4)
    about = {name: configuration[name] for name in ("sessionId", "deviceId")} | {"serial": number}

    _, status = verify_signed(v["status"], "zp-status+jws", device)
    digest = h(v["configuration"]["payload"].encode()).hex()
    check("status: configuration hash", status["configurationHash"] == digest)
    check("status: success", status["success"] is True and status["state"] == "Provisioned")

    commit = json.loads(v["commit"]["request"])
    _, ask = verify_signed(v["ask"]["ask"], "zp-ask+jws", device)
    check("nonces differ", commit["nonce"] != ask["nonce"])
    for said, section in ((commit, v["commit"]), (ask, v["ask"])):
        check("question: v", said["v"] == 1)
        check("question: session and serial", all(said[n] == about[n] for n in ("sessionId", "serial")))
        header, outcome = verify_signed(section["outcome"], "zp-outcome+jws", signing.public_key())
        check("outcome x5c", [base64.b64decode(c) for c in header["x5c"]] == [der])
        check("outcome names all", all(outcome[name] == about[name] for name in about))
        check("outcome repeats the nonce", outcome["nonce"] == said["nonce"])
        check("outcome: result", outcome["result"] == "committed")

    for name, method in (("renewal", 3), ("recovery", 4)):
        section = v["pull"][name]
        _, pull = verify_signed(section, "zp-pull+jws", device)
        check(f"{name}: method", pull["method"] == method and ("counter" in pull) == (method == 4))
        check(f"{name}: certificate", pull["serial"] == number)
        check(f"{name}: pullId", h(b"zp1 pull id", section["jws"].encode())[:16].hex() == section["pullId"])

    _, retire = verify_signed(v["retire"], "zp-retire+jws", device)
    check("retire", retire["serials"] == [number] and retire["counter"] == 1)

    rows = {(row["lane"], row["seq"]): row["hash"] for row in v["audit"]}
    previous = None
    for section in v["checkpoints"]:
        _, checkpoint = verify_signed(section, "zp-checkpoint+jws", device)
        check("checkpoint: previous", checkpoint["previous"] == previous)
        heads = checkpoint["heads"]
        check("checkpoint: heads", all(rows[x["lane"], x["seq"]] == x["hash"] for x in heads))
        check("checkpoint: rows", checkpoint["rows"] == sum(x["seq"] for x in heads))
        previous = section["hash"]


def main():
    folder = pathlib.Path(__file__).resolve().parent
    named = [pathlib.Path(name) for name in sys.argv[1:]]
    files = named or sorted(folder.glob("pairing-*.json"))
    check("both vector files are there", named or len(files) == 2)
    for file in files:
        before = len(CHECKS)
        v = json.loads(file.read_text())
        root, thumbprint = verify_derivations(v)
        token = verify_token(v, root, thumbprint)
        signing = verify_certificates(v)
        hello, identity = verify_messages(v, signing, thumbprint, token)
        t, k_mac, psk, k_key = verify_session(v, token, hello, identity)
        verify_envelope(v, t, k_mac, psk)
        verify_client_key(v, t, k_key)
        verify_configuration(v, signing, t, thumbprint)
        verify_audit(v)
        verify_after(v, signing)
        print(f"{file.name}: {len(CHECKS) - before} checks passed")
    if named:
        return
    before = len(CHECKS)
    file = folder / "typed-code.json"
    verify_typed_code(json.loads(file.read_text()))
    print(f"{file.name}: {len(CHECKS) - before} checks passed")


if __name__ == "__main__":
    try:
        main()
    except (InvalidSignature, InvalidTag) as error:
        sys.exit(f"FAILED: {type(error).__name__} after: {CHECKS[-1]}")
