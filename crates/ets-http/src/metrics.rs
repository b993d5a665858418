//! Figures for Prometheus.

use std::fmt::Write as _;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::pool::Pool;
use crate::problem::Problem;

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refusal {
    sqlstate: String,
}

/// The figures of this server.
pub struct Metrics {
    registry: Registry,
    requests: Family<Ended, Counter>,
    refusals: Family<Refusal, Counter>,
    latency: Family<Route, Histogram>,
    appended: Counter,
    /// Live feeds that are open.
    pub feeds: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("ets");
        // From 0.5 ms to 16 s.
        let buckets = || Histogram::new((0..16).map(|power| 0.0005 * f64::from(1 << power)));
        let (requests, refusals) = (Family::default(), Family::default());
        let latency = Family::<Route, Histogram>::new_with_constructor(buckets);
        let (appended, feeds) = (Counter::default(), Gauge::default());
        registry.register("http_requests", "Requests by route and status", requests.clone());
        registry.register("http_refusals", "What the database refused, by SQLSTATE", refusals.clone());
        registry.register("http_request_seconds", "Time until the answer began", latency.clone());
        registry.register("http_appended_events", "Events that were answered as appended", appended.clone());
        registry.register("http_feeds", "Live feeds that are open", feeds.clone());
        Metrics { registry, requests, refusals, latency, appended, feeds }
    }
}

impl Metrics {
    /// A request has ended.
    pub fn answered(&self, route: &str, status: u16, sqlstate: Option<&str>, took: Duration) {
        let route = route.to_owned();
        self.requests.get_or_create(&Ended { route: route.clone(), status }).inc();
        self.latency.get_or_create(&Route { route }).observe(took.as_secs_f64());
        if let Some(sqlstate) = sqlstate.filter(|sqlstate| !sqlstate.is_empty()) {
            self.refusals.get_or_create(&Refusal { sqlstate: sqlstate.to_owned() }).inc();
        }
    }

    /// Events were appended.
    pub fn appended(&self, events: u64) {
        self.appended.inc_by(events);
    }

    /// All figures as text, those of the pools and of the ledger as they are now.
    pub async fn text(&self, pools: [(&str, &Pool); 2]) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            return String::new();
        }
        // Before the line that ends the exposition.
        let mut text = text.strip_suffix("# EOF\n").map(str::to_owned).unwrap_or(text);
        let mut gauge = |name: &str, help: &str, values: &[(String, f64)]| {
            let _ = writeln!(text, "# HELP ets_{name} {help}\n# TYPE ets_{name} gauge");
            for (labels, value) in values {
                let _ = writeln!(text, "ets_{name}{labels} {value}");
            }
        };
        let mut connections = Vec::new();
        let mut waiting = Vec::new();
        for (name, pool) in pools {
            let usage = pool.usage();
            connections.push((format!("{{pool=\"{name}\",state=\"busy\"}}"), usage.busy as f64));
            connections.push((format!("{{pool=\"{name}\",state=\"idle\"}}"), usage.idle as f64));
            waiting.push((format!("{{pool=\"{name}\"}}"), usage.waiting as f64));
        }
        gauge("http_connections", "Connections to the database", &connections);
        gauge("http_waiting_requests", "Requests that wait for a connection", &waiting);
        match ledger(pools[0].1).await {
            Ok(figures) => {
                gauge("up", "Whether the database answers", &[(String::new(), 1.0)]);
                for (name, help, value) in figures {
                    if let Some(value) = value {
                        gauge(name, help, &[(String::new(), value)]);
                    }
                }
            }
            Err(_) => gauge("up", "Whether the database answers", &[(String::new(), 0.0)]),
        }
        text + "# EOF\n"
    }
}

type Figure = (&'static str, &'static str, Option<f64>);

/// What the database says of itself; what the role may not see is left out.
async fn ledger(pool: &Pool) -> Result<Vec<Figure>, Problem> {
    let sql = "SELECT extract(epoch FROM now() - max(created_at))::float8, coalesce(max(checkpoint_id), 0)::float8 FROM ets.checkpoint";
    let rows = pool.query(sql, &[]).await?;
    let sealed = |column| rows.first().and_then(|row| row.try_get::<_, Option<f64>>(column).ok().flatten());
    let mut figures: Vec<Figure> = vec![
        ("seal_age_seconds", "Age of the last checkpoint", sealed(0)),
        ("checkpoints", "Number of the last checkpoint", sealed(1)),
    ];
    let sql = "WITH status AS MATERIALIZED (SELECT item, state, value FROM ets.status)
               SELECT (SELECT value::float8 FROM status WHERE item = 'unsealed events' AND value ~ '^-?[0-9]+$'),
                      (SELECT count(*)::float8 FROM ets.open_findings),
                      (SELECT extract(epoch FROM value::interval)::float8 FROM status
                        WHERE item = 'anchor lag' AND value ~ '^([0-9]+ days? )?[0-9:]+$'),
                      (SELECT count(*)::float8 FROM status WHERE state <> 'ok')";
    if let Ok(rows) = pool.query(sql, &[]).await {
        let value =
            |column| rows.first().and_then(|row| row.try_get::<_, Option<f64>>(column).ok().flatten());
        figures.extend([
            ("unsealed_events", "Events that are in no checkpoint yet", value(0)),
            ("open_findings", "Findings of verification that are open", value(1)),
            ("anchor_lag_seconds", "Age of the oldest checkpoint without an anchor", value(2)),
            ("status_items", "Items of ets.status that are not ok", value(3)),
        ]);
    }
    Ok(figures)
}
