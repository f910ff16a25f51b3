// Ours opened by others, and others' opened by ours: whole pairings, with new keys at every run.
//
// Usage: node interop.js PROGRAM, where PROGRAM is the example `interop` of zmon-crypto.
//
// JWS by `jose`, HPKE by `@hpke/core`, everything else by node's own crypto. Nothing here is made from
// this project's sources; docs/PROTOCOL.md says what to compute.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  constants, createCipheriv, createDecipheriv, createHash, createHmac, createPrivateKey, createPublicKey,
  privateDecrypt, publicEncrypt, randomBytes, X509Certificate,
} from "node:crypto";
import { Aes256Gcm, CipherSuite, DhkemP256HkdfSha256, HkdfSha256 } from "@hpke/core";
import { CompactSign, compactVerify } from "jose";

const program = process.argv[2];
assert.ok(program, "usage: node interop.js PROGRAM");
let checks = 0;
const equal = (left, right, what) => {
  assert.deepEqual(left, right, what);
  checks += 1;
};

// --- the protocol's notation ------------------------------------------------------------------------

const bytes = (text) => Buffer.from(text, "utf8");
const hex = (text) => Buffer.from(text, "hex");
const h = (...parts) => createHash("sha256").update(Buffer.concat(parts)).digest();
const mac = (key, ...parts) => createHmac("sha256", key).update(Buffer.concat(parts)).digest();
const u32 = (n) => {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(n);
  return out;
};
const l = (x) => Buffer.concat([u32(x.length), x]);
const extract = (salt, ikm) => mac(salt, ikm);
function expand(prk, info, length) {
  let [out, block] = [Buffer.alloc(0), Buffer.alloc(0)];
  for (let n = 1; out.length < length; n += 1) {
    block = mac(prk, block, info, Buffer.from([n]));
    out = Buffer.concat([out, block]);
  }
  return out.subarray(0, length);
}
const pkcs8 = (text) => createPrivateKey({ key: hex(text), format: "der", type: "pkcs8" });
const spki = (key) => createPublicKey(key).export({ format: "der", type: "spki" });

function session(hello, identity, token) {
  const prk = extract(h(bytes("zp1 hello"), l(hello)), token);
  const t = h(bytes("zp1 session"), l(hello), l(identity));
  const key = (label) => expand(prk, Buffer.concat([bytes(label), t]), 32);
  return {
    t,
    claimMac: mac(expand(prk, bytes("zp1 claim"), 32), hello),
    mac: key("zp1 mac"),
    psk: key("zp1 psk"),
  };
}

// --- tokens -----------------------------------------------------------------------------------------

function mint(root, thumbprint, token) {
  const port = Buffer.alloc(2);
  port.writeUInt16BE(token.port);
  const body = Buffer.concat([Buffer.from([1]), port, hex(token.nonce), thumbprint.subarray(0, 16)]);
  const shown = ["deviceId", "serial", "ipAddress", "code", "expiresAt"];
  const fields = shown.map((name) => l(bytes(token[name])));
  const tag = mac(expand(root, bytes("zp1 token"), 32), hex(token.windowId), body, ...fields);
  return Buffer.concat([body, tag.subarray(0, 16)]);
}

// --- JWS --------------------------------------------------------------------------------------------

const algorithm = (suite) => (suite === 1 ? "ES256" : "PS256");

async function verify(jws, typ, alg, key) {
  const { payload, protectedHeader } = await compactVerify(jws, key, { algorithms: [alg] });
  equal(protectedHeader.typ, typ, "typ");
  return { payload: Buffer.from(payload), header: protectedHeader };
}

const sign = (payload, typ, alg, key, x5c) =>
  new CompactSign(bytes(payload)).setProtectedHeader({ alg, typ, ...(x5c && { x5c }) }).sign(key);

// --- envelopes --------------------------------------------------------------------------------------

const hpke = new CipherSuite({
  kem: new DhkemP256HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes256Gcm(),
});
const plain = (buffer) => new Uint8Array(buffer).buffer;

async function hpkeKeys(kem) {
  const { x, y, d } = kem.export({ format: "jwk" });
  const jwk = { kty: "EC", crv: "P-256", x, y };
  return {
    publicKey: await hpke.kem.importKey("jwk", { ...jwk, key_ops: [] }, true),
    privateKey: await hpke.kem.importKey("jwk", { ...jwk, d, key_ops: ["deriveBits"] }, false),
  };
}

function contentKey(psk, cek, t, enc) {
  const okm = expand(extract(psk, cek), Buffer.concat([bytes("zp1 rsa"), t, h(enc)]), 44);
  return [okm.subarray(0, 32), okm.subarray(32)];
}

