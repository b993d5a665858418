//! What describes the packages agrees with what is in them. `scripts/test-packages`
//! installs them.

use std::fs;
use std::process::Command;

use ets_tests::{Cluster, checkout, test_data};
use serde_json::Value;

fn read(path: &str) -> String {
    fs::read_to_string(checkout().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The value of `key = "…"` in the first section of Cargo.toml.
fn of_cargo(key: &str) -> String {
    let text = read("Cargo.toml");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{key} = \"")));
    line.and_then(|line| line.strip_suffix('"')).unwrap_or_else(|| panic!("no {key}")).to_owned()
}

/// PGXN's specification 1.0.0: the required members, and ours are true.
#[test]
fn the_distribution_is_described_as_it_is() {
    let meta: Value = serde_json::from_str(&read("META.json")).expect("META.json is JSON");
    let text = |pointer: &str| {
        meta.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer}"))
    };
    assert_eq!(text("/name"), of_cargo("name"));
    assert_eq!(text("/version"), of_cargo("version"));
    assert_eq!(text("/abstract"), of_cargo("description"));
    assert_eq!(text("/meta-spec/version"), "1.0.0");
    assert!(text("/meta-spec/url").starts_with("https://"));
    assert!(meta["maintainer"].as_array().is_some_and(|who| !who.is_empty()));
    assert!(
        meta["license"].get("Apache-2.0").is_some()
            && read("Cargo.toml").contains("license = \"Apache-2.0\"")
    );
    let control = read("pg_ets.control");
    assert!(control.contains("default_version = '@CARGO_VERSION@'"), "{control}");
    let provided = meta["provides"].as_object().expect("provides");
    assert_eq!(provided.keys().collect::<Vec<_>>(), ["pg_ets"]);
    assert_eq!(text("/provides/pg_ets/version"), of_cargo("version"));
    for file in ["/provides/pg_ets/file", "/provides/pg_ets/docfile"] {
        assert!(checkout().join(text(file)).is_file(), "{file}");
    }
    // Versions are semantic ones, of three numbers.
    for version in ["/version", "/prereqs/runtime/requires/PostgreSQL", "/prereqs/test/recommends/pg_cron"] {
        assert_eq!(
            text(version).split('.').filter(|part| part.parse::<u32>().is_ok()).count(),
            3,
            "{version}"
        );
    }
    assert!(read("Cargo.toml").contains("\npg15 = "), "PostgreSQL 15 is the oldest");
    for tag in meta["tags"].as_array().expect("tags") {
        assert!(tag.as_str().is_some_and(|tag| !tag.is_empty() && !tag.contains(['/', '\\'])), "{tag}");
    }
}

/// Every crate has the extension's version: the packages have one.
#[test]
fn all_programs_have_one_version() {
    for path in ["crates/ets", "crates/ets-core", "crates/ets-connect", "crates/ets-http", "packaging/pages"]
    {
        let text = read(&format!("{path}/Cargo.toml"));
        assert!(text.contains(&format!("\nversion = \"{}\"\n", of_cargo("version"))), "{path}");
    }
}

#[test]
fn the_units_are_those_of_the_documentation_and_stop_with_the_package() {
    let folder = fs::read_dir(checkout().join("packaging/systemd")).expect("units");
    let units: Vec<String> =
        folder.map(|unit| unit.expect("a unit").file_name().into_string().expect("a name")).collect();
    let (documentation, prerm) = (read("docs/packages.md"), read("packaging/debian/tools.prerm"));
    assert!(units.len() >= 7, "{units:?}");
    for unit in &units {
        assert!(documentation.contains(unit.as_str()), "docs/packages.md does not name {unit}");
        assert!(unit.contains('@') || prerm.contains(unit.as_str()), "{unit} goes on when the package goes");
        for line in read(&format!("packaging/systemd/{unit}")).lines() {
            if let Some(file) = line.strip_prefix("EnvironmentFile=/etc/pg-ets/") {
                assert!(checkout().join("packaging/etc").join(file).is_file(), "{unit}: {file}");
            }
        }
    }
}

