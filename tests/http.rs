//! The HTTP server: the real program in front of a real database.

pub(crate) mod client;

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ets_core::bundle::ProofBundle;
use ets_core::event::Event;
use ets_tests::{Cluster, Ledger, SCHEMA, order};
use serde_json::{Value, json};

use client::{Answer, Server};

/// A ledger, and a server in front of it.
fn served(arguments: &[&str]) -> (Ledger, Server) {
    let ledger = Ledger::new();
    let server = Server::start(&ledger.database.environment(), arguments);
    (ledger, server)
}

/// A signed event for the head of its stream.
fn signed(ledger: &mut Ledger, payload: &Value) -> Value {
    let stream = payload["order"].as_str().expect("an order").to_owned();
    let (head, _) = ledger.head(&stream);
    let hex = |bytes: &[u8]| ets_core::hash::to_hex(bytes);
    json!({
        "payload": payload, "schema_version": SCHEMA, "public_key": hex(&ledger.alice.public_key()),
        "previous_hash": hex(&head), "signature": hex(&ledger.alice.sign(payload, &head)),
    })
}

#[track_caller]
fn problem(answer: &Answer, status: u16, sqlstate: Option<&str>) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{}", answer.text());
    let body = answer.json();
    assert_eq!((&body["status"], body["sqlstate"].as_str()), (&json!(status), sqlstate), "{body}");
    assert!(body["title"].as_str().is_some_and(|title| !title.is_empty() && !title.contains('\n')), "{body}");
    body
}

