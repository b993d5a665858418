//! A timestamp authority of the tests' own: certificates and tokens by `openssl`, and
//! an HTTP listener that answers as a test wants.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

const CONFIGURATION: &str = "
[req]
distinguished_name = dn
[dn]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[short]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign
[no_ca]
basicConstraints = critical, CA:FALSE
[tsa]
extendedKeyUsage = critical, timeStamping
keyUsage = critical, digitalSignature
[not_critical]
extendedKeyUsage = timeStamping
[server]
extendedKeyUsage = critical, serverAuth
[more]
extendedKeyUsage = critical, timeStamping, serverAuth
[no_usage]
keyUsage = critical, digitalSignature
[strange]
extendedKeyUsage = critical, timeStamping
1.2.3.4 = critical, DER:0500
[ts]
serial = serial
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1, millisecs:500
tsa_name = yes
ess_cert_id_alg = sha256
signer_digest = sha256
[ts_384]
serial = serial
default_policy = 1.2.3.4.1
digests = sha256
ess_cert_id_alg = sha384
signer_digest = sha384
[ts_old]
serial = serial
default_policy = 1.2.3.4.1
digests = sha256
ess_cert_id_alg = sha1
signer_digest = sha512
[ts_refusing]
serial = serial
default_policy = 1.2.3.4.1
digests = sha512
signer_digest = sha256
";

/// The three kinds of keys.
pub const RSA: &[&str] = &["rsa:2048"];
/// NIST P-256.
pub const P_256: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
/// NIST P-384.
pub const P_384: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"];

/// A folder with keys and certificates, removed when this is dropped.
pub struct TimestampAuthority {
    folder: PathBuf,
    files: AtomicU32,
}

impl Drop for TimestampAuthority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Default for TimestampAuthority {
    fn default() -> Self {
        Self::new()
    }
}

