//! What the peer says about its audit log, held against what it said before (D16).

use zmon_crypto::jws::{Typ, Unverified};
use zmon_crypto::{Algorithms, IdentityPublic, sha256};
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_wire::checkpoint::Checkpoint;
use zmon_wire::strict;

/// How a checkpoint stands to the one that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It goes on from the kept one: keep it instead.
    Newer,
    /// The kept one, or the one right before it: two that were sent at a time may arrive in any order.
    Known,
}

/// Checks a checkpoint of the holder of `key` against the one that is kept of the same log.
///
/// # Errors
/// `AuditCheckpointInvalid` when the holder did not sign it; `AuditRolledBack` when the log has lost or
/// changed rows that the kept one speaks for.
pub fn verify(
    checkpoint: &str,
    key: &IdentityPublic,
    kept: Option<&str>,
    algorithms: &Algorithms,
) -> Result<Standing, ErrorCode> {
    let verified = Unverified::parse(checkpoint.as_bytes())
        .and_then(|jws| jws.verify_with(Typ::Checkpoint, key, algorithms))
        .map_err(|_| ErrorCode::AuditCheckpointInvalid)?;
    compare(checkpoint, &read(verified.payload())?, kept)
}

/// As [`verify`], for a checkpoint that came inside a message its writer signed.
///
/// # Errors
/// `AuditCheckpointInvalid` when it is none; `AuditRolledBack` as [`verify`].
pub(crate) fn vouched(checkpoint: &str, kept: Option<&str>) -> Result<Standing, ErrorCode> {
    compare(checkpoint, &unsigned(checkpoint)?, kept)
}

/// Whether a checkpoint that was checked before goes on from another one of the same log, so that it
/// may take its place.
#[must_use]
pub fn goes_on(checkpoint: &str, kept: &str) -> bool {
    vouched(checkpoint, Some(kept)) == Ok(Standing::Newer)
}

fn compare(
    checkpoint: &str,
    stated: &Checkpoint,
    kept: Option<&str>,
) -> Result<Standing, ErrorCode> {
    let Some(kept) = kept else { return Ok(Standing::Newer) };
    if kept == checkpoint {
        return Ok(Standing::Known);
    }
    // It was checked when it was kept.
    let before = unsigned(kept)?;
    if before.previous == Some(sha256(checkpoint.as_bytes())) {
        return Ok(Standing::Known);
    }
    if continues(stated, &before) { Ok(Standing::Newer) } else { Err(ErrorCode::AuditRolledBack) }
}

/// Every lane is still there, none is shorter, and what is as long is the same.
fn continues(now: &Checkpoint, before: &Checkpoint) -> bool {
    now.rows >= before.rows
        && before.heads.iter().all(|old| {
            now.heads.iter().any(|new| {
                new.lane == old.lane
                    && (new.seq > old.seq || (new.seq == old.seq && new.hash == old.hash))
            })
        })
}

fn unsigned(checkpoint: &str) -> Result<Checkpoint, ErrorCode> {
    let jws = Unverified::parse(checkpoint.as_bytes());
    let jws = jws.map_err(|_| ErrorCode::AuditCheckpointInvalid)?;
    if jws.claimed_typ() != Some(Typ::Checkpoint) {
        return Err(ErrorCode::AuditCheckpointInvalid);
    }
    read(jws.payload_unverified())
}