#[test]
fn an_event_is_appended_read_proven_and_verified() {
    let (mut ledger, server) = served(&[]);
    let request = signed(&mut ledger, &order("a", 1));
    let appended = server.post("/api/ledger/event", &request.to_string());
    assert_eq!(appended.status, 201, "{}", appended.text());
    let event = Event::parse(&appended.text()).expect("an event document");
    assert!(event.check_hash() && event.header.check_signature());
    let id = event.header.event_id.to_string();
    assert_eq!(appended.header("location"), Some(format!("/api/ledger/event/{id}").as_str()));
    // A retry is the same; the head has moved for anybody else.
    let again = server.post("/api/ledger/event", &request.to_string());
    assert_eq!((again.status, again.text()), (201, appended.text()));
    let mut other = signed(&mut ledger, &order("a", 2));
    other["previous_hash"] = request["previous_hash"].clone();
    let head = ledger.alice.sign(&order("a", 2), &hex(&request["previous_hash"]));
    other["signature"] = ets_core::hash::to_hex(&head).into();
    let late = problem(&server.post("/api/ledger/event", &other.to_string()), 409, Some("ET005"));
    assert!(late["errors"].is_object(), "{late}");

    let read = server.get(&format!("/api/ledger/event/{id}"));
    assert_eq!((read.status, read.text()), (200, appended.text()));
    problem(&server.get(&format!("/api/merkle/proof/{id}")), 409, Some("ET012"));
    ledger.seal();
    let bundle = server.get(&format!("/api/merkle/proof/{id}"));
    let parsed = ProofBundle::parse(&bundle.text()).expect("a bundle");
    assert_eq!(parsed.event, event);
    let sql = "SELECT ets.tlog_proof($1::text::uuid)";
    let text = server.request("GET", &format!("/api/merkle/proof/{id}"), &[("accept", "text/plain")], "");
    assert_eq!((text.status, text.text()), (200, ledger.one::<String>(sql, &[&id])));

    let verdict = |body: &str| {
        let answer = server.post("/api/ledger/verify", body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["verdict"].as_str().expect("a verdict").to_owned()
    };
    assert_eq!(verdict(&json!({"event_id": id}).to_string()), "MATCH");
    assert_eq!(verdict(&appended.text()), "MATCH");
    // A bundle vouches for itself only.
    assert_eq!(verdict(&bundle.text()), "UNVERIFIABLE");
    assert_eq!(verdict(&bundle.text().replacen("\"amount\":1", "\"amount\":7", 1)), "MISMATCH");
    assert_eq!(verdict(&appended.text().replacen("\"amount\":1", "\"amount\":7", 1)), "MISMATCH");
    problem(&server.post("/api/ledger/verify", "{}"), 400, None);

    let replay = server.get("/api/ledger/replay?domain=orders");
    assert_eq!(replay.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<Value> =
        replay.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((lines.len(), &lines[0]["stream"], &lines[0]["state"]["amount"]), (1, &json!("a"), &json!(1)));
    problem(&server.get("/api/ledger/replay?domain=nothing"), 404, Some("ET011"));
}

fn hex(value: &Value) -> Vec<u8> {
    ets_core::hash::from_hex::<32>(value.as_str().expect("hex")).expect("a hash").to_vec()
}

#[test]
fn what_is_wrong_is_refused_and_never_repaired() {
    let (mut ledger, server) = served(&["--max-body", "100000"]);
    let request = signed(&mut ledger, &order("a", 1));
    let before = ledger.contents();
    let text = request.to_string();
    for (from, to) in [
        ("\"amount\":1", "\"amount\":1,\"amount\":1"),
        ("\"amount\":1", "\"amount\":9007199254740993"),
        ("\"amount\":1", "\"amount\":1e400"),
        ("\"amount\":1", "\"amount\":\"\\ud800\""),
        ("{", "["),
        ("\"signature\":", "\"signature\":1,\"sig\":"),
        ("\"public_key\":\"", "\"public_key\":\"zz"),
        ("\"schema_version\":", "\"schema\":"),
    ] {
        problem(&server.post("/api/ledger/event", &text.replacen(from, to, 1)), 400, None);
    }
    for (from, to, status, sqlstate) in [
        ("order/1.0.0\",\"signature", "none/1.0.0\",\"signature", 422, "ET006"),
        ("\"amount\":1", "\"amount\":2", 401, "ET003"),
    ] {
        problem(&server.post("/api/ledger/event", &text.replacen(from, to, 1)), status, Some(sqlstate));
    }
    problem(&server.post("/api/ledger/event", &"[".repeat(50_000)), 400, None);
    problem(&server.post("/api/ledger/event", &"1".repeat(200_000)), 413, None);
    for path in [
        "/api/ledger/event/x",
        "/api/ledger/head",
        "/api/ledger/head?domain=a&domain=b",
        "/api/ledger/events?domain=orders&limit=0",
        "/api/ledger/events?domain=orders&aftr=1",
        "/api/ledger/events?domain=%00",
        "/api/ledger/search?q=x",
        "/api/ledger/checkpoints?before=x",
    ] {
        problem(&server.get(path), 400, None);
    }
    problem(&server.get("/api/ledger/nothing"), 404, None);
    for (path, allowed) in [
        ("/api/ledger/event", "POST"),
        ("/api/ledger/head", "GET,HEAD"),
        ("/api/ledger/events", "GET,HEAD,POST"),
    ] {
        let refused = server.request("DELETE", path, &[], "");
        problem(&refused, 405, None);
        let mut found: Vec<&str> =
            refused.header("allow").expect("Allow").split(',').map(str::trim).collect();
        found.sort_unstable();
        assert_eq!(found.join(","), allowed, "{path}");
    }
    problem(&server.get("/api/ledger/event/019c1c38-0000-7000-8000-000000000001"), 404, Some("ET011"));
    assert_eq!(ledger.contents(), before);
}

#[test]
fn a_batch_is_appended_whole_or_not_at_all() {
    let (mut ledger, server) = served(&[]);
    let one = signed(&mut ledger, &order("a", 1));
    let two = signed(&mut ledger, &order("b", 1));
    let wrong = signed(&mut ledger, &json!({"schema": SCHEMA, "order": "c"}));
    let before = ledger.contents();
    let refused =
        problem(&server.post("/api/ledger/events", &json!([one, wrong]).to_string()), 422, Some("ET007"));
    assert!(refused["errors"].is_object());
    assert_eq!(ledger.contents(), before);
    let appended = server.post("/api/ledger/events", &format!("{one}\n\n{two}\n"));
    assert_eq!(appended.status, 201, "{}", appended.text());
    assert_eq!(appended.json()["events"].as_array().map(Vec::len), Some(2));
    assert_eq!(server.post("/api/ledger/events", &json!([one, two]).to_string()).text(), appended.text());
    problem(&server.post("/api/ledger/events", &format!("{one}\n{{\n")), 400, None);
    // What the actor signs is computed by himself; what the server says is the same.
    let prepared = server.post(
        "/api/ledger/prepare",
        &json!({"payload": order("a", 2), "schema_version": SCHEMA}).to_string(),
    );
    let head = server.get("/api/ledger/head?domain=orders&stream=a").json();
    assert_eq!(prepared.json()["previous_hash"], head["head_hash"]);
    assert_eq!(head["sequence"], 1);
}

#[test]
fn everything_is_listed_in_pages() {
    let (mut ledger, server) = served(&[]);
    for amount in 1..=5 {
        ledger.append(&order("a", amount));
    }
    for stream in ["b", "c"] {
        ledger.append(&order(stream, 1));
    }
    ledger.seal();
    ledger.append(&order("a", 6));
    ledger.seal();
    let domains = server.get("/api/ledger/domains").json();
    let orders = domains["domains"].as_array().expect("domains").iter().find(|one| one["domain"] == "orders");
    let root: String = ledger.one(
        "SELECT encode(root_hash, 'hex') FROM ets.domain_root WHERE checkpoint_id = 2 AND domain = 'orders'",
        &[],
    );
    assert_eq!(orders.map(|one| (&one["tree_size"], &one["root_hash"])), Some((&json!(8), &json!(root))));
    let follow = |path: &str, items: &str| -> Vec<Value> {
        let mut all = Vec::new();
        let mut page = path.to_owned();
        loop {
            let answer = server.get(&page);
            assert_eq!(answer.status, 200, "{page}: {}", answer.text());
            let body = answer.json();
            all.extend(body[items].as_array().expect("items").iter().cloned());
            let next = match &body["next"] {
                Value::Null => return all,
                Value::String(text) => text.clone(),
                number => number.to_string(),
            };
            let separator = if items == "checkpoints" { "before" } else { "after" };
            page = format!("{path}&{separator}={next}");
        }
    };
    let streams = follow("/api/ledger/streams?domain=orders&limit=2", "streams");
    assert_eq!(
        streams.iter().map(|one| one["stream"].as_str().expect("text")).collect::<Vec<_>>(),
        ["a", "b", "c"]
    );
    let events = follow("/api/ledger/events?domain=orders&stream=a&limit=4", "events");
    assert_eq!(
        events.iter().map(|one| one["sequence"].as_i64().expect("n")).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6]
    );
    assert_eq!(follow("/api/ledger/events?domain=orders&limit=3", "events").len(), 8);
    let checkpoints = follow("/api/ledger/checkpoints?limit=1", "checkpoints");
    assert_eq!(
        checkpoints.iter().map(|one| one["checkpoint_id"].as_i64().expect("n")).collect::<Vec<_>>(),
        [2, 1]
    );
    let hash = events[2]["current_hash"].as_str().expect("hex");
    for q in [hash, events[2]["event_id"].as_str().expect("an id")] {
        assert_eq!(server.get(&format!("/api/ledger/search?q={q}")).json()["events"], json!([events[2]]));
    }
    assert_eq!(server.get(&format!("/api/ledger/search?q={}", "0".repeat(64))).json()["events"], json!([]));
    let proof = server.get("/api/ledger/consistency?domain=orders&from=7&to=8").json();
    let expected: Vec<String> = ledger
        .client
        .query("SELECT encode(hash, 'hex') FROM ets.consistency_proof('orders', 7, 8) ORDER BY step", &[])
        .expect("a proof")
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(proof["proof"], json!(expected));
    let buckets = server.get("/api/ledger/activity?hours=1");
    assert_eq!(buckets.status, 200, "{}", buckets.text());
    let buckets = buckets.json();
    let sum = |name: &str| -> i64 {
        let buckets = buckets["buckets"].as_array().expect("buckets");
        assert_eq!(buckets.len(), 96);
        buckets.iter().map(|one| one[name].as_i64().expect("a number")).sum()
    };
    assert_eq!(sum("seals"), 2);
    assert_eq!(sum("appends"), ledger.one::<i64>("SELECT count(*) FROM ets.ledger_event", &[]));
    let status = server.get("/api/ledger/status").json();
    assert!(status["status"].as_array().is_some_and(|items| items.len() > 8));
    assert_eq!(status["findings"], json!([]));
    let root: String = ledger.one("SELECT ets.trust_root()->>'root_public_key'", &[]);
    assert_eq!(server.get("/api/ledger/trust-root").json()["root_public_key"], root.as_str());
}

#[test]
fn a_feed_follows_a_tree_and_goes_on_where_it_was() {
    let (mut ledger, server) = served(&[]);
    let first = ledger.append(&order("a", 1)).event_id.to_string();
    ledger.seal();
    let mut feed = server.feed("/api/ledger/feed?domain=orders", None);
    let second = ledger.append(&order("a", 2)).event_id.to_string();
    // Not sealed, not in the tree: nothing comes of it yet.
    assert_eq!(feed.next(Duration::from_millis(1500)), None);
    let sealed = Instant::now();
    ledger.seal();
    let (id, event) = feed.next(Duration::from_secs(10)).expect("an event");
    assert!(sealed.elapsed() < Duration::from_secs(9));
    assert_eq!((id.as_str(), event["event_id"].as_str()), ("1", Some(second.as_str())));
    // Another one, from the beginning, and one of the stream as it is appended.
    let mut all = server.feed("/api/ledger/feed?domain=orders&after=-1", None);
    assert_eq!(all.next(Duration::from_secs(10)).expect("an event").1["event_id"], first.as_str());
    let mut resumed = server.feed("/api/ledger/feed?domain=orders", Some("0"));
    assert_eq!(resumed.next(Duration::from_secs(10)).expect("an event").1["event_id"], second.as_str());
    let mut stream = server.feed("/api/ledger/feed?domain=orders&stream=a", None);
    let third = ledger.append(&order("a", 3)).event_id.to_string();
    assert_eq!(stream.next(Duration::from_secs(10)).expect("an event").1["event_id"], third.as_str());
    problem(&server.get("/api/ledger/feed?domain=nothing"), 404, Some("ET011"));
}

#[test]
fn tokens_and_read_only_servers_keep_others_out() {
    let (mut ledger, _) = served(&[]);
    let folder = Cluster::shared().folder().join(format!("{}.tokens", ledger.database.name));
    std::fs::create_dir(&folder).expect("a folder");
    let token = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("UTF-8").to_owned()
    };
    let (read, write) = (token("read", "for-reading-only-1\n"), token("write", "for-writing-too-22\n"));
    let server = Server::start(
        &ledger.database.environment(),
        &["--read-token-file", &read, "--write-token-file", &write],
    );
    let request = signed(&mut ledger, &order("a", 1)).to_string();
    let ask = |method, path, token: Option<&str>, body: &str| {
        let value = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<(&str, &str)> =
            value.iter().map(|value| ("authorization", value.as_str())).collect();
        server.request(method, path, &headers, body)
    };
    for (token, status) in [(None, 401), (Some("wrong"), 401), (Some("for-reading-only-1"), 403)] {
        let answer = ask("POST", "/api/ledger/event", token, &request);
        problem(&answer, status, None);
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401);
    }
    problem(&ask("GET", "/api/ledger/domains", None, ""), 401, None);
    assert_eq!(ask("POST", "/api/ledger/event", Some("for-writing-too-22"), &request).status, 201);
    for token in ["for-reading-only-1", "for-writing-too-22"] {
        assert_eq!(ask("GET", "/api/ledger/domains", Some(token), "").status, 200);
    }
    for open in ["/healthz", "/readyz", "/openapi.json", "/"] {
        assert_eq!(ask("GET", open, None, "").status, 200, "{open}");
    }
    let short = token("short", "x\n");
    let failed = Server::fails(&ledger.database.environment(), &["--read-token-file", &short]);
    assert!(failed.contains("at least 16 characters"), "{failed}");

    // A server for reading: its role cannot append, and it does not try.
    let name = ledger.database.name.clone();
    ledger
        .client
        .batch_execute(&format!(
            "CREATE ROLE {name}_reader LOGIN; SELECT ets.grant_access('{name}_reader', 'reader'), ets.grant_access('{name}_reader', 'auditor')"
        ))
        .expect("a role");
    let reading = Server::start(
        &ledger.database.environment(),
        &["--dsn", &format!("user={name}_reader"), "--read-only"],
    );
    problem(&reading.post("/api/ledger/event", &request), 403, None);
    for path in ["/api/ledger/domains", "/api/ledger/status", "/api/ledger/events?domain=orders"] {
        assert_eq!(reading.get(path).status, 200, "{path}");
    }
    let writing = Server::start(&ledger.database.environment(), &["--dsn", &format!("user={name}_reader")]);
    problem(&writing.post("/api/ledger/event", &request), 403, Some("42501"));
}