impl TimestampAuthority {
    /// With a root `ca`.
    pub fn new() -> Self {
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("ets_tsa.{}.{number}", std::process::id()));
        fs::create_dir(&folder).expect("a new folder");
        fs::write(folder.join("openssl.cnf"), CONFIGURATION).expect("a file");
        fs::write(folder.join("serial"), "01\n").expect("a file");
        let authority = TimestampAuthority { folder, files: AtomicU32::new(2) };
        authority.root("ca");
        authority
    }

    /// A root certificate, `NAME.pem`.
    pub fn root(&self, name: &str) {
        let (subject, key, pem) = (format!("/CN={name}"), format!("{name}.key"), format!("{name}.pem"));
        let arguments =
            ["req", "-x509", "-config", "openssl.cnf", "-extensions", "ca", "-nodes", "-days", "30"];
        let rest = ["-newkey", "rsa:2048", "-subj", &subject, "-keyout", &key, "-out", &pem];
        self.openssl(&[&arguments[..], &rest].concat());
    }

    /// A certificate `NAME.pem` for a new key, with a section of extensions, valid for
    /// so many days: in the past, if they are below 0.
    pub fn issue(&self, name: &str, key_kind: &[&str], issuer: &str, extensions: &str, days: i32) {
        let (subject, key, request) = (format!("/CN={name}"), format!("{name}.key"), format!("{name}.csr"));
        let arguments = ["req", "-new", "-config", "openssl.cnf", "-nodes", "-subj", &subject, "-keyout"];
        self.openssl(&[&arguments[..], &[&key, "-out", &request, "-newkey"], key_kind].concat());
        let (ca, ca_key, pem) = (format!("{issuer}.pem"), format!("{issuer}.key"), format!("{name}.pem"));
        let (number, days) = (self.files.fetch_add(1, Ordering::Relaxed).to_string(), days.to_string());
        let arguments = ["x509", "-req", "-in", &request, "-CA", &ca, "-CAkey", &ca_key, "-set_serial"];
        let rest =
            [&number, "-days", &days, "-extfile", "openssl.cnf", "-extensions", extensions, "-out", &pem];
        self.openssl(&[&arguments[..], &rest].concat());
    }

    /// The path of a file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The answer (`TimeStampResp`) to a query, in a section of the configuration, with the signer's
    /// certificate and those of `chain`.
    pub fn reply(&self, section: &str, signer: &str, chain: &[&str], query: &[u8]) -> Vec<u8> {
        let (query, answer) = (self.file(query), self.file(&[]));
        let (pem, key) = (format!("{signer}.pem"), format!("{signer}.key"));
        let chain: Vec<_> =
            chain.iter().map(|name| fs::read(self.path(&format!("{name}.pem"))).expect("a file")).collect();
        let chain_file = self.file(&chain.concat());
        let arguments = ["ts", "-reply", "-config", "openssl.cnf", "-section", section, "-queryfile", &query];
        let rest = ["-signer", &pem, "-inkey", &key, "-out", &answer];
        let chained = ["-chain", chain_file.as_str()];
        let chained = if chain.is_empty() { &[] } else { &chained[..] };
        self.openssl(&[&arguments[..], &rest, chained].concat());
        fs::read(self.path(&answer)).expect("an answer")
    }

    /// A token around any `TSTInfo`, signed with any certificate: `openssl ts` itself refuses those that are
    /// not for timestamps.
    pub fn sign(&self, signer: &str, info: &[u8]) -> Vec<u8> {
        let (input, output) = (self.file(info), self.file(&[]));
        let (pem, key) = (format!("{signer}.pem"), format!("{signer}.key"));
        let arguments = ["cms", "-sign", "-binary", "-nodetach", "-nosmimecap", "-cades", "-outform", "DER"];
        let rest = ["-econtent_type", "1.2.840.113549.1.9.16.1.4", "-in", &input, "-out", &output];
        self.openssl(&[&arguments[..], &rest, &["-signer", &pem, "-inkey", &key]].concat());
        fs::read(self.path(&output)).expect("a token")
    }

    /// Whether `openssl ts -verify` accepts a bare token for the data.
    pub fn openssl_accepts(&self, data: &[u8], token: &[u8], root: &str) -> bool {
        let (data, token, root) = (self.file(data), self.file(token), format!("{root}.pem"));
        let arguments = ["ts", "-verify", "-data", &data, "-token_in", "-in", &token, "-CAfile", &root];
        self.run(&arguments).status.success()
    }

    /// A new file; its name.
    fn file(&self, content: &[u8]) -> String {
        let name = format!("file.{}", self.files.fetch_add(1, Ordering::Relaxed));
        fs::write(self.path(&name), content).expect("a file");
        name
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new("openssl").args(arguments).current_dir(&self.folder).output().expect("openssl runs")
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments:?}: {said}");
    }
}

/// The answer that the authority's `signer` gives, or nothing if its test has ended.
pub fn reply_of(authority: &Weak<TimestampAuthority>, section: &str, query: &[u8]) -> Vec<u8> {
    authority.upgrade().map(|authority| authority.reply(section, "signer", &[], query)).unwrap_or_default()
}

/// A server that gives each request's body to `answer`, which writes a whole HTTP
/// answer or whatever it likes, each in a thread of its own. Its URL; it serves until
/// the test's process ends, so `answer` should hold no authority but a [`Weak`] of one.
pub fn serve(
    answer: impl Fn(&[u8], &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
) -> String {
    let answer = Arc::new(answer);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/tsa", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = Arc::clone(&answer);
            // Whoever goes away before the end is one of the things that are tested.
            std::thread::spawn(move || {
                stream.and_then(|mut stream| {
                    let body = body(&stream)?;
                    answer(&body, &mut stream)
                })
            });
        }
    });
    url
}

/// An HTTP answer of a timestamp authority.
pub fn send(stream: &mut TcpStream, status: &str, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/timestamp-reply\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}

fn body(stream: &TcpStream) -> std::io::Result<Vec<u8>> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(body)
}