const oaep = (key, label) =>
  ({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256", oaepLabel: label });

async function seal(suite, kem, keys, header, sessionId, plaintext) {
  const info = Buffer.concat([bytes("zp1 config"), Buffer.from([suite]), keys.t]);
  let [enc, ct] = [];
  if (suite === 1) {
    const sender = await hpke.createSenderContext({
      recipientPublicKey: (await hpkeKeys(kem)).publicKey,
      info: plain(info),
      psk: { id: plain(sessionId), key: plain(keys.psk) },
    });
    ct = Buffer.from(await sender.seal(plain(plaintext), plain(header)));
    enc = Buffer.from(sender.enc);
  } else {
    const cek = randomBytes(32);
    enc = publicEncrypt(oaep(createPublicKey(kem), info), cek);
    const cipher = createCipheriv("aes-256-gcm", ...contentKey(keys.psk, cek, keys.t, enc));
    cipher.setAAD(header);
    ct = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  }
  const body = Buffer.concat([header, l(enc), l(ct)]);
  return Buffer.concat([body, mac(keys.mac, body)]);
}

async function open(suite, kem, keys, envelope, sessionId) {
  const [body, tag] = [envelope.subarray(0, -32), envelope.subarray(-32)];
  equal(mac(keys.mac, body), tag, "envelope MAC");
  const header = body.subarray(0, 34);
  const end = 38 + body.readUInt32BE(34);
  const [enc, ct] = [body.subarray(38, end), body.subarray(end + 4)];
  const info = Buffer.concat([bytes("zp1 config"), Buffer.from([suite]), keys.t]);
  if (suite === 1) {
    const recipient = await hpke.createRecipientContext({
      recipientKey: (await hpkeKeys(kem)).privateKey,
      enc: plain(enc),
      info: plain(info),
      psk: { id: plain(sessionId), key: plain(keys.psk) },
    });
    return Buffer.from(await recipient.open(plain(ct), plain(header)));
  }
  const cek = privateDecrypt(oaep(kem, info), enc);
  const cipher = createDecipheriv("aes-256-gcm", ...contentKey(keys.psk, cek, keys.t, enc));
  cipher.setAAD(header);
  cipher.setAuthTag(ct.subarray(-16));
  return Buffer.concat([cipher.update(ct.subarray(0, -16)), cipher.final()]);
}

// --- both directions --------------------------------------------------------------------------------

/** Opens one pairing of the program's making. */
async function ours(v) {
  const { suite, keys } = v;
  const identity = pkcs8(keys.identity);
  const thumbprint = h(spki(identity));
  const token = mint(hex(keys.root), thumbprint, v.token);
  equal(token.toString("base64url"), v.token.text, "token");
  equal(h(bytes("zp1 token id"), token).subarray(0, 16).toString("hex"), v.token.tokenId, "token id");

  const { header } = await verify(v.hello.jws, "zp-hello+jws", "ES256", createPublicKey(pkcs8(keys.station)));
  const [certificate] = header.x5c.map((der) => new X509Certificate(Buffer.from(der, "base64")));
  await verify(v.hello.jws, "zp-hello+jws", "ES256", certificate.publicKey);
  const anchor = new X509Certificate(hex(v.certificates.anchor[0]));
  assert.ok(certificate.verify(anchor.publicKey), "the signing certificate is the anchor's");
  await verify(v.identity.jws, "zp-identity+jws", algorithm(suite), createPublicKey(identity));

  const s = session(bytes(v.hello.jws), bytes(v.identity.jws), token);
  equal(s.claimMac.toString("hex"), v.claim.claimMac, "claim MAC");
  const opened = await open(suite, pkcs8(keys.kem), s, hex(v.envelope.bytes), hex(v.envelope.sessionId));
  equal(opened.toString("utf8"), v.configuration.jws, "envelope");
  const { payload } = await verify(opened, "zp-config+jws", "ES256", certificate.publicKey);
  equal(payload.toString("utf8"), v.configuration.payload, "configuration");
  return header.x5c;
}

/** One pairing of our own making, with the keys of `v`. */
async function theirs(v, x5c) {
  const { suite, keys } = v;
  const [identityKey, station, kem] = [keys.identity, keys.station, keys.kem].map(pkcs8);
  const sessionId = randomBytes(16);
  const header = Buffer.concat([Buffer.from([1, suite]), sessionId, randomBytes(16)]);
  const token = {
    ...v.token,
    windowId: randomBytes(16).toString("hex"),
    nonce: randomBytes(16).toString("hex"),
    port: 1024 + randomBytes(2).readUInt16BE(0) % 60000,
  };
  const minted = mint(hex(keys.root), h(spki(identityKey)), token);
  const hello = await sign(v.hello.payload, "zp-hello+jws", "ES256", station, x5c);
  const identity = await sign(v.identity.payload, "zp-identity+jws", algorithm(suite), identityKey);
  const configuration = await sign(v.configuration.payload, "zp-config+jws", "ES256", station);
  const s = session(bytes(hello), bytes(identity), minted);
  const envelope = await seal(suite, kem, s, header, sessionId, bytes(configuration));
  return {
    suite,
    keys,
    token: { ...token, text: minted.toString("base64url") },
    hello: { jws: hello, payload: v.hello.payload },
    claim: { claimMac: s.claimMac.toString("hex") },
    identity: { jws: identity, payload: v.identity.payload },
    configuration: { payload: v.configuration.payload },
    envelope: { sessionId: sessionId.toString("hex"), bytes: envelope.toString("hex") },
  };
}

const run = (args, input) =>
  execFileSync(program, args, { input, encoding: "utf8", stdio: ["pipe", "pipe", "ignore"] });

for (const suite of [1, 2]) {
  const v = JSON.parse(run(["make", String(suite)]));
  const x5c = await ours(v);
  const made = await theirs(v, x5c);
  equal(run(["open"], JSON.stringify(made)).trim(), v.configuration.payload, "ours opens theirs");
  // The other way round nothing is opened that was touched.
  const bent = hex(made.envelope.bytes);
  bent[50] ^= 1;
  made.envelope.bytes = bent.toString("hex");
  assert.throws(() => run(["open"], JSON.stringify(made)), "ours refuses what was bent");
  checks += 1;
}
console.log(`interop: ${checks} checks passed`);
