use std::format;
use std::vec::Vec;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zmon_domain::code::CodeFormat;

use super::*;

/// RFC 9383, appendix C, `P256-SHA256-HKDF-SHA256-HMAC-SHA256`.
const CONTEXT: &[u8] = b"SPAKE2+-P256-SHA256-HKDF-SHA256-HMAC-SHA256 Test Vectors";
const W0: &str = "bb8e1bbcf3c48f62c08db243652ae55d3e5586053fca77102994f23ad95491b3";
const W1: &str = "7e945f34d78785b8a3ef44d0df5a1a97d6b3b460409a345ca7830387a74b1dba";
const X: &str = "d1232c8e8693d02368976c174e2088851b8365d0d79a9eee709c6a05a2fad539";
const Y: &str = "717a72348a182085109c8d3917d6c43d59b224dc6a7fc4f0483232fa6516d8b3";
const SHARE_P: &str = "04ef3bd051bf78a2234ec0df197f7828060fe9856503579bb1733009042c15c0c1de127727f418b5966afadfdd95a6e4591d171056b333dab97a79c7193e341727";
const SHARE_V: &str = "04c0f65da0d11927bdf5d560c69e1d7d939a05b0e88291887d679fcadea75810fb5cc1ca7494db39e82ff2f50665255d76173e09986ab46742c798a9a68437b048";
const CONFIRM_P: &str = "926cc713504b9b4d76c9162ded04b5493e89109f6d89462cd33adc46fda27527";
const CONFIRM_V: &str = "9747bcc4f8fe9f63defee53ac9b07876d907d55047e6ff2def2e7529089d3e68";
const K_SHARED: &str = "0c5f8ccd1413423a54f6c1fb26ff01534a87f893779c6e68666d772bfd91f3e7";

fn unhex<const N: usize>(text: &str) -> [u8; N] {
    let bytes: Vec<u8> = (0..text.len() / 2)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
        .collect();
    bytes.try_into().unwrap()
}

/// A run of the RFC's: the two scalars padded to the length that is reduced.
fn of_the_rfc(scalar: &str) -> Run {
    let mut run = Run {
        key: Zeroizing::new([0; Run::KEY_LEN]),
        scalar: Zeroizing::new([0; Run::SCALAR_LEN]),
        context: CONTEXT.into(),
        prover_id: b"client".to_vec(),
        verifier_id: b"server".to_vec(),
    };
    run.key[8..40].copy_from_slice(&unhex::<32>(W0));
    run.key[48..].copy_from_slice(&unhex::<32>(W1));
    run.scalar[32..].copy_from_slice(&unhex::<32>(scalar));
    run
}

#[test]
fn the_vectors_of_rfc_9383_hold() {
    let (prover, verifier) = (of_the_rfc(X), of_the_rfc(Y));
    let share_p = Spake2Plus::share_p(&prover).unwrap();
    assert_eq!(share_p.as_bytes(), &unhex(SHARE_P));
    let (share_v, confirm_v) = Spake2Plus::answer(&verifier, &share_p).unwrap();
    assert_eq!(share_v.as_bytes(), &unhex(SHARE_V));
    assert_eq!(confirm_v, unhex(CONFIRM_V));
    let (confirm_p, at_prover) = Spake2Plus::finish_prover(&prover, &share_v, &confirm_v).unwrap();
    assert_eq!(confirm_p, unhex(CONFIRM_P));
    let at_verifier = Spake2Plus::finish_verifier(&verifier, &share_p, &confirm_p).unwrap();
    assert_eq!(at_prover.expose(), &unhex(K_SHARED));
    assert_eq!(at_verifier.expose(), &unhex(K_SHARED));
    assert_eq!(Spake2Plus::NAME, "P256-SHA256-HKDF-SHA256-HMAC-SHA256");
}

const HELLO: &[u8] = b"hello";

struct Sides {
    window: WindowId,
    station: StationId,
    device: DeviceId,
    rng: ChaCha20Rng,
}

impl Sides {
    fn new() -> Self {
        Self {
            window: WindowId::from_bytes([7; 16]),
            station: StationId::parse("CS-1").unwrap(),
            device: DeviceId::parse("ZM-001").unwrap(),
            rng: ChaCha20Rng::seed_from_u64(5),
        }
    }