#[test]
fn too_much_at_once_is_told_to_come_back() {
    let (mut ledger, server) = served(&["--connections", "1", "--waiting", "1", "--time-out", "4"]);
    // Somebody holds the stream's head: the one connection waits for it.
    let request = signed(&mut ledger, &order("a", 1)).to_string();
    ledger.client.batch_execute("BEGIN; SELECT ets.head('orders', 'a', for_append => true)").expect("locked");
    let answers = std::thread::scope(|scope| {
        let each: Vec<_> =
            (0..8).map(|_| scope.spawn(|| server.post("/api/ledger/event", &request))).collect();
        each.into_iter().map(|one| one.join().expect("an answer")).collect::<Vec<_>>()
    });
    for answer in &answers {
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    ledger.client.batch_execute("ROLLBACK").expect("let go");
    let deadline = Instant::now() + Duration::from_secs(10);
    while server.post("/api/ledger/event", &request).status != 201 {
        assert!(Instant::now() < deadline, "it does not come back");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(ledger.head("a").1, 1);
}

#[test]
fn a_restart_of_the_database_loses_nothing_that_was_acknowledged() {
    let cluster = Cluster::start("http", &["fsync=off"]);
    let name = cluster.create_database();
    let mut client = cluster.connect(&name);
    let (_, alice) = Ledger::set_up(&mut client);
    let server = Server::start(&cluster.environment(&name), &[]);
    let until = Instant::now() + Duration::from_secs(6);
    let acknowledged: Vec<Vec<String>> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (server, alice) = (&server, &alice);
                scope.spawn(move || {
                    let stream = format!("w{writer}");
                    let mut seen = Vec::new();
                    let head = server.get(&format!("/api/ledger/head?domain=orders&stream={stream}"));
                    let mut head = hex(&head.json()["head_hash"]);
                    for amount in 1.. {
                        let payload = order(&stream, amount);
                        let request = json!({
                            "payload": payload, "schema_version": SCHEMA, "previous_hash": ets_core::hash::to_hex(&head),
                            "public_key": ets_core::hash::to_hex(&alice.public_key()),
                            "signature": ets_core::hash::to_hex(&alice.sign(&payload, &head)),
                        })
                        .to_string();
                        // The same until it is answered: an answer that was lost is found again.
                        let answer = loop {
                            let answer = server.post("/api/ledger/event", &request);
                            if answer.status != 503 {
                                break answer;
                            }
                            std::thread::sleep(Duration::from_millis(50));
                        };
                        assert_eq!(answer.status, 201, "{}", answer.text());
                        let event = answer.json();
                        head = hex(&event["current_hash"]);
                        seen.push(event["event_id"].as_str().expect("an id").to_owned());
                        if Instant::now() > until {
                            break;
                        }
                    }
                    seen
                })
            })
            .collect();
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(1500));
            cluster.kill();
            cluster.run();
        }
        writers.into_iter().map(|writer| writer.join().expect("a writer")).collect()
    });
    let mut client = cluster.connect(&name);
    for (writer, seen) in acknowledged.iter().enumerate() {
        assert!(seen.len() > 10, "writer {writer} got {} in", seen.len());
        let sql = "SELECT event_id::text FROM ets.ledger_event WHERE domain = 'orders' AND stream = $1 ORDER BY sequence";
        let rows = client.query(sql, &[&format!("w{writer}")]).expect("rows");
        let stored: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(&stored, seen, "nothing lost, nothing twice");
    }
    client.query("SELECT ets.seal()", &[]).expect("a seal");
    assert_eq!(ets_tests::findings(&mut client), Vec::<String>::new());
}