/// The jobs of the timers are those of `ets.schedule`.
#[test]
fn the_timers_do_what_pg_cron_does() {
    let (job, schedule) = (read("packaging/job"), read("sql/functions/schedule.sql"));
    for (name, by_cron, by_timer, when) in [
        ("seal", "SELECT ets.seal()", "ets.seal()", "minutely"),
        ("rebuild", "CALL ets.run_rebuild()", "CALL ets.run_rebuild()", "*:0/15"),
        ("verify", "CALL ets.run_verification()", "CALL ets.run_verification()", "*-*-* 02:00"),
        ("replay", "SELECT ets.verify_replay()", "ets.verify_replay()", "*-*-* 03:00"),
    ] {
        assert!(schedule.contains(&format!("('{name}', {name}, '{by_cron}')")), "{name}");
        let line = job.lines().find(|line| line.trim_start().starts_with(&format!("{name})"))).expect(name);
        assert!(line.contains(by_timer), "{line}");
        assert!(
            read(&format!("packaging/systemd/ets-{name}.timer")).contains(&format!("OnCalendar={when}\n"))
        );
    }
}

/// No engine runs them here; linters read them, and each file that they name is there.
#[test]
fn the_container_files_are_sound() {
    let packages = test_data(&["python", "tests/docker"]);
    let hadolint = Command::new(packages.join("bin/hadolint"))
        .arg(checkout().join("packaging/docker/Dockerfile"))
        .output()
        .expect("hadolint runs");
    assert!(hadolint.status.success(), "{}", String::from_utf8_lossy(&hadolint.stdout));
    let dclint = Command::new("node")
        .arg(test_data(&["npm", "tests/docker"]).join("node_modules/dclint/bin/dclint.cjs"))
        .arg("--quiet") // errors alone: the order of keys is taste
        .arg(checkout().join("packaging/docker/compose.yaml"))
        .output()
        .expect("dclint runs");
    let said = String::from_utf8_lossy(&dclint.stdout) + String::from_utf8_lossy(&dclint.stderr);
    assert!(dclint.status.success(), "{said}");
    // scripts/package puts the folder docker beside the packages that it names.
    let (dockerfile, package) = (read("packaging/docker/Dockerfile"), read("scripts/package"));
    for source in dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")) {
        let (sources, _) = source.rsplit_once(' ').expect("a place to copy to");
        for source in sources.split(' ') {
            let known = match source.strip_suffix("_*.deb") {
                Some("postgresql-17-pg-ets") => package.contains("name=postgresql-$PG_MAJOR-pg-ets\n"),
                Some(name) => package.contains(&format!("name={name}\n")),
                None => source.starts_with("docker/") && checkout().join("packaging").join(source).is_file(),
            };
            assert!(known, "COPY {source}");
        }
    }
    assert!(package.contains("cp -a packaging/docker \"$packages/docker\""));
}

/// What the container runs at its first start, with a real pg_cron.
#[test]
fn the_first_script_of_the_container_makes_a_ledger() {
    let settings = [
        "fsync=off",
        "shared_preload_libraries=pg_cron",
        "cron.database_name=ledger",
        "cron.use_background_workers=on",
    ];
    let cluster = Cluster::start("container", &settings);
    cluster
        .psql("postgres", "CREATE DATABASE ledger TEMPLATE template0 ENCODING 'UTF8'")
        .expect("a database");
    cluster.psql("ledger", &read("packaging/docker/first.sql")).expect("packaging/docker/first.sql");
    let jobs = cluster
        .psql("ledger", "SELECT 'jobs', count(*) FROM cron.job WHERE jobname LIKE 'ets\\_%@ledger'")
        .expect("jobs");
    assert!(jobs.contains("jobs") && jobs.contains('4'), "{jobs}");
    let mut http = cluster.connect_as("ledger", "ets_http");
    http.query("SELECT * FROM ets.streams", &[]).expect("it may read");
    let head = "SELECT * FROM ets.head('ets.audit', 'main')";
    http.query(head, &[]).expect("it may ask for heads");
}
