//! Connections by TLS: what `sslmode` and the certificates promise is kept, to the
//! database and to clients of the HTTP server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ets_tests::{Cluster, Ledger, give_to_server, program};

use crate::http::client::Server as HttpServer;

/// What the server says to whoever is in: it has no ledger.
const IN: &str = "schema \"ets\" does not exist";

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").current_dir(folder).args(arguments).output().expect("openssl runs");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// `NAME.crt` and `NAME.key`: a root of its own.
fn root(folder: &Path, name: &str) {
    let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
    let subject = format!("/CN={name}");
    openssl(
        folder,
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            &subject,
            "-keyout",
            &key,
            "-out",
            &certificate,
        ],
    );
}

/// `NAME.crt` and `NAME.key` by `root`, for `subject` and perhaps another name.
fn certificate(folder: &Path, root: &str, name: &str, subject: &str, alternative: Option<&str>) {
    let file = |end: &str| format!("{name}.{end}");
    let (key, request, certificate) = (file("key"), file("csr"), file("crt"));
    openssl(
        folder,
        &[
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            subject,
            "-keyout",
            &key,
            "-out",
            &request,
        ],
    );
    let extension =
        alternative.map_or("basicConstraints=CA:FALSE".to_owned(), |name| format!("subjectAltName={name}"));
    fs::write(folder.join("extensions"), extension).expect("a file");
    let (ca, ca_key) = (format!("{root}.crt"), format!("{root}.key"));
    openssl(
        folder,
        &[
            "x509",
            "-req",
            "-days",
            "2",
            "-in",
            &request,
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-CAcreateserial",
            "-extfile",
            "extensions",
            "-out",
            &certificate,
        ],
    );
}

struct Server {
    cluster: Cluster,
    address: String,
    folder: PathBuf,
}

impl Server {
    /// On a loopback address that is this process's alone.
    fn start() -> Self {
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = format!("127.77.{high}.{}", low.clamp(1, 254));
        let cluster = Cluster::bare("tls", &[&format!("listen_addresses={address}")]);
        let folder = cluster.folder().join("certificates");
        fs::create_dir(&folder).expect("a folder");
        Server { cluster, address, folder }
    }

    /// Reloads with these rules for who may connect, and this certificate.
    fn serve(&self, rules: &str, certificate: &str) {
        let data = self.cluster.data();
        for (from, to) in [("crt", "server.crt"), ("key", "server.key")] {
            let to = data.join(to);
            fs::copy(self.folder.join(format!("{certificate}.{from}")), &to).expect("copied");
            give_to_server(&to);
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            fs::set_permissions(&to, mode).expect("permissions");
        }
        fs::write(data.join("pg_hba.conf"), format!("local all all trust\n{rules}\n")).expect("rules");
        let mut client = self.cluster.connect("postgres");
        for sql in ["ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"] {
            client.batch_execute(sql).expect("configured");
        }
    }

