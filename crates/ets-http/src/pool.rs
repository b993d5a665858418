//! A bounded number of connections, and of requests that wait for one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ets_connect::Settings;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row, RowStream, Statement};

use crate::database;
use crate::problem::Problem;

/// The pool. Cheap to clone.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
    size: usize,
    waiting: AtomicUsize,
    most_waiting: usize,
    patience: Duration,
}

struct Connection {
    client: Client,
    statements: HashMap<&'static str, Statement>,
}

/// How a pool is used just now.
#[derive(Debug, Clone, Copy)]
pub struct Use {
    /// Connections that answer a request.
    pub busy: usize,
    /// Connections that wait for one.
    pub idle: usize,
    /// Requests that wait for a connection.
    pub waiting: usize,
}

impl Pool {
    /// A pool of at most `size` connections; `most_waiting` requests wait for one at most
    /// `patience`. Nothing is connected yet.
    pub fn new(settings: Settings, size: usize, most_waiting: usize, patience: Duration) -> Self {
        let permits = Arc::new(Semaphore::new(size));
        let (idle, waiting) = (Mutex::default(), AtomicUsize::new(0));
        Pool { shared: Arc::new(Shared { settings, idle, permits, size, waiting, most_waiting, patience }) }
    }

    /// A connection, once there is one.
    ///
    /// # Errors
    /// 503: too many wait, none came free in time, or the database cannot be reached.
    pub async fn get(&self) -> Result<Lease, Problem> {
        let busy = || Problem::unavailable("too many requests at once");
        let permit = match self.shared.permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let queued = Queued::join(&self.shared).ok_or_else(busy)?;
                let permit = timeout(self.shared.patience, self.shared.permits.clone().acquire_owned()).await;
                drop(queued);
                permit.map_err(|_| busy())?.map_err(|_| busy())?
            }
        };
        loop {
            match self.idle().pop() {
                Some(connection) if connection.client.is_closed() => {}
                Some(connection) => return Ok(self.lease(connection, permit)),
                None => break,
            }
        }
        let connection = self.connect().await?;
        Ok(self.lease(connection, permit))
    }

    /// The rows of a statement on a connection of its own. If a restart of the database ended
    /// that connection, once more on a new one: every statement here may be repeated, an append too.
    ///
    /// # Errors
    /// What the database said; 503 as for [`Pool::get`], or if it is gone.
    pub async fn query(&self, sql: &'static str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, Problem> {
        let mut lease = self.get().await?;
        match lease.query(sql, parameters).await {
            Err(problem) if lease.is_lost() => {
                drop(lease);
                tracing::info!(sqlstate = problem.sqlstate, "a connection was lost; trying another");
                self.get().await?.query(sql, parameters).await
            }
            answer => answer,
        }
    }

    /// The first column of the one row of a statement.
    ///
    /// # Errors
    /// As [`Pool::query`].
    pub async fn text(&self, sql: &'static str, parameters: &[Parameter<'_>]) -> Result<String, Problem> {
        let rows = self.query(sql, parameters).await?;
        let text = rows.first().and_then(|row| row.try_get::<_, Option<String>>(0).ok().flatten());
        text.ok_or_else(|| Problem::server("the database answered no text"))
    }

    /// How it is used just now.
    pub fn usage(&self) -> Use {
        Use {
            busy: self.shared.size - self.shared.permits.available_permits(),
            idle: self.idle().len(),
            waiting: self.shared.waiting.load(Ordering::Relaxed),
        }
    }

    /// The settings of its connections.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    async fn connect(&self) -> Result<Connection, Problem> {
        let client = database::connect(&self.shared.settings).await.map_err(|error| {
            tracing::warn!(%error, "cannot connect to the database");
            Problem::unavailable("the database cannot be reached")
        })?;
        Ok(Connection { client, statements: HashMap::new() })
    }

    fn lease(&self, connection: Connection, permit: OwnedSemaphorePermit) -> Lease {
        Lease {
            connection: Some(connection),
            pool: self.clone(),
            permit: Some(permit),
            is_busy: false,
            is_stale: false,
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue, left however the waiting ends.
struct Queued<'a>(&'a Shared);

impl<'a> Queued<'a> {
    fn join(shared: &'a Shared) -> Option<Self> {
        let before = shared.waiting.fetch_add(1, Ordering::Relaxed);
        let queued = Queued(shared);
        (before < shared.most_waiting).then_some(queued)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection for one request. It goes back to the pool, unless a statement was
/// still under way when the request ended: that one is cancelled.
pub struct Lease {
    connection: Option<Connection>,
    pool: Pool,
    permit: Option<OwnedSemaphorePermit>,
    is_busy: bool,
    is_stale: bool,
}

/// A parameter of a statement.
pub type Parameter<'a> = &'a (dyn ToSql + Sync);

impl Lease {
    /// The rows of a statement, which is prepared once for each connection.
    ///
    /// # Errors
    /// What the database said, or 503 if it is gone.
    pub async fn query(
        &mut self,
        sql: &'static str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Problem> {
        self.is_busy = true;
        let rows = self.try_query(sql, parameters).await;
        self.is_busy = false;
        rows.map_err(|error| {
            // After an update of the extension a prepared statement may not fit any more.
            self.is_stale = error.code() == Some(&SqlState::FEATURE_NOT_SUPPORTED);
            Problem::of(&error)
        })
    }

    /// Whether nothing more can be asked on this connection.
    pub fn is_lost(&self) -> bool {
        self.is_stale || self.client().is_closed()
    }

    async fn try_query(
        &mut self,
        sql: &'static str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let statement = self.prepared(sql).await?;
        self.client().query(&statement, parameters).await
    }

    /// The rows of a statement as they come: it is under way until [`Lease::done`] is said.
    ///
    /// # Errors
    /// As [`Lease::query`].
    pub async fn stream(
        &mut self,
        sql: &'static str,
        parameters: &[Parameter<'_>],
    ) -> Result<RowStream, Problem> {
        self.is_busy = true;
        let started = async {
            let statement = self.prepared(sql).await?;
            self.client().query_raw(&statement, parameters.iter().copied()).await
        };
        started.await.map_err(|error| Problem::of(&error))
    }

    /// Says that all rows of [`Lease::stream`] have come.
    pub fn done(&mut self) {
        self.is_busy = false;
    }

    async fn prepared(&mut self, sql: &'static str) -> Result<Statement, tokio_postgres::Error> {
        let Some(connection) = &mut self.connection else { unreachable!("taken only when the lease ends") };
        if let Some(statement) = connection.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = connection.client.prepare(sql).await?;
        connection.statements.insert(sql, statement.clone());
        Ok(statement)
    }

    fn client(&self) -> &Client {
        let Some(connection) = &self.connection else { unreachable!("taken only when the lease ends") };
        &connection.client
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let permit = self.permit.take();
        if !self.is_busy {
            if !self.is_stale && !connection.client.is_closed() {
                self.pool.idle().push(connection);
            }
            return;
        }
        let cancel = connection.client.cancel_token();
        let tls = self.pool.shared.settings.tls.clone();
        tokio::spawn(async move {
            // The place is free once the server has let go.
            let cancelled = async {
                match tls {
                    Some(tls) => cancel.cancel_query(tls).await,
                    None => cancel.cancel_query(NoTls).await,
                }
            };
            let _ = timeout(Duration::from_secs(5), cancelled).await;
            drop(connection);
            drop(permit);
        });
    }
}
