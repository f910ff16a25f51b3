//! A wire that a test can cut.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::wait;

/// Passes TCP connections on to one listener until it is dropped.
pub struct Relay {
    address: SocketAddr,
    /// Counts cuts.
    cuts: watch::Sender<u64>,
    /// Counts connections.
    connections: watch::Receiver<usize>,
    task: AbortHandle,
}

impl Relay {
    /// A relay that listens at `at` and passes on to `to`.
    ///
    /// # Panics
    /// When the place is taken.
    pub async fn between(at: SocketAddr, to: SocketAddr) -> Self {
        let listener = TcpListener::bind(at).await.expect("a free place");
        let address = listener.local_addr().expect("a bound place");
        let (cuts, (counter, connections)) = (watch::Sender::default(), watch::channel(0));
        let cut = cuts.subscribe();
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                counter.send_modify(|count| *count += 1);
                let mut cut = cut.clone();
                cut.mark_unchanged();
                tokio::spawn(async move {
                    // The relay may go before the connection does.
                    tokio::select! {
                        _ = pass(near, to) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { address, cuts, connections, task: task.abort_handle() }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks every connection; later ones are passed on.
    pub fn cut(&self) {
        self.cuts.send_modify(|count| *count += 1);
    }

    /// Waits until `count` connections have been passed on in all.
    ///
    /// # Panics
    /// As [`wait::within`].
    pub async fn connected(&self, count: usize) {
        let what = format!("connection {count} through the relay");
        wait::until(&what, self.connections.clone(), |seen| *seen >= count).await;
    }

    /// Connections that were passed on so far.
    #[must_use]
    pub fn count(&self) -> usize {
        *self.connections.borrow()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut near: TcpStream, to: SocketAddr) -> std::io::Result<()> {
    let mut far = TcpStream::connect(to).await?;
    copy_bidirectional(&mut near, &mut far).await?;
    Ok(())
}
