//! Bounded waiting: on events where there are some, by asking again where there are none.

use core::time::Duration;

use tokio::sync::watch;

/// How long a test waits for anything before it is called stuck. Generous: machines are busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Between two questions of [`eventually`].
const ASK_AGAIN: Duration = Duration::from_millis(2);

/// Waits for `future`.
///
/// # Panics
/// When it is not done in [`PATIENCE`]; `what` says for what the test waited.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_elapsed) => panic!("waited {PATIENCE:?} for {what}"),
    }
}

/// Waits until a watched value is as wanted, and returns it.
///
/// # Panics
/// As [`within`]; also when the value can no longer change.
pub async fn until<T: Clone>(
    what: &str,
    mut values: watch::Receiver<T>,
    wanted: impl FnMut(&T) -> bool,
) -> T {
    match within(what, values.wait_for(wanted)).await {
        Ok(value) => value.clone(),
        Err(_closed) => panic!("nobody is left to bring about: {what}"),
    }
}

/// Asks until there is an answer: for what has no events, e.g. a port that closes.
///
/// # Panics
/// As [`within`].
pub async fn eventually<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    within(what, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    })
    .await
}
