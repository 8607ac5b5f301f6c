//! Starting children from one thread that lives as long as the process.
//!
//! The kernel sends a child's parent-death signal when the *thread* that started it ends, not the
//! process. A runtime's threads come and go (one that blocks is replaced, and later ends), so a
//! child started from one could be killed in the middle of its work.

use std::{io, sync::OnceLock, sync::mpsc, thread};

use tokio::{
    process::{Child, Command},
    runtime::Handle,
    sync::oneshot,
};

struct Request {
    command: Command,
    runtime: Handle,
    reply: oneshot::Sender<io::Result<Child>>,
}

static LAUNCHER: OnceLock<mpsc::Sender<Request>> = OnceLock::new();

fn launcher() -> &'static mpsc::Sender<Request> {
    LAUNCHER.get_or_init(|| {
        let (sender, requests) = mpsc::channel::<Request>();
        thread::Builder::new()
            .name("launcher".to_owned())
            .spawn(move || serve(&requests))
            .expect("a process that cannot start one thread cannot start a child either");
        sender
    })
}

fn serve(requests: &mpsc::Receiver<Request>) {
    while let Ok(Request { mut command, runtime, reply }) = requests.recv() {
        let entered = runtime.enter();
        let child = command.spawn();
        // It holds our ends of the child's pipes: kept open, end-of-file would never come.
        drop(command);
        // Nobody waits any more: dropping the child kills it.
        let _ = reply.send(child);
        drop(entered);
    }
}

/// Starts a command from the launcher's thread.
pub(super) async fn launch(command: Command) -> io::Result<Child> {
    let (reply, child) = oneshot::channel();
    let gone = || io::Error::other("the launcher's thread has ended");
    launcher().send(Request { command, runtime: Handle::current(), reply }).map_err(|_| gone())?;
    child.await.map_err(|_| gone())?
}
