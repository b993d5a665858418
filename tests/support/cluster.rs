//! Throw-away servers on a private socket.
//!
//! They run from the private installation of `scripts/private-pg`, which also
//! stops whatever a killed test leaves behind: the shared server of a test run
//! lives until then.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread::sleep;
use std::time::{Duration, Instant};

use postgres::{Client, Config, NoTls};

/// A database to which every test database is alike: empty, with the extension.
const TEMPLATE: &str = "pg_ets_template";

/// The path of the checkout.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the checkout").to_owned()
}

/// The path of a program of this workspace, as cargo built it beside the tests.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    let folder = test.parent().and_then(Path::parent).expect("tests run in target/PROFILE/deps");
    let program = folder.join(name);
    assert!(program.exists(), "{} is not built; `make test` builds it", program.display());
    program
}

/// A server with its own data directory. It is stopped, and its data removed,
/// when this is dropped, also by a panic.
pub struct Cluster {
    folder: PathBuf,
    settings: Vec<String>,
    postmaster: Mutex<Option<Child>>,
}

impl Cluster {
    /// The major version of every server here.
    pub fn major() -> u32 {
        static MAJOR: OnceLock<u32> = OnceLock::new();
        *MAJOR.get_or_init(|| {
            let output =
                Command::new(installation("PG_CONFIG")).arg("--version").output().expect("pg_config runs");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let number = text.strip_prefix("PostgreSQL ").and_then(|text| text.split(['.', ' ']).next());
            number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("pg_config says {text}"))
        })
    }

    /// The setting that forces parallel plans, which 16 gave another name.
    pub fn parallel_setting() -> &'static str {
        if Cluster::major() < 16 { "force_parallel_mode" } else { "debug_parallel_query" }
    }

    /// The server that most tests share, each with a database of its own. It
    /// does not wait for the disk: what it acknowledges need not survive.
    pub fn shared() -> &'static Cluster {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| {
            Cluster::start("shared", &["fsync=off", "max_connections=200", "max_prepared_transactions=20"])
        })
    }

    /// A server of this test's own, with `settings` as in postgresql.conf.
    pub fn start(name: &str, settings: &[&str]) -> Cluster {
        let cluster = Cluster::bare(name, settings);
        let mut client = cluster.connect("postgres");
        client.batch_execute(&format!("CREATE DATABASE {TEMPLATE}")).expect("a database can be made");
        cluster
            .connect(TEMPLATE)
            .batch_execute("CREATE EXTENSION pg_ets")
            .expect("the extension can be created");
        cluster
    }

    /// As [`Cluster::start`], without anything of the extension in it.
    pub fn bare(name: &str, settings: &[&str]) -> Cluster {
        let cluster = Cluster::in_new_folder(name, settings);
        // What somebody with access to the disk changes has the right checksum.
        let checksums: &[&str] = if Cluster::major() < 18 { &[] } else { &["--no-data-checksums"] };
        let initdb = server_program("initdb")
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .args(checksums)
            .arg("--pgdata")
            .arg(cluster.data())
            .output()
            .expect("initdb runs");
        assert!(initdb.status.success(), "initdb: {}", String::from_utf8_lossy(&initdb.stderr));
        cluster.run();
        cluster
    }

    /// A folder of its own for a server whose data somebody else puts there.
    pub(crate) fn in_new_folder(name: &str, settings: &[&str]) -> Cluster {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = installation("ETS_PG_FOLDER").join(format!("{name}-{}-{number}", std::process::id()));
        fs::create_dir(&folder).expect("a new folder for the cluster");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("permissions are ours to set");
        give_to_server(&folder);
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        Cluster { folder, settings, postmaster: Mutex::new(None) }
    }

    /// A new database with the extension and no ledger.
    pub fn database(&'static self) -> Database {
        Database { cluster: self, name: self.create_database() }
    }

    /// As [`Cluster::database`], by name only.
    pub fn create_database(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.connect("postgres")
            .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}"))
            .expect("a database can be made");
        name
    }

    /// A connection as superuser.
    pub fn connect(&self, database: &str) -> Client {
        self.connect_as(database, "postgres")
    }

    /// A connection as `role`.
    pub fn connect_as(&self, database: &str, role: &str) -> Client {
        self.config(database, role).connect(NoTls).expect("the server accepts connections")
    }

    /// Starts the server, which must not run, and waits until it answers.
    pub fn run(&self) {
        self.run_with(&[]);
    }

    /// As [`Cluster::run`], with these variables in the server's environment.
    pub fn run_with(&self, environment: &[(&str, &str)]) {
        let log = File::options().create(true).append(true).open(self.folder.join("server.log"));
        let log = log.expect("the log can be written");
        let mut command = server_program("postgres");
        command.arg("-D").arg(self.data());
        command.arg("-c").arg(format!("unix_socket_directories={}", self.folder.display()));
        // A test that waits for ever shall fail instead.
        for setting in ["listen_addresses=", "statement_timeout=120s", "log_statement=none"] {
            command.arg("-c").arg(setting);
        }
        for setting in &self.settings {
            command.arg("-c").arg(setting);
        }
        let child = command
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle can be copied"))
            .stderr(log)
            .spawn()
            .expect("postgres starts");
        *self.lock() = Some(child);
        self.wait();
    }

    /// Waits until the server takes connections: after a crash of one process it recovers by itself.
    pub fn wait(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while let Err(error) = self.config("postgres", "postgres").connect(NoTls) {
            assert!(Instant::now() < deadline, "no server after a minute: {error}\n{}", self.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// Kills every process of the server with SIGKILL, as a power cut would end
    /// it, and waits until they are gone.
    pub fn kill(&self) {
        let mut child = self.lock().take().expect("the server runs");
        let mut processes = children_of(child.id());
        processes.insert(0, child.id());
        signal("-KILL", &processes);
        child.wait().expect("the postmaster is our child");
        let deadline = Instant::now() + Duration::from_secs(30);
        while processes.iter().any(|process| is_alive(*process)) {
            assert!(Instant::now() < deadline, "a server process survives SIGKILL");
            sleep(Duration::from_millis(10));
        }
    }

    /// The variables by which programs built on libpq, or like it, find `database`.
    pub fn environment(&self, database: &str) -> [(&'static str, String); 5] {
        let socket = self.folder.display().to_string();
        [
            ("PGHOST", socket),
            ("PGPORT", "5432".to_owned()),
            ("PGUSER", "postgres".to_owned()),
            ("PGDATABASE", database.to_owned()),
            ("PGSSLMODE", "disable".to_owned()),
        ]
    }

    /// The folder of its data and socket, which the server's user can enter.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the server wrote to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("server.log")).unwrap_or_default()
    }

    /// Runs `sql` with psql, stopping at the first error; gives what it printed.
    ///
    /// # Errors
    /// What psql wrote to its standard error.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let file = self.folder.join(format!("{database}.sql"));
        fs::write(&file, sql).expect("the script can be written");
        let output = Command::new(bin().join("psql"))
            .args(["-X", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-f"])
            .arg(&file)
            .arg("-h")
            .arg(&self.folder)
            .output()
            .expect("psql runs");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn config(&self, database: &str, role: &str) -> Config {
        let mut config = Config::new();
        config.host_path(&self.folder).port(5432).user(role).dbname(database);
        config
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.postmaster.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut child) = self.lock().take() {
            // Immediate shutdown: the data is thrown away anyway.
            signal("-QUIT", &[child.id()]);
            let _ = child.wait();
        }
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// A database on the shared server.
pub struct Database {
    cluster: &'static Cluster,
    /// Its name.
    pub name: String,
}

impl Database {
    /// A connection as superuser.
    pub fn connect(&self) -> Client {
        self.cluster.connect(&self.name)
    }

    /// A connection as `role`.
    pub fn connect_as(&self, role: &str) -> Client {
        self.cluster.connect_as(&self.name, role)
    }

    /// See [`Cluster::environment`].
    pub fn environment(&self) -> [(&'static str, String); 5] {
        self.cluster.environment(&self.name)
    }

    /// See [`Cluster::psql`].
    ///
    /// # Errors
    /// What psql wrote to its standard error.
    pub fn psql(&self, sql: &str) -> Result<String, String> {
        self.cluster.psql(&self.name, sql)
    }
}

fn installation(variable: &str) -> PathBuf {
    match std::env::var_os(variable) {
        Some(value) => PathBuf::from(value),
        None => panic!("these tests need a private server: scripts/private-pg cargo test -p ets-tests"),
    }
}

/// Where psql and the server's programs are.
pub fn bin() -> &'static Path {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    BIN.get_or_init(|| {
        let output =
            Command::new(installation("PG_CONFIG")).arg("--bindir").output().expect("pg_config runs");
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
    })
}

/// Lets the server's user own `path`.
pub fn give_to_server(path: &Path) {
    if let Some((user, group)) = server_user() {
        chown(path, Some(user), Some(group)).expect("root may give files away");
    }
}

/// A program of the server, run by the user that may run one.
pub(crate) fn server_program(name: &str) -> Command {
    let mut command = Command::new(bin().join(name));
    if let Some((user, group)) = server_user() {
        command.uid(user).gid(group);
    }
    // With RUST_BACKTRACE, each error's DETAIL would carry a backtrace.
    command.current_dir("/").env_remove("RUST_BACKTRACE").env("LC_ALL", "C");
    command
}

/// User and group `postgres` if we are root: a server does not run as root.
fn server_user() -> Option<(u32, u32)> {
    let number = |arguments: &[&str]| -> u32 {
        let output = Command::new("id").args(arguments).output().expect("id runs");
        String::from_utf8_lossy(&output.stdout).trim().parse().expect("a user id is a number")
    };
    static USER: OnceLock<Option<(u32, u32)>> = OnceLock::new();
    *USER.get_or_init(|| {
        (number(&["-u"]) == 0).then(|| (number(&["-u", "postgres"]), number(&["-g", "postgres"])))
    })
}

fn signal(signal: &str, processes: &[u32]) {
    let numbers = processes.iter().map(u32::to_string);
    let _ = Command::new("kill").arg(signal).args(numbers).stderr(Stdio::null()).status();
}

fn children_of(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("/proc is there").flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers.filter(|number| state_and_parent(*number).is_some_and(|(_, its)| its == parent)).collect()
}

/// A zombie is not alive: nobody may be there to reap it.
fn is_alive(process: u32) -> bool {
    state_and_parent(process).is_some_and(|(state, _)| state != 'Z')
}

fn state_and_parent(process: u32) -> Option<(char, u32)> {
    let mut text = String::new();
    File::open(format!("/proc/{process}/stat")).ok()?.read_to_string(&mut text).ok()?;
    // The name, in parentheses, may contain anything.
    let (_, fields) = text.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
