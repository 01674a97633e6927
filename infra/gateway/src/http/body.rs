//! Bodies of requests of any client. Their sum is limited.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::Body as HttpBody;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::server::BODY_TIMEOUT;

/// Bytes of a refused body that are read and thrown away, so that the client, which still sends, gets to
/// read the response.
const DISCARDED_BYTES: usize = 10 * 1024 * 1024;

/// A limit of the bodies of all requests together, in bytes.
///
/// A body takes only what has arrived of it: requests that send nothing take nothing from the others.
pub struct BodyLimit(Arc<Semaphore>);

/// A body. It counts until it is dropped.
#[derive(Debug)]
pub struct Body {
    /// Its bytes.
    pub bytes: Bytes,
    _counted: Option<OwnedSemaphorePermit>,
}

/// The bytes of a body so far, and what counts them.
type Kept = (Vec<u8>, Option<OwnedSemaphorePermit>);

impl BodyLimit {
    /// Returns a limit of `bytes`.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes)))
    }

    /// Reads a body of at most `max_bytes`.
    ///
    /// # Errors
    ///
    /// 413 if it is larger, 503 if there is no room beside the other bodies, 400 if it breaks off or is
    /// malformed, 408 if it takes too long.
    pub async fn read<B>(&self, body: B, max_bytes: usize) -> Result<Body, StatusCode>
    where
        B: HttpBody<Data = Bytes> + Unpin,
    {
        let read = tokio::time::timeout(BODY_TIMEOUT, self.collect(body, max_bytes)).await;
        read.unwrap_or(Err(StatusCode::REQUEST_TIMEOUT))
    }

    async fn collect<B>(&self, mut body: B, max_bytes: usize) -> Result<Body, StatusCode>
    where
        B: HttpBody<Data = Bytes> + Unpin,
    {
        let mut kept = Ok(Kept::default());
        let mut discarded = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| StatusCode::BAD_REQUEST)?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            kept = kept.and_then(|kept| self.append(kept, &data, max_bytes));
            if kept.is_err() {
                discarded += data.len();
            }
            if discarded > DISCARDED_BYTES {
                break;
            }
        }
        kept.map(|(bytes, counted)| Body {
            bytes: bytes.into(),
            _counted: counted,
        })
    }

    /// Adds bytes to those of a body.
    fn append(
        &self,
        (mut bytes, mut counted): Kept,
        data: &[u8],
        max_bytes: usize,
    ) -> Result<Kept, StatusCode> {
        if bytes.len() + data.len() > max_bytes {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let count = u32::try_from(data.len()).map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
        let more = Arc::clone(&self.0).try_acquire_many_owned(count);
        let more = more.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        match &mut counted {
            Some(counted) => counted.merge(more),
            none => *none = Some(more),
        }
        bytes.extend_from_slice(data);
        Ok((bytes, counted))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use proptest::prelude::*;

    use super::*;

    fn body(chunks: Vec<Vec<u8>>) -> impl HttpBody<Data = Bytes, Error = Infallible> + Unpin {
        let frames = chunks.into_iter();
        let frames = frames.map(|chunk| Ok(Frame::data(Bytes::from(chunk))));
        StreamBody::new(stream::iter(frames))
    }

    proptest! {
        /// A body is read whole or refused, and counts exactly as long as it is kept.
        #[test]
        fn a_body_is_kept_if_there_is_room_for_it(
            others in 0..64_usize,
            room in 0..64_usize,
            max_bytes in 0..64_usize,
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..16), 0..8),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            let runtime = runtime.expect("a runtime");
            let limit = BodyLimit::new(others + room);
            let other = runtime.block_on(limit.read(body(vec![vec![0; others]]), others));
            let other = other.expect("there is room");
            let whole = chunks.concat();
            let read = runtime.block_on(limit.read(body(chunks), max_bytes));
            match &read {
                Ok(body) => prop_assert_eq!(&body.bytes, &whole),
                Err(StatusCode::PAYLOAD_TOO_LARGE) => prop_assert!(whole.len() > max_bytes),
                Err(status) => {
                    prop_assert_eq!(*status, StatusCode::SERVICE_UNAVAILABLE);
                    prop_assert!(whole.len() > room);
                }
            }
            let fits = whole.len() <= max_bytes.min(room);
            prop_assert_eq!(read.is_ok(), fits);
            let taken = if fits { whole.len() } else { 0 };
            prop_assert_eq!(limit.0.available_permits(), room - taken);
            drop((read, other));
            prop_assert_eq!(limit.0.available_permits(), others + room);
        }
    }
}