#[test]
fn figures_health_and_an_orderly_end() {
    let (mut ledger, mut server) = served(&["--log", "json"]);
    ledger.append(&order("a", 1));
    let checkpoint = ledger.seal();
    ets_tests::anchored(&mut ledger.client, checkpoint);
    problem(&server.get("/api/ledger/head?domain=nothing"), 404, Some("ET011"));
    let ready = server.get("/readyz").json();
    assert_eq!(ready["ledger_id"], ledger.id.to_string());
    assert_eq!(server.get("/healthz").status, 200);
    let request = signed(&mut ledger, &order("a", 2)).to_string();
    assert_eq!(server.post("/api/ledger/event", &request).status, 201);
    let metrics = server.get("/metrics").text();
    for line in [
        "ets_http_appended_events_total 1",
        "ets_http_refusals_total{sqlstate=\"ET011\"} 1",
        "ets_up 1",
        "ets_checkpoints 1",
        "ets_unsealed_events 1",
        "ets_open_findings 0",
        "ets_http_requests_total{route=\"/api/ledger/event\",status=\"201\"} 1",
        "# EOF",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    assert!(
        metrics.contains("\nets_seal_age_seconds ") && metrics.contains("\nets_anchor_lag_seconds "),
        "{metrics}"
    );
    assert_eq!(metrics.matches("# EOF").count(), 1);
    // A feed is open, and ends with the server.
    let mut feed = server.feed("/api/ledger/feed?domain=orders", None);
    let began = Instant::now();
    let (code, log) = server.stop();
    assert_eq!((code, began.elapsed() < Duration::from_secs(10)), (Some(0), true), "{log}");
    assert_eq!(feed.next(Duration::from_secs(1)), None);
    assert!(!log.contains("amount") && !log.contains("alice"), "no payload in the log: {log}");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).expect("a JSON object");
        assert!(line["level"].is_string() && line["message"].is_string(), "{line}");
    }
    let nowhere =
        Server::start(&[("PGHOST", "/nonexistent".to_owned()), ("PGUSER", "nobody".to_owned())], &[]);
    assert_eq!(nowhere.get("/healthz").status, 200);
    problem(&nowhere.get("/readyz"), 503, None);
    problem(&nowhere.get("/api/ledger/domains"), 503, None);
    assert!(nowhere.get("/metrics").text().contains("ets_up 0"));
}

