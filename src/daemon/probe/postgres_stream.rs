//! The stream to a PostgreSQL server: TLS where it is wanted, and messages whose length is believed
//! only within bounds.
//!
//! The client library reserves as much memory as a message says it will be long. What listens on a
//! port is not always PostgreSQL: taken for a message, the answer of a web server is 1.4 GB long.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_postgres::config::SslMode;

use crate::daemon::outside::connect::Stream;
use crate::daemon::outside::tls::{self, Trust};
use crate::daemon::outside::{Doing, words};

/// `SSLRequest` (PostgreSQL 15, section 55.7): its length, and a number that is no version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// The longest message: errors are some hundred bytes, our rows less.
const LONGEST: usize = 64 * 1024;

/// Asks for TLS as `sslmode` says. As libpq does without a root certificate, `prefer` and `require`
/// take any certificate.
///
/// # Errors
/// What is wrong, for people, to follow the name of the server.
pub(super) async fn negotiate(
    mut stream: TcpStream,
    name: &str,
    mode: SslMode,
    doing: &Doing,
) -> Result<Box<dyn Stream>, String> {
    if mode == SslMode::Disable {
        return Ok(Box::new(stream));
    }
    let answer = async {
        stream.write_all(&SSL_REQUEST).await?;
        stream.read_u8().await
    };
    match answer.await {
        Ok(b'S') => Ok(Box::new(tls::wrap(stream, name, Trust::Anyone, doing).await?)),
        Ok(b'N') if mode == SslMode::Require => {
            Err("it speaks no TLS (sslmode=require)".to_owned())
        }
        Ok(b'N') => Ok(Box::new(stream)),
        // It has no room for another client, or is no PostgreSQL: without TLS it says more.
        Ok(b'E') => Err("it refuses connections: sslmode=disable shows why".to_owned()),
        Ok(_) => Err("it answers with what is no PostgreSQL".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err("it closed the connection before it had answered".to_owned())
        }
        Err(error) => Err(words::system(&error)),
    }
}

/// A stream of the server's messages: each is a byte for its kind, its length in four bytes, which
/// count, and the rest.
pub(super) struct Framed<S> {
    stream: S,
    /// So many bytes of a message's beginning are there.
    known: usize,
    /// What its length is as far as that is known, then how much of the message is to come.
    length: usize,
}

impl<S> Framed<S> {
    /// At the beginning of a message.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, known: 0, length: 0 }
    }

    /// Follows what has been read.
    fn follow(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let Some((first, rest)) = bytes.split_first() {
            if self.known == 5 {
                let skipped = self.length.min(bytes.len());
                self.length -= skipped;
                bytes = bytes.get(skipped..).unwrap_or_default();
            } else {
                if self.known > 0 {
                    self.length = self.length << 8 | usize::from(*first);
                }
                self.known += 1;
                bytes = rest;
                if self.known == 5 {
                    self.length = rest_of(self.length)?;
                }
            }
            if self.known == 5 && self.length == 0 {
                self.known = 0;
            }
        }
        Ok(())
    }
}

/// How much follows a length that counts itself.
fn rest_of(length: usize) -> io::Result<usize> {
    length.checked_sub(4).filter(|rest| *rest <= LONGEST).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "it answers with what is no PostgreSQL")
    })
}

impl<S: Stream> AsyncRead for Framed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        Poll::Ready(self.follow(read))
    }
}

impl<S: Stream> AsyncWrite for Framed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two messages: one with nothing but its length, one with three bytes.
    const MESSAGES: &[u8] = b"1\x00\x00\x00\x04Z\x00\x00\x00\x07abc";

    /// Rule: messages are followed however they are cut into reads.
    #[test]
    fn messages_are_followed_in_any_pieces() {
        for size in 1..=MESSAGES.len() {
            let mut framed = Framed::new(());
            for piece in MESSAGES.chunks(size) {
                framed.follow(piece).unwrap();
            }
            assert_eq!((framed.known, framed.length), (0, 0), "in pieces of {size}");
        }
    }

    /// Bug guarded: the answer of a web server made the library reserve 1.4 GB.
    #[test]
    fn what_is_no_message_is_refused_before_its_length_is_believed() {
        for bytes in [&b"HTTP/1.1 400 Bad Request"[..], b"SSH-2.0-OpenSSH", b"R\x00\x00\x00\x03"] {
            assert!(Framed::new(()).follow(bytes).is_err());
        }
        let longest = u32::try_from(LONGEST + 4).unwrap().to_be_bytes();
        Framed::new(()).follow(&[&b"D"[..], &longest].concat()).unwrap();
    }
}
