//! Litewitness, a witness of somebody else's (filippo.io/torchwood), with the SSH agent
//! that signs for it.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, checkout};
use crate::test_data::test_data;

/// Registers logs in a witness's database: arguments are its file and the verifier keys
/// of the logs. The project's own tool for it, witnessctl, has more dependencies.
const REGISTER: &str = "
import sqlite3, sys
with sqlite3.connect(sys.argv[1], timeout=10) as db:
    for key in sys.argv[2:]:
        origin = key.split('+')[0]
        db.execute('INSERT INTO log VALUES (?, 0, ?)', (origin, '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='))
        db.execute('INSERT INTO key VALUES (?, ?)', (origin, key))
";

/// A witness on a port of its own. It and its agent end when this is dropped.
pub struct Litewitness {
    folder: PathBuf,
    name: String,
    port: u16,
    fingerprint: String,
    agent: Child,
    server: Option<Child>,
    /// Its verifier key, as it says it.
    pub key: String,
}

impl Litewitness {
    /// A witness with a new key, which knows no log yet.
    pub fn start(name: &str) -> Self {
        let folder = Cluster::shared().folder().join(format!("witness-{name}"));
        fs::create_dir(&folder).expect("a new folder");
        let (key, socket) = (folder.join("key"), folder.join("agent"));
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key));
        let printed = run(Command::new("ssh-keygen").arg("-lf").arg(&key));
        let fingerprint = printed.split(' ').nth(1).expect("SHA256:…").to_owned();
        let agent = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("ssh-agent: {error}; scripts/setup installs it (openssh-client)"));
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let mut witness = Litewitness {
            folder,
            name: format!("{name}.witness.test"),
            port: port.expect("a free port").port(),
            fingerprint,
            agent,
            server: None,
            key: String::new(),
        };
        wait("ssh-agent", || UnixStream::connect(&socket).is_ok());
        run(Command::new("ssh-add").arg("-q").arg(&key).env("SSH_AUTH_SOCK", &socket));
        witness.run();
        let log = fs::read_to_string(witness.folder.join("log")).expect("a log");
        let said = log.split("vkey=").nth(1).and_then(|rest| rest.split_whitespace().next());
        witness.key = said.expect("it says its key").to_owned();
        witness
    }

    /// Starts it again after [`Litewitness::stop`], with all that it knew.
    pub fn run(&mut self) {
        let log = File::options().create(true).append(true).open(self.folder.join("log")).expect("a log");
        let program = test_data(&["litewitness"]);
        let server = Command::new(program)
            .args(["-name", &self.name, "-key", &self.fingerprint, "-listen", &self.address()])
            .arg("-db")
            .arg(self.folder.join("db"))
            .arg("-ssh-agent")
            .arg(self.folder.join("agent"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.server = Some(server.expect("litewitness starts"));
        wait("litewitness", || TcpStream::connect(self.address()).is_ok());
    }

    /// Stops it; its database and its key stay.
    pub fn stop(&mut self) {
        if let Some(server) = &mut self.server {
            end(server);
        }
        self.server = None;
    }

    /// Lets it know logs by their verifier keys, with trees that are empty.
    pub fn register(&self, verifier_keys: &[String]) {
        run(Command::new("python3").args(["-c", REGISTER]).arg(self.folder.join("db")).args(verifier_keys));
    }

    /// Where it is asked.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Litewitness {
    fn drop(&mut self) {
        self.stop();
        end(&mut self.agent);
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn run(command: &mut Command) -> String {
    let output = command.current_dir(checkout()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}; scripts/setup installs it"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn wait(what: &str, is_there: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_there() {
        assert!(Instant::now() < deadline, "{what} does not start");
        sleep(Duration::from_millis(20));
    }
}
