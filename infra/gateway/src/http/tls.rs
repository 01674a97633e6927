//! TLS on the port of plain HTTP: the first byte of a connection tells which it is.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

/// The first byte of a TLS connection: a record of the handshake. No HTTP request begins with it.
///
/// <https://www.rfc-editor.org/rfc/rfc8446#section-5.1>
const HANDSHAKE: u8 = 0x16;

/// A connection of a client that may speak TLS. The handshake is part of the first read, so that its
/// timeout is that of the first request.
pub struct MaybeTls {
    state: State,
    is_tls: Arc<AtomicBool>,
}

enum State {
    /// Nothing has arrived yet.
    Unknown(TcpStream, TlsAcceptor),
    Handshake(Box<Accept<TcpStream>>),
    Tls(Box<TlsStream<TcpStream>>),
    Plain(TcpStream),
    /// The handshake has failed.
    Failed,
}

impl MaybeTls {
    /// Returns a connection that is plain without an acceptor.
    pub fn new(stream: TcpStream, acceptor: Option<TlsAcceptor>) -> Self {
        let state = match acceptor {
            Some(acceptor) => State::Unknown(stream, acceptor),
            None => State::Plain(stream),
        };
        Self {
            state,
            is_tls: Arc::default(),
        }
    }

    /// Returns a flag that is set once the connection has proved to be TLS.
    pub fn is_tls(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_tls)
    }

    /// Waits until the connection is plain, or its handshake is done.
    fn poll_known(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.state {
                State::Plain(_) | State::Tls(_) => return Poll::Ready(Ok(())),
                State::Failed => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
                State::Unknown(stream, _) => {
                    let mut byte = [0];
                    let mut buffer = ReadBuf::new(&mut byte);
                    ready!(stream.poll_peek(context, &mut buffer))?;
                    let is_tls = buffer.filled() == [HANDSHAKE];
                    self.begin(is_tls);
                }
                State::Handshake(accept) => {
                    let stream = ready!(Pin::new(&mut **accept).poll(context));
                    self.state = State::Failed;
                    self.state = State::Tls(Box::new(stream?));
                }
            }
        }
    }

    fn begin(&mut self, is_tls: bool) {
        let state = std::mem::replace(&mut self.state, State::Failed);
        if let State::Unknown(stream, acceptor) = state {
            self.is_tls.store(is_tls, Ordering::Relaxed);
            self.state = match is_tls {
                true => State::Handshake(Box::new(acceptor.accept(stream))),
                false => State::Plain(stream),
            };
        }
    }
}

impl AsyncRead for MaybeTls {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_known(context))?;
        match &mut self.state {
            State::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            State::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            _ => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncWrite for MaybeTls {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.state {
            State::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            State::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            _ => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.state {
            State::Plain(stream) => Pin::new(stream).poll_write_vectored(context, buffers),
            State::Tls(stream) => Pin::new(stream).poll_write_vectored(context, buffers),
            _ => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Asked for before the first byte has arrived; both kinds do.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Tls(stream) => Pin::new(stream).poll_flush(context),
            // A TCP stream has nothing to flush.
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Plain(stream) | State::Unknown(stream, _) => {
                Pin::new(stream).poll_shutdown(context)
            }
            State::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            State::Handshake(_) | State::Failed => Poll::Ready(Ok(())),
        }
    }
}
