//! The doors to the outside: accepts connections and gives each a session.
//!
//! Owns: listening sockets, the list of sessions, the certificate that new connections are shown. Hears: `SessionEnded`, [`Drain`], `Stop`. Tells: sessions to end.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::prelude::*;
use actix_rt::ArbiterHandle;
use tokio::net::TcpListener;

use crate::actors::crash::CrashSession;
use crate::actors::supervision::{End, Seat};
use crate::actors::{ConnectionId, Stop};
use crate::server::session::{Arrival, Desk, Ends, Session};
use crate::server::tls::{Guard, Watch};

/// Connections that the kernel keeps for a listener that is busy.
const BACKLOG: u32 = 1024;
/// Pause after the process ran out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Numbers of connections, unique in the process.
static NEXT_CONNECTION: AtomicU64 = AtomicU64::new(1);

/// To the listener: a session is over.
#[derive(Message)]
#[rtype(result = "()")]
struct SessionEnded {
    connection: ConnectionId,
}

/// Take no more connections and end those that are there; answered when none is left.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Drain;

/// Accepts connections. See the module.
pub struct Listener {
    sockets: Vec<std::net::TcpListener>,
    arbiters: Vec<ArbiterHandle>,
    desk: Desk,
    guard: Guard,
    /// Until the listener starts.
    watch: Option<Watch>,
    sessions: HashMap<ConnectionId, Addr<Session>>,
    next_arbiter: usize,
    drained: Vec<tokio::sync::oneshot::Sender<()>>,
    accepting: Vec<SpawnHandle>,
}

/// Opens a listening socket.
///
/// # Errors
/// When the address is in use or not this machine's.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG as i32)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

impl Listener {
    /// Connections of `sockets` go to sessions on `arbiters`, one after the other. The guard lets them in; another one takes
    /// its place when the watch says so.
    #[must_use]
    pub fn new(
        sockets: Vec<std::net::TcpListener>,
        arbiters: Vec<ArbiterHandle>,
        desk: Desk,
        (guard, watch): (Guard, Option<Watch>),
    ) -> Self {
        Self {
            sockets,
            arbiters,
            desk,
            guard,
            watch,
            sessions: HashMap::new(),
            next_arbiter: 0,
            drained: Vec::new(),
            accepting: Vec::new(),
        }
    }

    fn accepted(&mut self, socket: tokio::net::TcpStream, peer: SocketAddr, ctx: &mut Context<Self>) {
        let connection = ConnectionId(NEXT_CONNECTION.fetch_add(1, Ordering::Relaxed));
        let prepared = socket.set_nodelay(true).and_then(|()| socket.into_std());
        let socket = match prepared {
            Ok(socket) => socket,
            Err(error) => {
                tracing::debug!(%peer, %error, "a connection broke as it was accepted");
                return;
            }
        };
        let arbiter = &self.arbiters[self.next_arbiter % self.arbiters.len()];
        self.next_arbiter += 1;
        let arrival = Arrival { socket, guard: self.guard.clone() };
        let (desk, here) = (self.desk.clone(), ctx.address());
        let session = Seat::new().start(
            arbiter,
            move || Session::new(arrival, Ends { connection, peer }, desk),
            move |end| {
                if let End::Panicked(reason) = end {
                    tracing::error!(%peer, reason, "a session ended by a panic; its connection is closed");
                }
                here.do_send(SessionEnded { connection });
            },
        );
        self.sessions.insert(connection, session);
    }

    fn tell_if_drained(&mut self) {
        if self.sessions.is_empty() {
            // Whoever waited may have run out of patience.
            for done in self.drained.drain(..) {
                let _ = done.send(());
            }
        }
    }
}

/// Accepts for ever; a failure to accept is a pause, never the end.
async fn accept(listener: &TcpListener) -> (tokio::net::TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Actor for Listener {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        for socket in std::mem::take(&mut self.sockets) {
            let listener = match TcpListener::from_std(socket) {
                Ok(listener) => listener,
                Err(error) => {
                    tracing::error!(%error, "a listening socket cannot be used");
                    continue;
                }
            };
            let connections = futures_util::stream::unfold(listener, |listener| async move {
                let accepted = accept(&listener).await;
                Some((accepted, listener))
            });
            let accepting = actix::fut::wrap_stream::<_, Self>(connections).map(|(socket, peer), listener, ctx| {
                listener.accepted(socket, peer, ctx);
            });
            self.accepting.push(ctx.spawn(accepting.finish()));
        }
        if let Some(watch) = self.watch.take() {
            let guards = futures_util::stream::unfold(watch, |mut watch| async move {
                let guard = watch.changed().await;
                Some((guard, watch))
            });
            let watching = actix::fut::wrap_stream::<_, Self>(guards).map(|guard, listener, _| listener.guard = guard);
            self.accepting.push(ctx.spawn(watching.finish()));
        }
    }
}

impl Handler<SessionEnded> for Listener {
    type Result = ();

    fn handle(&mut self, ended: SessionEnded, _: &mut Self::Context) {
        self.sessions.remove(&ended.connection);
        self.tell_if_drained();
    }
}

impl Handler<CrashSession> for Listener {
    type Result = ();

    fn handle(&mut self, crash: CrashSession, _: &mut Self::Context) {
        self.sessions.values().for_each(|session| session.do_send(crash));
    }
}

impl Handler<Drain> for Listener {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, ctx: &mut Self::Context) -> Self::Result {
        for accepting in self.accepting.drain(..) {
            ctx.cancel_future(accepting);
        }
        for session in self.sessions.values() {
            session.do_send(Stop);
        }
        let (done, drained) = tokio::sync::oneshot::channel();
        self.drained.push(done);
        self.tell_if_drained();
        Box::pin(async move {
            let _ = drained.await;
        })
    }
}
