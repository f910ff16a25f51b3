//! A wire that a test can cut, and one that leads to several.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::wait;

/// Passes TCP connections on to one listener, or to one of several, until it is dropped.
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
        Self::passing(listener, &[to])
    }

    /// A balancer: it listens at a free port of `at` and passes each connection on to the same port of one of
    /// `hosts`, in turn; where nobody listens the next one gets it.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn balancing(at: IpAddr, hosts: &[IpAddr]) -> Self {
        let listener = TcpListener::bind((at, 0)).await.expect("a free port");
        let port = listener.local_addr().expect("a bound place").port();
        let to: Vec<_> = hosts.iter().map(|host| SocketAddr::new(*host, port)).collect();
        Self::passing(listener, &to)
    }

    fn passing(listener: TcpListener, to: &[SocketAddr]) -> Self {
        let address = listener.local_addr().expect("a bound place");
        let (to, turn): (Arc<[SocketAddr]>, _) = (to.into(), Arc::new(AtomicUsize::new(0)));
        let (cuts, (counter, connections)) = (watch::Sender::default(), watch::channel(0));
        let cut = cuts.subscribe();
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                counter.send_modify(|count| *count += 1);
                let mut cut = cut.clone();
                cut.mark_unchanged();
                let (to, first) = (Arc::clone(&to), turn.fetch_add(1, Ordering::Relaxed));
                tokio::spawn(async move {
                    // The relay may go before the connection does.
                    tokio::select! {
                        _ = pass(near, &to, first) => {}
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

/// The `first` of them is asked first.
async fn pass(mut near: TcpStream, to: &[SocketAddr], first: usize) -> std::io::Result<()> {
    for place in to.iter().cycle().skip(first % to.len()).take(to.len()) {
        if let Ok(mut far) = TcpStream::connect(place).await {
            near.set_nodelay(true)?;
            far.set_nodelay(true)?;
            copy_bidirectional(&mut near, &mut far).await?;
            break;
        }
    }
    Ok(())
}