/// Whether the first request came through or not when its sender went away: the same again
/// answers with the one event.
#[test]
fn an_answer_that_was_lost_is_asked_for_again_by_event_id() {
    let (mut ledger, server) = served(&[]);
    let address = server.base().trim_start_matches("http://").to_owned();
    for round in 1..=20_i64 {
        let mut request = signed(&mut ledger, &order("a", round));
        let id: String = ledger.one("SELECT ets.uuid_v7()::text", &[]);
        request["event_id"] = id.clone().into();
        let body = request.to_string();
        let mut lost = TcpStream::connect(&address).expect("a connection");
        let head = "POST /api/ledger/event HTTP/1.1\r\nHost: ledger\r\nContent-Type: application/json\r\n";
        write!(lost, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).expect("sent");
        drop(lost);
        let answer = server.post("/api/ledger/event", &body);
        assert_eq!(answer.status, 201, "{}", answer.text());
        let event = answer.json();
        assert_eq!((&event["event_id"], &event["sequence"]), (&json!(id), &json!(round)));
        assert_eq!(server.get(&format!("/api/ledger/event/{id}")).text(), answer.text());
        let stored: i64 = ledger.one("SELECT count(*) FROM ets.ledger_event WHERE domain = 'orders'", &[]);
        assert_eq!(stored, round, "appended once");
    }
    assert_eq!(ledger.findings(), Vec::<String>::new());
}
