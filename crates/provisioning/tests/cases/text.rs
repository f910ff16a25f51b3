//! Texts parsed and errors told at this crate's edge.

use zmon_domain::error::ErrorCode;
use zmon_provisioning::ports::{AuditReport, KeyStoreError, LaneReport, Pin};

#[test]
fn a_pin_is_six_to_sixteen_digits_and_never_shown() {
    for good in ["483920", "0000000000000000"] {
        let pin = Pin::parse(good).unwrap();
        assert_eq!(pin.expose(), good.as_bytes());
        assert_eq!(format!("{pin:?}"), "[secret]");
    }
    for bad in ["", "48392", "48392a", "４８３９２０", "00000000000000000", "483 920"] {
        let refused = Pin::parse(bad).unwrap_err();
        assert_eq!(refused.field(), "pin");
        assert!(bad.is_empty() || !refused.rule().contains(bad));
    }
}

#[test]
fn key_store_errors_have_codes() {
    let wide = KeyStoreError::ModeTooWide { path: "a".into(), mode: 0o644, required: 0o600 };
    assert_eq!(wide.to_string(), "a has mode 644, must be 600");
    for (error, code) in [
        (wide, ErrorCode::KeyFileModeTooWide),
        (KeyStoreError::Symlink("a".into()), ErrorCode::KeyFileIsSymlink),
        (KeyStoreError::Unavailable("a".into()), ErrorCode::KeyStoreUnavailable),
        (KeyStoreError::Corrupt("a".into()), ErrorCode::KeyStoreUnavailable),
        (KeyStoreError::NotInitialised, ErrorCode::NotInitialised),
    ] {
        assert_eq!(error.code(), code);
    }
}

#[test]
fn an_audit_report_is_intact_while_no_lane_is_broken() {
    let lane = |broken_at| LaneReport { lane: "a".into(), rows: 3, head: [0; 32], broken_at };
    let whole = AuditReport { lanes: vec![lane(None), lane(None)], checkpoints: 0 };
    assert!(whole.is_intact() && AuditReport::default().is_intact());
    assert_eq!(whole.rows(), 6);
    let lanes = vec![lane(None), lane(Some((4, "hash".into())))];
    assert!(!AuditReport { lanes, checkpoints: 0 }.is_intact());
}

#[test]
fn a_weak_pin_is_one_digit_or_digits_in_a_row() {
    for weak in ["000000", "99999999", "012345", "123456", "789012", "987654", "321098"] {
        assert!(Pin::parse(weak).unwrap().is_weak(), "{weak}");
    }
    for strong in ["483920", "112233", "123457", "135790", "121212"] {
        assert!(!Pin::parse(strong).unwrap().is_weak(), "{strong}");
    }
}
