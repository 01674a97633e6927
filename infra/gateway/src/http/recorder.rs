//! Heads of requests as the client has written them. Events of `$connect` keep the case of header
//! names, which a parsed request has lost.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::HeaderMap;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::headers::{Pairs, header_pairs, header_text};
use super::tls::MaybeTls;

/// Size limit of a kept head, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// Limit of header lines, as in hyper.
const MAX_HEADERS: usize = 100;

/// The head of the current request.
#[derive(Clone, Default)]
pub struct Head(Arc<Mutex<Recording>>);

#[derive(Default)]
struct Recording {
    bytes: Vec<u8>,
    is_on: bool,
    /// The response has begun: the next bytes belong to a new request.
    is_answered: bool,
}

/// A connection that keeps the bytes that the client has sent since our last response.
pub struct Recorder {
    stream: MaybeTls,
    head: Head,
    is_on: bool,
}

impl Recorder {
    /// Returns a recorder and what it records, if it is to.
    pub fn new(stream: MaybeTls, is_on: bool) -> (Self, Head) {
        let head = Head::default();
        head.0.lock().is_on = is_on;
        let recorder = Self {
            stream,
            head: head.clone(),
            is_on,
        };
        (recorder, head)
    }
}

impl Head {
    /// Returns the headers as they were written. If that is not what `parsed` says (requests came
    /// in a row), the parsed ones.
    pub fn headers(&self, parsed: &HeaderMap) -> Pairs {
        let parsed = header_pairs(parsed);
        let written = self.parse().unwrap_or_default();
        let normal = |pairs: &Pairs| {
            let lower = pairs
                .iter()
                .map(|(name, value)| (name.to_lowercase(), value.clone()));
            let mut lower: Pairs = lower.collect();
            lower.sort();
            lower
        };
        if normal(&written) == normal(&parsed) {
            written
        } else {
            parsed
        }
    }

    /// Ends the recording and frees its memory.
    pub fn stop(&self) {
        *self.0.lock() = Recording::default();
    }

    fn parse(&self) -> Option<Pairs> {
        let recording = self.0.lock();
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        request.parse(&recording.bytes).ok()?;
        let headers = request.headers.iter();
        let headers = headers.map(|header| (header.name.to_owned(), header_text(header.value)));
        Some(headers.collect())
    }
}

impl AsyncRead for Recorder {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if self.is_on {
            let mut recording = self.head.0.lock();
            if std::mem::take(&mut recording.is_answered) {
                recording.bytes.clear();
            }
            let room = MAX_BYTES - recording.bytes.len();
            let new = &buffer.filled()[before..];
            let kept = &new[..new.len().min(room)];
            recording.bytes.extend_from_slice(kept);
            let is_on = recording.is_on;
            drop(recording);
            self.is_on = is_on;
        }
        polled
    }
}

impl AsyncWrite for Recorder {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_on {
            self.head.0.lock().is_answered = true;
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_on {
            self.head.0.lock().is_answered = true;
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
