//! Which pairing codes this device has shown, and what became of them.

use std::collections::VecDeque;

use zmon_crypto::{CodeHashKey, code_hash};
use zmon_domain::code::{CodeFormat, PairingCode};
use zmon_domain::ids::SessionId;
use zmon_domain::time::Tick;

use crate::service::CodeVerdict;

/// Codes remembered after their window; older ones are `Unknown`.
const REMEMBERED: usize = 16;

/// Judges typed codes by their keyed hashes; the codes themselves stay in the machine. It changes
/// with the machine and is never consulted for a peer.
pub(crate) struct CodeLedger {
    key: CodeHashKey,
    format: CodeFormat,
    current: Option<([u8; 32], Tick)>,
    claimed: Option<(SessionId, [u8; 32])>,
    spent: VecDeque<([u8; 32], CodeVerdict)>,
}

impl CodeLedger {
    pub(crate) fn new(key: CodeHashKey, format: CodeFormat) -> Self {
        Self { key, format, current: None, claimed: None, spent: VecDeque::new() }
    }

    /// Follows the machine: the code it now shows, or the session that took it.
    pub(crate) fn follow(
        &mut self,
        shown: Option<(&PairingCode, Tick)>,
        session: Option<SessionId>,
    ) {
        let shown = shown.map(|(code, deadline)| (code_hash(&self.key, code), deadline));
        if let Some((hash, _)) = self.current.filter(|old| shown.is_none_or(|new| new.0 != old.0)) {
            let newly_claimed =
                session.filter(|session| self.claimed.is_none_or(|(old, _)| old != *session));
            let verdict = match newly_claimed {
                Some(session) => {
                    self.claimed = Some((session, hash));
                    CodeVerdict::Consumed
                }
                None => CodeVerdict::Expired,
            };
            self.spent.truncate(REMEMBERED - 1);
            self.spent.push_front((hash, verdict));
        }
        self.current = shown;
        self.claimed = self.claimed.filter(|(claimant, _)| session == Some(*claimant));
    }

    /// What a typed code is worth at `now`.
    pub(crate) fn judge(&self, typed: &str, now: Tick) -> CodeVerdict {
        let code = match CodeVerdict::parse(typed, self.format) {
            Ok(code) => code,
            Err(verdict) => return verdict,
        };
        let hash = code_hash(&self.key, &code);
        match self.current {
            Some((current, deadline)) if current == hash => {
                if now <= deadline {
                    CodeVerdict::Ok
                } else {
                    CodeVerdict::Expired
                }
            }
            _ => self
                .spent
                .iter()
                .find(|(spent, _)| *spent == hash)
                .map_or(CodeVerdict::Unknown, |(_, verdict)| *verdict),
        }
    }

    /// As [`judge`](Self::judge), and the code that the running session was claimed with is good
    /// too: it is the code of *this* pairing.
    pub(crate) fn judge_for_session(&self, typed: &str, now: Tick) -> CodeVerdict {
        let verdict = self.judge(typed, now);
        let claimed = self.claimed.is_some_and(|(_, claimed)| {
            CodeVerdict::parse(typed, self.format)
                .is_ok_and(|code| code_hash(&self.key, &code) == claimed)
        });
        if claimed { CodeVerdict::Ok } else { verdict }
    }
}
