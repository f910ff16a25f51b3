//! The power supply of a simulated process: a runtime of its own, which can be cut off.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinError;

/// Runs a future on a thread of its own: for opening databases, whose futures borrow more than the
/// compiler can follow from one thread to another (rust-lang/rust#100013).
pub(crate) async fn aside<T: Send + 'static>(make: impl AsyncFnOnce() -> T + Send + 'static) -> T {
    let runtime = tokio::runtime::Handle::current();
    let done = tokio::task::spawn_blocking(move || runtime.block_on(make()));
    match done.await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// A process, as far as the rest of it is concerned: everything it runs is a task of one runtime,
/// and [`Power::cut`] ends every task where it stands, without a farewell. Clones are one supply.
#[derive(Clone)]
pub(crate) struct Power(Arc<Mutex<Option<Runtime>>>);

impl Power {
    /// Switches on.
    pub(crate) fn on() -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("zmon-testkit")
            .enable_all()
            .build()
            .expect("a runtime starts");
        Self(Arc::new(Mutex::new(Some(runtime))))
    }

    /// Runs `work` there and waits for it; `None` when the power was cut before it ended.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let handle = self.lock().as_ref().map(|runtime| runtime.handle().clone())?;
        match handle.spawn(work).await {
            Ok(done) => Some(done),
            Err(error) => Self::cancelled(error),
        }
    }

    fn cancelled<T>(error: JoinError) -> Option<T> {
        if error.is_panic() {
            std::panic::resume_unwind(error.into_panic());
        }
        None
    }

    /// Ends everything where it stands.
    pub(crate) fn cut(&self) {
        if let Some(runtime) = self.lock().take() {
            runtime.shutdown_background();
        }
    }

    /// Whether it was cut.
    pub(crate) fn is_off(&self) -> bool {
        self.lock().is_none()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Runtime>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
