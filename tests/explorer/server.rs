//! Stands in for the program `ets-http`: the routes that the explorer asks for, a
//! statement each, and the files as `ets_http::explorer` carries them. Slow and
//! small: a thread, a connection to the database, and one answer for each request.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ets_http::explorer::{CONTENT_SECURITY_POLICY, asset};
use ets_http::problem;
use ets_tests::Ledger;
use postgres::types::ToSql;
use postgres::{Client, Config, NoTls};

/// The document of a row `e` of `ets.ledger_event`, as it stands there.
const DOCUMENT: &str = r#"jsonb_build_object('event_id', e.event_id, 'domain', e.domain, 'stream', e.stream,
    'sequence', e.sequence, 'payload', e.payload, 'schema_version', e.schema_version, 'key_id', e.key_id,
    'public_key', encode(e.public_key, 'hex'), 'previous_hash', encode(e.previous_hash, 'hex'),
    'current_hash', encode(e.current_hash, 'hex'), 'signature', encode(e.signature, 'hex'),
    'timestamp', to_char(e.timestamp AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'registry_version', e.registry_version)"#;

/// The roots of checkpoint `c`, in their order.
const ROOTS: &str = r#"(SELECT jsonb_agg(jsonb_build_object('domain', r.domain, 'tree_size', r.tree_size,
    'root_hash', encode(r.root_hash, 'hex'), 'checkpoint_id', c.checkpoint_id) ORDER BY r.domain COLLATE "C")
    FROM ets.domain_root r WHERE r.checkpoint_id = c.checkpoint_id)"#;

/// A statement with one value, the JSON of the answer, and the parameters that it takes, as text.
fn statement(route: &str) -> Option<(String, &'static [&'static str])> {
    let page = |list: &str, cursor: &str, rows: String| {
        format!(
            "SELECT jsonb_build_object('{list}', coalesce(jsonb_agg(item ORDER BY place), '[]'),
                 'next', CASE WHEN count(*) = $3::text::int THEN {cursor} END)::text FROM ({rows} LIMIT $3::text::int) AS page"
        )
    };
    Some(match route {
        "domains" => (
            format!("SELECT jsonb_build_object('domains', {ROOTS})::text FROM ets.checkpoint c ORDER BY checkpoint_id DESC LIMIT 1"),
            &[],
        ),
        "checkpoints" => (
            page("checkpoints", "min(checkpoint_id)", format!(
                r#"SELECT -checkpoint_id AS place, checkpoint_id, jsonb_build_object('checkpoint_id', checkpoint_id,
                   'checkpoint_event_id', checkpoint_event_id, 'meta_root', encode(meta_root, 'hex'), 'domain_roots', {ROOTS},
                   'created_at', to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) AS item
                   FROM ets.checkpoint c WHERE $1::text IS NULL AND checkpoint_id < coalesce($2::text::bigint, 9e15::bigint)
                   ORDER BY checkpoint_id DESC"#)),
            &["", "before", "limit"],
        ),
        "streams" => (
            page("streams", "max(place)", r#"SELECT stream AS place, jsonb_build_object('domain', domain, 'stream', stream,
                'sequence', sequence, 'event_id', last_event_id, 'event_hash', encode(head_hash, 'hex')) AS item
                FROM ets.stream_head WHERE domain = $1::text AND stream > coalesce($2::text, '') ORDER BY stream"#.to_owned()),
            &["domain", "after", "limit"],
        ),
        "events" => (
            page("events", "max(place)", format!("SELECT e.sequence AS place, {DOCUMENT} AS item FROM ets.ledger_event e
                WHERE e.domain = $1::text AND e.stream = $4::text AND e.sequence > coalesce($2::text::bigint, 0) ORDER BY e.sequence")),
            &["domain", "after", "limit", "stream"],
        ),
        "search" => (
            format!("SELECT jsonb_build_object('events', coalesce(jsonb_agg({DOCUMENT}), '[]'))::text FROM ets.ledger_event e
                WHERE e.event_id::text = $1::text OR encode(e.current_hash, 'hex') = $1::text"),
            &["q"],
        ),
        "status" => (
            "SELECT jsonb_build_object('status', (SELECT jsonb_agg(s) FROM (SELECT item, state, value FROM ets.status) s),
                'findings', (SELECT coalesce(jsonb_agg(f), '[]') FROM ets.open_findings f))::text".to_owned(),
            &[],
        ),
        "activity" => (
            "SELECT jsonb_build_object('buckets', jsonb_agg(jsonb_build_object('from', start,
                'appends', (SELECT count(*) FROM ets.ledger_event WHERE timestamp >= start AND timestamp < start + width),
                'seals', (SELECT count(*) FROM ets.checkpoint WHERE created_at >= start AND created_at < start + width)) ORDER BY start))::text
             FROM (SELECT $1::text::int * interval '1 hour' / 48) AS bucket (width),
                  generate_series(now() - 47.5 * width, now(), width) AS start".to_owned(),
            &["hours"],
        ),
        "trust-root" => ("SELECT ets.trust_root()::text".to_owned(), &[]),
        "consistency" => (
            "SELECT jsonb_build_object('proof', coalesce(jsonb_agg(encode(hash, 'hex') ORDER BY step), '[]'))::text
                FROM ets.consistency_proof($1::text, $2::text::bigint, $3::text::bigint)".to_owned(),
            &["domain", "from", "to"],
        ),
        "event" => ("SELECT ets.event_document($1::text::uuid)::text".to_owned(), &["id"]),
        "proof" => ("SELECT ets.proof_bundle($1::text::uuid)::text".to_owned(), &["id"]),
        _ => return None,
    })
}

