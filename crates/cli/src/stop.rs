//! The request to stop: SIGTERM from a service manager, SIGINT from a person.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for the first stop signal.
pub struct StopSignal {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignal {
    /// Takes over SIGTERM and SIGINT for this process.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Resolves with the name of the signal that came.
    pub async fn recv(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
