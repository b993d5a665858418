//! Copies of a ledger: dumps, base backups, standbys.

use std::fs;
use std::path::PathBuf;

use crate::cluster::{Cluster, give_to_server, server_program};

/// A way to dump a database and restore it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dump {
    /// `pg_dump -Fp`, an SQL script; restored by psql.
    Plain,
    /// `pg_dump -Fc`; restored by `pg_restore -j2`.
    Custom,
    /// `pg_dump -Fd -j2`; restored by `pg_restore -j2`.
    Directory,
}

impl Cluster {
    /// Runs a client program of the server's against this server; what it printed.
    ///
    /// # Panics
    /// If it fails.
    pub fn program(&self, name: &str, arguments: &[&str]) -> String {
        let output = server_program(name)
            .args(["-U", "postgres", "-h"])
            .arg(self.folder())
            .args(arguments)
            .output()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Dumps a database; the path of the file or directory.
    pub fn dump(&self, database: &str, dump: Dump) -> PathBuf {
        let path = self.folder().join(format!("{database}.{dump:?}").to_lowercase());
        let file = path.to_str().expect("a path of ours is UTF-8");
        let format: &[&str] = match dump {
            Dump::Plain => &["-Fp"],
            Dump::Custom => &["-Fc"],
            Dump::Directory => &["-Fd", "-j2"],
        };
        self.program("pg_dump", &[&["-d", database, "-f", file], format].concat());
        path
    }

    /// Restores a dump into a new database of this server, which is made with
    /// `options`, such as another locale.
    pub fn restore(&self, path: &std::path::Path, dump: Dump, database: &str, options: &str) {
        self.connect("postgres")
            .batch_execute(&format!("CREATE DATABASE {database} TEMPLATE template0 {options}"))
            .expect("a database");
        let file = path.to_str().expect("a path of ours is UTF-8");
        match dump {
            Dump::Plain => {
                self.program("psql", &["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", file])
            }
            Dump::Custom | Dump::Directory => {
                self.program("pg_restore", &["-j", "2", "--exit-on-error", "-d", database, file])
            }
        };
    }

    /// Dumps a database and restores it into a new one of the same server, which
    /// is made with `options`; the new one's name.
    pub fn copy_by_dump(&self, database: &str, options: &str) -> String {
        let copy = format!("{database}_copy");
        let path = self.dump(database, Dump::Custom);
        self.restore(&path, Dump::Custom, &copy, options);
        copy
    }

    /// A base backup of this server, not started: its settings may still be
    /// written, and [`Cluster::run`] starts it.
    pub fn base_backup(&self, name: &str, settings: &[&str]) -> Cluster {
        let copy = Cluster::in_new_folder(name, settings);
        let data = copy.data();
        let data = data.to_str().expect("a path of ours is UTF-8");
        self.program(
            "pg_basebackup",
            &["--no-password", "-c", "fast", "-X", "stream", "--no-sync", "-D", data],
        );
        copy
    }

    /// A streaming hot standby of this server, started.
    pub fn standby(&self, name: &str, settings: &[&str]) -> Cluster {
        let copy = self.base_backup(name, settings);
        let source = format!(
            "primary_conninfo = 'host={} port=5432 user=postgres application_name={name}'\n",
            self.folder().display()
        );
        copy.configure(&source);
        copy.touch("standby.signal");
        copy.run();
        copy
    }

    /// Adds lines to its `postgresql.conf`.
    pub fn configure(&self, lines: &str) {
        let path = self.data().join("postgresql.conf");
        let text = fs::read_to_string(&path).expect("a data directory has settings");
        fs::write(&path, format!("{text}\n{lines}")).expect("the settings can be written");
    }

    /// Makes an empty file in its data directory, such as `standby.signal`.
    pub fn touch(&self, name: &str) {
        let path = self.data().join(name);
        fs::write(&path, "").expect("a data directory can be written");
        give_to_server(&path);
    }
}