/// Serves until this is dropped.
pub struct Server {
    pub base: String,
    stopped: Arc<AtomicBool>,
}

impl Server {
    pub fn start(ledger: &Ledger) -> Server {
        let mut config = Config::new();
        for (name, value) in ledger.database.environment() {
            match name {
                "PGHOST" => drop(config.host(&value)),
                "PGUSER" => drop(config.user(&value)),
                "PGDATABASE" => drop(config.dbname(&value)),
                _ => {}
            }
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("its address"));
        let stopped = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&stopped);
        thread::spawn(move || {
            for connection in listener.incoming() {
                if ends.load(Ordering::Relaxed) {
                    break;
                }
                let (config, ends) = (config.clone(), Arc::clone(&ends));
                // A browser that goes away in the middle is none of our concern.
                thread::spawn(move || connection.and_then(|stream| answer(stream, &config, &ends)));
            }
        });
        Server { base, stopped }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.base.trim_start_matches("http://"));
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        let escaped = (*first == b'%').then(|| others.get(..2)).flatten();
        let byte = escaped.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if byte.is_some() { &others[2..] } else { others };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn answer(mut stream: TcpStream, config: &Config, ends: &AtomicBool) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let target = request.split(' ').nth(1).unwrap_or("/");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if let Some(file) = asset(path) {
        return respond(&mut stream, 200, file.media_type, file.body);
    }
    let mut given: Vec<(String, String)> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect();
    let (route, id) = match path.trim_start_matches("/api/").split('/').collect::<Vec<_>>()[..] {
        ["ledger", "event", id] => ("event", id),
        ["merkle", "proof", id] => ("proof", id),
        ["ledger", route] => (route, ""),
        _ => return respond(&mut stream, 404, "text/plain", b"not found"),
    };
    given.push(("id".to_owned(), decoded(id)));
    let value = |name: &str| given.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str());
    let mut client = config.connect(NoTls).expect("the server is there");
    if route == "feed" {
        return feed(&mut stream, &mut client, value("domain"), ends);
    }
    let Some((sql, names)) = statement(route) else {
        return respond(&mut stream, 404, "text/plain", b"not found");
    };
    let values: Vec<Option<&str>> = names.iter().map(|name| value(name)).collect();
    let parameters: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
    match client.query_one(&sql, &parameters) {
        Ok(row) => respond(&mut stream, 200, "application/json", row.get::<_, String>(0).as_bytes()),
        Err(error) => {
            let refusal = error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error:?}"));
            let code = refusal.code().code();
            let body = problem::body(code, refusal.message(), refusal.detail(), refusal.hint()).to_string();
            respond(&mut stream, problem::status(code), problem::MEDIA_TYPE, body.as_bytes())
        }
    }
}

fn respond(stream: &mut TcpStream, status: u16, media_type: &str, body: &[u8]) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status} _\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\
         Content-Security-Policy: {CONTENT_SECURITY_POLICY}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)
}

/// New leaves of a domain, as server-sent events.
fn feed(
    stream: &mut TcpStream,
    client: &mut Client,
    domain: Option<&str>,
    ends: &AtomicBool,
) -> std::io::Result<()> {
    let head =
        "HTTP/1.1 200 _\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n: new leaves\n\n";
    stream.write_all(head.as_bytes())?;
    let count = "SELECT count(*) FROM ets.merkle_leaf WHERE domain = $1";
    let mut next: i64 = client.query_one(count, &[&domain]).expect("a count").get(0);
    let sql = format!(
        "SELECT {DOCUMENT}::text FROM ets.merkle_leaf l JOIN ets.ledger_event e USING (domain, event_id)
         WHERE l.domain = $1 AND l.leaf_index >= $2 ORDER BY l.leaf_index"
    );
    while !ends.load(Ordering::Relaxed) {
        for row in client.query(&sql, &[&domain, &next]).expect("leaves") {
            write!(stream, "id: {next}\ndata: {}\n\n", row.get::<_, String>(0))?;
            next += 1;
        }
        stream.write_all(b": still here\n\n")?;
        thread::sleep(Duration::from_millis(300));
    }
    Ok(())
}
