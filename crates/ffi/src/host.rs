//! One open device with the threads that it runs on: its own, and one that calls back.

use core::time::Duration;
use std::future::Future;
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;
use zmon_cli::Failure;
use zmon_device::embed::{Configuration, EmbeddedDevice, MadeDevice, NewDevice};
use zmon_domain::error::ErrorCode;

use crate::events::Feed;
use crate::live::{self, Live, State};
use crate::memory::Listener;
use crate::methods::Request;
use crate::outcome::{Outcome, Refusal};
use crate::{properties, signals};

/// How long closing waits for calls on other threads, and for what blocks a thread of the library.
const PATIENCE: Duration = Duration::from_secs(5);

/// An open device.
pub(crate) struct Host {
    handle: Handle,
    state: watch::Receiver<State>,
    stop: CancellationToken,
    calls: TaskTracker,
    /// The thread that the callback is called on.
    caller: Option<ThreadId>,
    threads: Mutex<Option<Threads>>,
}

/// What closing waits for.
struct Threads {
    keeper: thread::JoinHandle<Result<(), Failure>>,
    caller: Option<thread::JoinHandle<()>>,
}

/// Makes a device.
///
/// # Errors
/// As [`NewDevice::make`].
pub(crate) fn make(order: NewDevice) -> Outcome<MadeDevice> {
    Ok(runtime()?.block_on(order.make())?)
}

impl Host {
    /// Opens a device and begins to tell `listener` what happens.
    ///
    /// # Errors
    /// As [`EmbeddedDevice::open`].
    pub(crate) fn open(configuration: Configuration, listener: Option<Listener>) -> Outcome<Self> {
        let (stop, calls) = (CancellationToken::new(), TaskTracker::new());
        let (opened, opening) = mpsc::sync_channel(1);
        let keeper = Keeper { opened, stop: stop.clone(), calls: calls.clone() };
        let keeper = start("zmon-device", move || keeper.run(configuration))?;
        let Ok((handle, state)) = opening.recv() else {
            return Err(match keeper.join() {
                Ok(Err(failure)) => failure.into(),
                Ok(Ok(())) | Err(_) => Refusal::panicked(),
            });
        };
        let caller = match listener {
            Some(listener) => {
                let (handle, feed) = (handle.clone(), Feed::new(state.clone()));
                Some(start("zmon-events", move || tell(&handle, feed, &listener))?)
            }
            None => None,
        };
        let caller_id = caller.as_ref().map(|caller| caller.thread().id());
        let threads = Mutex::new(Some(Threads { keeper, caller }));
        Ok(Self { handle, state, stop, calls, caller: caller_id, threads })
    }

    /// Carries out a request; the answer as JSON.
    ///
    /// # Errors
    /// As [`Request::carry_out`]; `Closed` when the device is closed meanwhile.
    pub(crate) fn call(&self, request: Request) -> Outcome<Zeroizing<Vec<u8>>> {
        let state = self.state.clone();
        self.run(async move { request.carry_out(&*live::open(state).await?).await })
    }

    /// The eight properties as JSON.
    ///
    /// # Errors
    /// `Closed`.
    pub(crate) fn properties(&self) -> Outcome<Zeroizing<Vec<u8>>> {
        let live = self.handle.block_on(live::open(self.state.clone()))?;
        let shown = live.properties().borrow().clone();
        Ok(properties::json(&shown))
    }

    /// The QR code of the open window as PNG.
    ///
    /// # Errors
    /// `Refused` without a window, `Closed`.
    pub(crate) fn qr_png(&self) -> Outcome<Zeroizing<Vec<u8>>> {
        let state = self.state.clone();
        self.run(async move { live::open(state).await?.qr_png().await })
    }

    /// Whether this is the thread that the callback is called on.
    pub(crate) fn is_in_callback(&self) -> bool {
        self.caller == Some(thread::current().id())
    }