    /// Whether `ets head` is let in with these parameters, as it is to be; and what it says.
    fn is(&self, is_in: bool, user: &str, parameters: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let says = self.says(user, parameters);
            if says.contains(IN) == is_in {
                return says;
            }
            // The postmaster reloads its files when it comes to it.
            assert!(Instant::now() < deadline, "{user} {parameters}: {says}");
            sleep(Duration::from_millis(100));
        }
    }

    fn says(&self, user: &str, parameters: &str) -> String {
        let dsn = format!("host={} dbname=postgres user={user} {parameters}", self.address);
        let output = Command::new(program("ets"))
            .env_clear()
            .current_dir(&self.folder)
            .args(["head", "--dsn", &dsn, "orders"])
            .output()
            .expect("ets runs");
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

#[test]
fn tls_is_as_safe_as_was_asked_for() {
    let server = Server::start();
    let folder = &server.folder;
    for name in ["root", "stranger"] {
        root(folder, name);
    }
    certificate(folder, "root", "right", "/CN=database", Some(&format!("IP:{}", server.address)));
    certificate(folder, "root", "other", "/CN=database", Some("DNS:elsewhere.example"));
    certificate(folder, "stranger", "false", "/CN=database", Some(&format!("IP:{}", server.address)));
    certificate(folder, "root", "client", "/CN=certified", None);
    let plain = "host all postgres 127.0.0.0/8 trust";
    fs::write(server.cluster.data().join("pg_hba.conf"), format!("local all all trust\n{plain}\n"))
        .expect("rules");
    server.cluster.connect("postgres").batch_execute("SELECT pg_reload_conf()").expect("reloaded");

    // A server without TLS.
    server.is(true, "postgres", "");
    assert!(server.is(false, "postgres", "sslmode=require").contains("cannot connect"));

    let rules = "hostssl all postgres 127.0.0.0/8 trust\nhostssl all certified 127.0.0.0/8 cert";
    let full = "sslmode=verify-full sslrootcert=root.crt";
    let ca = "sslmode=verify-ca sslrootcert=root.crt";
    for (served, parameters, is_in) in [
        ("right", "", true),
        ("right", "sslmode=disable", false),
        ("right", "sslmode=prefer", true),
        ("right", "sslmode=require", true),
        ("right", ca, true),
        ("right", full, true),
        ("right", "sslmode=verify-full", false),
        ("right", "sslmode=verify-full sslrootcert=stranger.crt", false),
        ("right", "sslmode=verify-full sslrootcert=none.crt", false),
        ("right", "sslmode=verify-full sslrootcert=root.key", false),
        ("right", "sslmode=always", false),
        ("other", "sslmode=require", true),
        // As libpq: with a root certificate, `require` verifies it.
        ("other", "sslmode=require sslrootcert=stranger.crt", false),
        ("other", ca, true),
        ("other", full, false),
        ("false", "sslmode=require", true),
        ("false", "sslmode=require sslrootcert=root.crt", false),
        ("false", ca, false),
        ("false", full, false),
    ] {
        server.serve(rules, served);
        server.is(is_in, "postgres", parameters);
    }

    // A certificate of the client's instead of a password.
    let data = server.cluster.data();
    fs::copy(folder.join("root.crt"), data.join("root.crt")).expect("copied");
    give_to_server(&data.join("root.crt"));
    let sql = "ALTER SYSTEM SET ssl_ca_file = 'root.crt'";
    server.cluster.connect("postgres").batch_execute(sql).expect("configured");
    server.serve(rules, "right");
    let with = |is_in, more: &str| server.is(is_in, "certified", &format!("{full} {more}"));
    server.cluster.connect("postgres").batch_execute("CREATE ROLE certified LOGIN").expect("a role");
    assert!(with(false, "").contains("cannot connect"));
    assert!(with(false, "sslcert=client.crt").contains("go together"));
    assert!(with(false, "sslcert=client.crt sslkey=other.key").contains("of no use"));
    with(true, "sslcert=client.crt sslkey=client.key");
}

#[test]
fn the_http_server_speaks_tls_with_its_certificate() {
    let ledger = Ledger::new();
    let folder = Cluster::shared().folder().join(format!("{}.tls", ledger.database.name));
    fs::create_dir(&folder).expect("a folder");
    let file = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
    for name in ["root", "stranger"] {
        root(&folder, name);
    }
    certificate(&folder, "root", "server", "/CN=x", Some("IP:127.0.0.1"));
    let (certificate, key) = (file("server.crt"), file("server.key"));
    let tls = ["--tls-certificate", &certificate, "--tls-key", &key];
    let server = HttpServer::start(&ledger.database.environment(), &tls);
    assert!(server.base().starts_with("https://"));
    // Somebody who says nothing holds up nobody.
    let address = server.base().trim_start_matches("https://").to_owned();
    let _silent = std::net::TcpStream::connect(address).expect("it listens");
    let asked = |trusted: &str| {
        let script = "import ssl, sys, urllib.request as u\n\
             print(u.urlopen(sys.argv[1], timeout=20, context=ssl.create_default_context(cafile=sys.argv[2])).read().decode())";
        Command::new("python3")
            .args(["-c", script, &format!("{}/readyz", server.base()), trusted])
            .output()
            .expect("python3 runs")
    };
    let answer = asked(&file("root.crt"));
    assert!(String::from_utf8_lossy(&answer.stdout).contains(&ledger.id.to_string()), "{answer:?}");
    assert!(!asked(&file("stranger.crt")).status.success(), "nobody else vouches for it");
    let wrong = ["--tls-certificate", &key, "--tls-key", &key];
    let failed = HttpServer::fails(&ledger.database.environment(), &wrong);
    assert!(failed.contains("cannot use"), "{failed}");
}
