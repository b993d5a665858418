//! Where clients come in: no more at once than there are places.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A listener that accepts a client when there is a place for it.
pub struct Places {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Places {
    /// `places` clients at once.
    pub fn new(listener: TcpListener, places: usize) -> Self {
        Places { listener, places: Arc::new(Semaphore::new(places)) }
    }
}

impl Listener for Places {
    type Io = Place;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Place, SocketAddr) {
        loop {
            // The semaphore is never closed.
            let Ok(permit) = self.places.clone().acquire_owned().await else { continue };
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    let _ = stream.set_nodelay(true);
                    return (Place { stream, _permit: permit }, address);
                }
                // Out of file handles, or the client is gone already.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a client");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A client with its place.
pub struct Place {
    stream: TcpStream,
    _permit: OwnedSemaphorePermit,
}

impl AsyncRead for Place {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Place {
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