fn read(payload: &[u8]) -> Result<Checkpoint, ErrorCode> {
    strict::parse(payload, limits::BODY_MAX.default).map_err(|_| ErrorCode::AuditCheckpointInvalid)
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use zmon_crypto::jws;
    use zmon_crypto::{IdentityKey, SoftIdentity, Suite};
    use zmon_wire::checkpoint::LaneHead;
    use zmon_wire::kind::V1;

    use super::*;

    fn key(seed: u64) -> SoftIdentity {
        SoftIdentity::generate(Suite::P256, &mut ChaCha20Rng::seed_from_u64(seed)).unwrap()
    }

    fn signed(typ: Typ, heads: &[(&str, u64, u8)], previous: Option<&str>) -> String {
        let heads: Vec<_> = heads
            .iter()
            .map(|(lane, seq, hash)| LaneHead {
                hash: [*hash; 32],
                lane: (*lane).to_string(),
                seq: *seq,
            })
            .collect();
        let statement = Checkpoint {
            rows: heads.iter().map(|head| head.seq).sum(),
            heads,
            previous: previous.map(|jws| sha256(jws.as_bytes())),
            timestamp: None,
            v: V1::default(),
        };
        let payload = strict::to_vec(&statement).unwrap();
        jws::sign(typ, None, &payload, &key(1), &mut ChaCha20Rng::seed_from_u64(2)).unwrap()
    }

    fn checkpoint(heads: &[(&str, u64, u8)]) -> String {
        signed(Typ::Checkpoint, heads, None)
    }

    fn check(new: &str, kept: Option<&str>) -> Result<Standing, ErrorCode> {
        let (holder, algorithms) = (key(1), Algorithms::rustcrypto());
        let checked = verify(new, holder.public(), kept, &algorithms);
        assert_eq!(vouched(new, kept), checked, "the same rules under another signature");
        checked
    }

    #[test]
    fn a_log_may_grow_and_stand_still() {
        let kept = checkpoint(&[("device:A", 7, 1)]);
        assert_eq!(check(&kept, None), Ok(Standing::Newer));
        assert_eq!(check(&kept, Some(&kept)), Ok(Standing::Known));
        for grown in [&[("device:A", 8, 9)][..], &[("device:A", 7, 1), ("device:B", 1, 5)]] {
            assert_eq!(check(&checkpoint(grown), Some(&kept)), Ok(Standing::Newer), "{grown:?}");
        }
        let same = signed(Typ::Checkpoint, &[("device:A", 7, 1)], Some(&kept));
        assert_eq!(check(&same, Some(&kept)), Ok(Standing::Newer));
    }

    #[test]
    fn a_log_that_lost_or_changed_rows_is_told() {
        let kept = checkpoint(&[("device:A", 7, 1), ("device:B", 3, 1)]);
        for other in [
            &[("device:A", 6, 1), ("device:B", 9, 1)][..],
            &[("device:A", 7, 2), ("device:B", 3, 1)],
            &[("device:A", 12, 1)],
            &[("device:A", 7, 1), ("device:C", 3, 1)],
            &[],
        ] {
            let told = check(&checkpoint(other), Some(&kept));
            assert_eq!(told, Err(ErrorCode::AuditRolledBack), "{other:?}");
        }
    }

    #[test]
    fn the_one_right_before_the_kept_one_is_late_and_no_rollback() {
        let first = checkpoint(&[("device:A", 7, 1)]);
        let second = signed(Typ::Checkpoint, &[("device:A", 9, 1)], Some(&first));
        let third = signed(Typ::Checkpoint, &[("device:A", 11, 1)], Some(&second));
        assert_eq!(check(&second, Some(&third)), Ok(Standing::Known));
        assert_eq!(check(&first, Some(&third)), Err(ErrorCode::AuditRolledBack));
    }

    #[test]
    fn only_the_holder_s_own_checkpoint_counts() {
        let good = checkpoint(&[("device:A", 7, 1)]);
        let other = key(3);
        let algorithms = Algorithms::rustcrypto();
        let invalid = Err(ErrorCode::AuditCheckpointInvalid);
        assert_eq!(verify(&good, other.public(), None, &algorithms), invalid);
        for bad in ["", "checkpoint-1", &signed(Typ::Status, &[("device:A", 7, 1)], None)] {
            assert_eq!(check(bad, None), invalid, "{bad}");
            assert_eq!(vouched(&good, Some(bad)), invalid, "{bad}");
        }
    }
}
