//! Where clients come in, by TLS or not: no more at once than there are places.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a client may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What ends TLS with the certificate and its chain, and the secret key, in PEM files.
///
/// # Errors
/// A message for the user: a file cannot be read, or they do not fit together.
pub fn tls(certificate: &Path, key: &Path) -> Result<TlsAcceptor, String> {
    let failed =
        |path: &Path, error: &dyn std::fmt::Display| format!("cannot use {}: {error}", path.display());
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(certificate).map_err(|error| failed(certificate, &error))?.collect();
    let chain = chain.map_err(|error| failed(certificate, &error))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(key, &error))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| failed(certificate, &error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A listener that accepts a client when there is a place for it.
pub struct Places {
    ready: mpsc::Receiver<(Place, SocketAddr)>,
    address: SocketAddr,
}

impl Places {
    /// `places` clients at once.
    ///
    /// # Errors
    /// The listener has no address.
    pub fn new(listener: TcpListener, places: usize, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (sender, ready) = mpsc::channel(1);
        tokio::spawn(async move {
            tokio::select! {
                () = accept(&listener, places, tls, &sender) => {}
                // Nobody takes clients any more: the port is closed.
                () = sender.closed() => {}
            }
        });
        Ok(Places { ready, address })
    }
}

async fn accept(
    listener: &TcpListener,
    places: usize,
    tls: Option<TlsAcceptor>,
    ready: &mpsc::Sender<(Place, SocketAddr)>,
) {
    let places = Arc::new(Semaphore::new(places));
    while let Ok(permit) = places.clone().acquire_owned().await {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            // Out of file handles, or the client is gone already.
            Err(error) => {
                tracing::warn!(%error, "cannot accept a client");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls.clone() else {
            let place = Place { stream: Stream::Plain(stream), _permit: permit };
            let _ = ready.send((place, address)).await;
            continue;
        };
        let ready = ready.clone();
        // One that is slow to agree holds up nobody else.
        tokio::spawn(async move {
            match timeout(HANDSHAKE, tls.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let place = Place { stream: Stream::Tls(Box::new(stream)), _permit: permit };
                    let _ = ready.send((place, address)).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "no TLS with a client"),
                Err(_) => tracing::debug!("a client took too long to agree on TLS"),
            }
        });
    }
}

impl Listener for Places {
    type Io = Place;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Place, SocketAddr) {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            // The task that sends them ends after this receiver.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A client with its place.
pub struct Place {
    stream: Stream,
    _permit: OwnedSemaphorePermit,
}

/// A stream that reads and writes bytes.
trait Bytes: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Bytes for T {}

impl Place {
    fn bytes(self: Pin<&mut Self>) -> Pin<&mut dyn Bytes> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream as &mut dyn Bytes),
            Stream::Tls(stream) => Pin::new(&mut **stream as &mut dyn Bytes),
        }
    }
}

impl AsyncRead for Place {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.bytes().poll_read(context, buffer)
    }
}

impl AsyncWrite for Place {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.bytes().poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.bytes().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.bytes().poll_shutdown(context)
    }
}
