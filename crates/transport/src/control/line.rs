//! Lines of bounded length.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};
use zeroize::Zeroizing;

/// Reads one line of at most `max` bytes without its end; `None` when the other side has finished.
/// The buffer is wiped on drop: requests carry PINs, answers codes.
///
/// # Errors
/// `InvalidData` for a longer line and for a last line without an end.
pub(super) async fn read<R>(reader: &mut R, max: usize) -> io::Result<Option<Zeroizing<Vec<u8>>>>
where
    R: AsyncBufRead + Unpin,
{
    let bound = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    // Room for everything, so that growing leaves no copy behind.
    let mut line = Zeroizing::new(Vec::with_capacity(max.saturating_add(1)));
    let read = reader.take(bound).read_until(b'\n', &mut line).await?;
    if read == 0 {
        return Ok(None);
    }
    if line.pop() == Some(b'\n') {
        return Ok(Some(line));
    }
    let long = read > max;
    let text = if long { "the line is too long" } else { "the last line has no end" };
    Err(io::Error::new(io::ErrorKind::InvalidData, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn first(bytes: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut reader = bytes;
        Ok(read(&mut reader, 4).await?.map(|line| line.to_vec()))
    }

    #[tokio::test]
    async fn lines_end_and_are_bounded() {
        assert_eq!(first(b"").await.unwrap(), None);
        assert_eq!(first(b"\n").await.unwrap(), Some(vec![]));
        assert_eq!(first(b"abcd\nrest").await.unwrap(), Some(b"abcd".to_vec()));
        assert_eq!(first(b"abcde\n").await.unwrap_err().to_string(), "the line is too long");
        assert_eq!(first(b"abc").await.unwrap_err().to_string(), "the last line has no end");
    }
}
