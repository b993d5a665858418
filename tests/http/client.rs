//! Just enough of HTTP/1.1 to ask a server what it answers, byte by byte.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use ets_tests::program;
use serde_json::Value;

/// A running server; it ends with the test.
pub struct Server {
    child: Child,
    scheme: String,
    address: String,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

/// What was answered.
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

fn command(environment: &[(&str, String)], arguments: &[&str]) -> Command {
    let mut command = Command::new(program("ets-http"));
    command.env_clear().envs(environment.iter().cloned()).args(["--listen", "127.0.0.1:0"]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn collect(mut from: ChildStderr, into: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let into = into.clone();
    std::thread::spawn(move || {
        let mut part = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut part) {
            into.lock().expect("a log").push_str(&String::from_utf8_lossy(&part[..length]));
        }
    })
}

impl Server {
    pub fn start(environment: &[(&str, String)], arguments: &[&str]) -> Self {
        let mut child = command(environment, arguments).spawn().expect("ets-http runs");
        let log = Arc::default();
        let reader = collect(child.stderr.take().expect("a pipe"), &log);
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        out.read_line(&mut line).expect("its address");
        let (scheme, address) = line.trim().split_once("://").unwrap_or_default();
        let scheme = scheme.to_owned();
        let address = Some(address.to_owned()).filter(|address| !address.is_empty());
        let Some(address) = address else {
            let _ = child.wait();
            let _ = reader.join();
            panic!("no server: {}", log.lock().expect("a log"))
        };
        Server { child, scheme, address, log, reader: Some(reader) }
    }

    /// What a server says that does not start.
    pub fn fails(environment: &[(&str, String)], arguments: &[&str]) -> String {
        let output = command(environment, arguments).output().expect("ets-http runs");
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    pub fn base(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], "")
    }

    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.request("POST", path, &[("content-type", "application/json")], body)
    }

    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = self.connect();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n", body.len());
        // A server that has heard enough answers before it has read all.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
        let mut reader = BufReader::new(stream);
        let (status, headers) = read_head(&mut reader);
        let mut body = Vec::new();
        let is_chunked =
            headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
        if is_chunked {
            while let Some(chunk) = read_chunk(&mut reader) {
                body.extend(chunk);
            }
        } else {
            let _ = reader.read_to_end(&mut body);
        }
        Answer { status, headers, body }
    }

    /// Server-sent events.
    pub fn feed(&self, path: &str, last: Option<&str>) -> Feed {
        let mut stream = self.connect();
        let last = last.map(|last| format!("last-event-id: {last}\r\n")).unwrap_or_default();
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\naccept: text/event-stream\r\n{last}\r\n",
            self.address
        );
        stream.write_all(head.as_bytes()).expect("sent");
        let mut reader = BufReader::new(stream);
        let (status, headers) = read_head(&mut reader);
        assert_eq!(status, 200, "{headers:?}");
        // The first line says that it is there.
        let begun = read_chunk(&mut reader).expect("a beginning");
        let text = String::from_utf8(begun).expect("UTF-8");
        assert!(text.starts_with(": here since "), "{text}");
        let waiting = text.split_once("\n\n").expect("a whole comment").1.to_owned();
        Feed { reader, waiting }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time limit");
        stream
    }

    /// Asks it to end; its exit code and what it logged.
    pub fn stop(&mut self) -> (Option<i32>, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
        let status = self.child.wait().expect("it ends");
        self.reader.take().map(JoinHandle::join);
        (status.code(), self.log.lock().expect("a log").clone())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_head(reader: &mut BufReader<TcpStream>) -> (u16, Vec<(String, String)>) {
    let mut line = String::new();
    reader.read_line(&mut line).expect("a status line");
    let status = line.split(' ').nth(1).and_then(|text| text.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status: {line:?}"));
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line).expect("a header");
        let Some((name, value)) = line.trim_end().split_once(':') else { return (status, headers) };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// None at the end, or when nothing came in time.
fn read_chunk(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let length = usize::from_str_radix(line.trim(), 16).ok().filter(|length| *length > 0)?;
    let mut chunk = vec![0; length + 2];
    reader.read_exact(&mut chunk).expect("a whole chunk");
    chunk.truncate(length);
    Some(chunk)
}

/// A live feed.
pub struct Feed {
    reader: BufReader<TcpStream>,
    waiting: String,
}

impl Feed {
    /// The next event: its id and its document; none if none comes in that time.
    pub fn next(&mut self, within: Duration) -> Option<(String, Value)> {
        let end = std::time::Instant::now() + within;
        loop {
            if let Some((message, rest)) = self.waiting.split_once("\n\n") {
                let message = message.to_owned();
                self.waiting = rest.to_owned();
                let field =
                    |name: &str| message.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                if let (Some(id), Some(data)) = (field("id: "), field("data: ")) {
                    return Some((id, serde_json::from_str(&data).expect("an event document")));
                }
                continue;
            }
            let left = end.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return None;
            }
            self.reader.get_ref().set_read_timeout(Some(left)).expect("a time limit");
            let chunk = read_chunk(&mut self.reader)?;
            self.waiting.push_str(&String::from_utf8(chunk).expect("UTF-8"));
        }
    }
}