    /// The verdicts of both ends when the prover has `typed` and `prover` changes its inputs.
    fn run(
        &mut self,
        shown: &str,
        typed: &str,
        change: fn(&mut PakeInputs<'_>),
    ) -> (Result<(), PakeError>, Result<(), PakeError>) {
        let code = |text| PairingCode::parse(text, CodeFormat::Grouped9).unwrap();
        let (shown, typed) = (code(shown), code(typed));
        let of_device = PakeInputs {
            code: &shown,
            window_id: &self.window,
            hello: HELLO,
            station_id: &self.station,
            device_id: &self.device,
        };
        let mut of_station = PakeInputs { code: &typed, ..of_device };
        change(&mut of_station);
        let (prover, share_p) = Prover::start(&of_station, &mut self.rng).unwrap();
        let (verifier, share_v, confirm_v) =
            Verifier::start(&of_device, share_p, &mut self.rng).unwrap();
        let at_prover = prover.finish(HELLO, &share_v, &confirm_v);
        let confirm_p = at_prover.as_ref().map_or([0; 32], |(confirm_p, _)| *confirm_p);
        let at_verifier = verifier.finish(HELLO, &confirm_p);
        if let (Ok((_, ours)), Ok((theirs, _))) = (&at_prover, &at_verifier) {
            assert_eq!(ours.claim_mac(b"x"), theirs.claim_mac(b"x"), "one secret");
        }
        (at_prover.map(|_| ()), at_verifier.map(|_| ()))
    }
}

#[test]
fn the_same_code_gives_both_sides_the_same_secret() {
    let verdicts = Sides::new().run("ABC-123-XYZ", "abc 123 xyz", |_| ());
    assert_eq!(verdicts, (Ok(()), Ok(())));
}

#[test]
fn another_code_or_binding_gives_nobody_anything() {
    let refused = (Err(PakeError::Confirmation), Err(PakeError::Confirmation));
    let mut sides = Sides::new();
    assert_eq!(sides.run("ABC-123-XYZ", "7K3-M9P-Q2M", |_| ()), refused);
    assert_eq!(sides.run("ABC-123-XYZ", "ABC-123-XYZ", |own| own.hello = b"other"), refused);
    let other_window = |own: &mut PakeInputs<'_>| {
        static OTHER: WindowId = WindowId::from_bytes([8; 16]);
        own.window_id = &OTHER;
    };
    assert_eq!(sides.run("ABC-123-XYZ", "ABC-123-XYZ", other_window), refused);
}

#[test]
fn every_run_has_shares_of_its_own() {
    let mut sides = Sides::new();
    let code = PairingCode::parse("ABC-123-XYZ", CodeFormat::Grouped9).unwrap();
    let inputs = PakeInputs {
        code: &code,
        window_id: &sides.window,
        hello: HELLO,
        station_id: &sides.station,
        device_id: &sides.device,
    };
    let (_, share_p) = Prover::start(&inputs, &mut sides.rng).unwrap();
    let (_, first, _) = Verifier::start(&inputs, share_p, &mut sides.rng).unwrap();
    let (_, second, _) = Verifier::start(&inputs, share_p, &mut sides.rng).unwrap();
    assert_ne!(first, second, "a repeated shareP is answered anew");
}

#[test]
fn what_is_no_point_of_the_group_is_refused() {
    let good = unhex::<65>(SHARE_P);
    assert_eq!(Share::parse(&good).unwrap().as_bytes(), &good);
    let mut off_the_curve = good;
    off_the_curve[64] ^= 1;
    let mut compressed = good;
    compressed[0] = 2;
    for bad in [off_the_curve, compressed, [0; 65], [0xff; 65]] {
        assert_eq!(Share::parse(&bad), Err(PakeError::Share));
    }
    assert_eq!(PakeError::Share.code(), ErrorCode::RequestMalformed);
}

#[test]
fn a_share_that_cancels_the_mask_ends_the_run() {
    // M itself, under a record whose w0 is 1: `shareP = w0·M`.
    const M: &str = "04886e2f97ace46e55ba9dd7242579f2993b64e16ef3dcab95afd497333d8fa12f5ff355163e43ce224e0b0e65ff02ac8e5c7be09419c785e0ca547d55a12e2d20";
    let mut run = of_the_rfc(Y);
    run.key.fill(0);
    run.key[39] = 1;
    run.key[79] = 1;
    let share = Share::parse(&unhex(M)).unwrap();
    assert_eq!(Spake2Plus::answer(&run, &share), Err(PakeError::Share));
    run.key.fill(0);
    assert_eq!(Spake2Plus::answer(&run, &share), Err(PakeError::Derivation), "w0 is zero");
}

#[test]
fn debug_shows_no_secret() {
    let run = of_the_rfc(X);
    assert_eq!(format!("{:?}", Prover { run }), "Prover { run: [secret] }");
}
