//! Between blocking threads and streams of the answer.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use cloister_appliance::{Appliance, CancelFlag};
use futures_util::stream::{self, Stream, StreamExt as _};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use crate::problem::Problem;
use crate::state::{AppState, Lane};

/// Silence in an event stream after which a comment is sent.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Chunks of an export, upload or download on their way.
const CHUNKS_MAX: usize = 8;

/// Bytes gathered before a chunk of an export is sent.
const CHUNK_BYTES: usize = 64 << 10;

/// An event with JSON data. The data are one line, as JSON without white space is.
pub(crate) fn event(name: &str, data: &impl Serialize) -> Event {
    match serde_json::to_string(data) {
        Ok(json) => Event::default().event(name).data(json),
        Err(error) => Event::default().event("error").data(format!("{{\"code\":\"internal\",\"detail\":\"{error}\"}}")),
    }
}

/// Cancels its work when it is dropped, as a stream is when the client goes.
pub(crate) struct CancelOnDrop(pub(crate) CancelFlag);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// An event stream of what `receiver` gets; `held` lives as long as the stream.
pub(crate) fn events<T: Send + 'static>(receiver: mpsc::Receiver<Event>, held: T) -> Response {
    let stream = ReceiverStream::new(receiver).map(move |event| {
        let _held = &held;
        Ok::<_, Infallible>(event)
    });
    sse(stream)
}

/// As [`events`], ended by the server's stop or after `longest`.
pub(crate) fn endless_events(
    receiver: mpsc::Receiver<Event>,
    place: OwnedSemaphorePermit,
    mut stopping: watch::Receiver<bool>,
    longest: Duration,
) -> Response {
    let end = async move {
        let stop = async {
            // An error means that the server is gone already.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        };
        let _ = tokio::time::timeout(longest, stop).await;
    };
    let stream = ReceiverStream::new(receiver).take_until(Box::pin(end)).map(move |event| {
        let _place = &place;
        Ok::<_, Infallible>(event)
    });
    sse(stream)
}

fn sse(stream: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let mut response =
        Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive")).into_response();
    let headers = response.headers_mut();
    headers.insert("cache-control", axum::http::HeaderValue::from_static("no-store"));
    // Asks proxies not to gather events.
    headers.insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    response
}

/// Streams what `work` writes. What fails before the first chunk is a problem; what fails later breaks the answer off, so
/// that a cut file is not taken for a whole one.
pub(crate) async fn written(
    state: &AppState,
    work: impl FnOnce(&Appliance, &mut dyn Write) -> cloister_appliance::Result<()> + Send + 'static,
) -> Result<Body, Problem> {
    let place = state.place(Lane::General).await?;
    let appliance = state.appliance.clone();
    let (sender, mut receiver) = mpsc::channel::<Result<Bytes, Problem>>(CHUNKS_MAX);
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let mut out = io::BufWriter::with_capacity(CHUNK_BYTES, ChunkWriter(sender.clone()));
        let done = work(&appliance, &mut out).map_err(Problem::from);
        let flushed = out.flush();
        if let Err(problem) = done {
            let _ = sender.blocking_send(Err(problem));
        } else if flushed.is_err() {
            tracing::info!("the client went before the end of an export");
        }
    });
    let first = match receiver.recv().await {
        Some(Err(problem)) => return Err(problem),
        Some(Ok(chunk)) => chunk,
        None => Bytes::new(),
    };
    let rest =
        ReceiverStream::new(receiver).map(|chunk| chunk.map_err(|problem| io::Error::other(problem.code().to_owned())));
    Ok(Body::from_stream(stream::once(async move { Ok(first) }).chain(rest)))
}

struct ChunkWriter(mpsc::Sender<Result<Bytes, Problem>>);

impl Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the client has gone");
        self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A piece of an upload.
pub(crate) enum Piece {
    Bytes(Bytes),
    /// The file is whole.
    End,
}

/// The reading end of an upload for a blocking thread; an upload that stops without [`Piece::End`] is an error, so that a
/// half file is never taken for a whole one.
pub(crate) struct PieceReader {
    receiver: mpsc::Receiver<Piece>,
    current: Bytes,
    ended: bool,
}

impl PieceReader {
    /// Both ends, with room for a few chunks.
    pub(crate) fn channel() -> (mpsc::Sender<Piece>, Self) {
        let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
        (sender, Self { receiver, current: Bytes::new(), ended: false })
    }
}

impl Read for PieceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.receiver.blocking_recv() {
                Some(Piece::Bytes(bytes)) => self.current = bytes,
                Some(Piece::End) => self.ended = true,
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the upload was broken off")),
            }
        }
        let count = buffer.len().min(self.current.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_upload_reads_to_its_end() {
        let (sender, mut reader) = PieceReader::channel();
        for piece in [Piece::Bytes("ab".into()), Piece::Bytes(Bytes::new()), Piece::Bytes("cde".into()), Piece::End] {
            assert!(sender.blocking_send(piece).is_ok());
        }
        let mut text = String::new();
        assert_eq!(reader.read_to_string(&mut text).unwrap_or_default(), 5);
        assert_eq!(text, "abcde");
    }

    #[test]
    fn a_broken_upload_is_an_error() {
        let (sender, mut reader) = PieceReader::channel();
        assert!(sender.blocking_send(Piece::Bytes("ab".into())).is_ok());
        drop(sender);
        let error = reader.read_to_end(&mut Vec::new()).expect_err("the end was never sent");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
