//! Hears of seals: a connection that listens for `ets_sealed`.

use std::time::Duration;

use ets_connect::Settings;
use futures_util::StreamExt as _;
use futures_util::stream::poll_fn;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls};

/// A number that changes with every seal. If the database goes away, it is asked for again;
/// whoever follows looks by himself in the meantime.
pub fn listen(settings: Settings) -> watch::Receiver<u64> {
    let (sender, receiver) = watch::channel(0);
    tokio::spawn(async move {
        while !sender.is_closed() {
            let heard = hear(&settings, &sender).await;
            if let Err(error) = heard {
                tracing::debug!(%error, "not listening for seals");
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    });
    receiver
}

async fn hear(settings: &Settings, sender: &watch::Sender<u64>) -> Result<(), tokio_postgres::Error> {
    match settings.tls.clone() {
        Some(tls) => {
            let (client, connection) = settings.config.connect(tls).await?;
            follow(client, connection, sender).await
        }
        None => {
            let (client, connection) = settings.config.connect(NoTls).await?;
            follow(client, connection, sender).await
        }
    }
}

async fn follow<S, T>(
    client: Client,
    mut connection: Connection<S, T>,
    sender: &watch::Sender<u64>,
) -> Result<(), tokio_postgres::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut messages = Box::pin(poll_fn(move |context| connection.poll_message(context)));
    let listening = async {
        client.batch_execute("LISTEN ets_sealed").await?;
        // Kept: without the client the connection ends.
        std::future::pending::<()>().await;
        Ok::<_, tokio_postgres::Error>(client)
    };
    let reading = async {
        while let Some(message) = messages.next().await {
            if matches!(message?, AsyncMessage::Notification(_)) {
                sender.send_modify(|number| *number += 1);
            }
        }
        Ok(())
    };
    tokio::select! {
        failed = listening => failed.map(|_| ()),
        ended = reading => ended,
    }
}