    /// Stops the device in order, lets calls on other threads end, and calls back no more.
    ///
    /// # Errors
    /// What the audit log said to the last row; `Closed` when somebody else closes it.
    pub(crate) fn close(&self) -> Outcome<()> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Threads { keeper, caller }) = threads else {
            return Err(Refusal::closed());
        };
        self.stop.cancel();
        let kept = keeper.join();
        if let Some(caller) = caller
            && caller.join().is_err()
        {
            tracing::error!("the thread of the callback panicked");
        }
        match kept {
            Ok(ended) => Ok(ended?),
            Err(_) => Err(Refusal::panicked()),
        }
    }

    /// Runs `work` on the device's thread while the calling one waits: sockets are written to where SIGPIPE
    /// is blocked.
    fn run<T, F>(&self, work: F) -> Outcome<T>
    where
        F: Future<Output = Outcome<T>> + Send + 'static,
        T: Send + 'static,
    {
        let task = self.calls.spawn_on(work, &self.handle);
        match self.handle.block_on(task) {
            Ok(outcome) => outcome,
            Err(error) if error.is_panic() => Err(Refusal::panicked()),
            Err(_) => Err(Refusal::closed()),
        }
    }
}

impl Drop for Host {
    /// A host that nobody got lets its threads end.
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn start<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Outcome<thread::JoinHandle<T>> {
    Ok(thread::Builder::new().name(name.to_owned()).spawn(work).map_err(internal)?)
}

/// The same as the program's: one thread is plenty for one device; blocking work has threads of its own.
fn runtime() -> Outcome<Runtime> {
    let mut builder = Builder::new_current_thread();
    Ok(builder.enable_all().on_thread_start(signals::block_sigpipe).build().map_err(internal)?)
}

#[expect(clippy::needless_pass_by_value, reason = "used as `map_err(internal)`")]
fn internal(error: std::io::Error) -> Failure {
    Failure::new(ErrorCode::Internal).context(error.to_string())
}

/// What a call needs: where to run, and whom to ask.
type Opened = (Handle, watch::Receiver<State>);

/// The thread of a device.
struct Keeper {
    opened: SyncSender<Opened>,
    stop: CancellationToken,
    calls: TaskTracker,
}

impl Keeper {
    fn run(self, configuration: Configuration) -> Result<(), Failure> {
        signals::block_sigpipe();
        let runtime = runtime().map_err(|refused| refused.failure)?;
        let ended = runtime.block_on(self.serve(configuration));
        runtime.shutdown_timeout(PATIENCE);
        ended
    }

    /// Opens the device, and serves until it is told to stop.
    async fn serve(self, configuration: Configuration) -> Result<(), Failure> {
        let device = EmbeddedDevice::open(configuration).await?;
        let (state, receiver) = watch::channel(State::Open(Live::new(&device).into()));
        if self.opened.send((Handle::current(), receiver)).is_err() {
            self.stop.cancel();
        }
        let ended = self.keep(device, &state).await;
        state.send_replace(State::Ended(ended.clone().err()));
        // Until then every call is told why.
        self.stop.cancelled().await;
        self.calls.close();
        if tokio::time::timeout(PATIENCE, self.calls.wait()).await.is_err() {
            tracing::warn!(left = self.calls.len(), "calls outlived their device");
        }
        ended
    }

    /// Keeps a device open over every change of its identity.
    async fn keep(
        &self,
        mut device: EmbeddedDevice,
        state: &watch::Sender<State>,
    ) -> Result<(), Failure> {
        loop {
            let again = tokio::select! {
                () = self.stop.cancelled() => false,
                () = device.keep() => true,
            };
            state.send_replace(State::Reopening);
            let stopped = device.stop().await?;
            if !again {
                return Ok(());
            }
            device = stopped.open_again().await?;
            state.send_replace(State::Open(Live::new(&device).into()));
        }
    }
}

/// Calls back, outside of the runtime, so that the callback may call the library.
fn tell(handle: &Handle, mut feed: Feed, listener: &Listener) {
    while let Some(event) = handle.block_on(feed.next()) {
        listener.tell(&event.json());
    }
}
