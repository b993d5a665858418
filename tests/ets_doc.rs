//! docs/ets.md is one session in a shell, and every line of it runs.

use std::fs;
use std::process::Command;

use ets_tests::{Cluster, bin, checkout, program};

#[test]
fn the_session_of_the_programs_page_runs() {
    let text = fs::read_to_string(checkout().join("docs/ets.md")).expect("docs/ets.md");
    let mut script = String::from("set -eu\n");
    let mut blocks = 0;
    let mut is_in = false;
    for line in text.lines() {
        match line {
            "```sh" => (is_in, blocks) = (true, blocks + 1),
            "```" => is_in = false,
            line if is_in => script += &format!("{line}\n"),
            _ => {}
        }
    }
    assert!(blocks >= 8, "the page lost its session: {blocks} blocks");
    // A database of the reader's own on a server of its own: the page makes another, called copy.
    let cluster = Cluster::start("shell", &[]);
    cluster.connect("postgres").batch_execute("CREATE DATABASE shop").expect("a database");
    let folder = cluster.folder().join("session");
    fs::create_dir(&folder).expect("a folder");
    let programs = program("ets").parent().expect("a folder").to_owned();
    let path = std::env::var("PATH").expect("a PATH");
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(&folder)
        .env_clear()
        .envs(cluster.environment("shop"))
        .env("PATH", format!("{}:{}:{path}", programs.display(), bin().display()))
        .output()
        .expect("bash runs");
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{error}");
    let verdicts: Vec<&str> = out.lines().filter(|line| line.starts_with("MATCH")).collect();
    let words: Vec<&str> =
        verdicts.iter().map(|line| line.split([' ', ':']).nth(1).unwrap_or_default()).collect();
    assert_eq!(words, ["", "SELF-CONSISTENT", "WITNESSED", "WITNESSED", "ANCHORED"], "{out}");
}

/// What the pages call `ets` with is there: no option was renamed behind their back.
#[test]
fn every_option_in_the_documentation_is_there() {
    let mut seen = 0;
    let mut pages = vec!["README.md".to_owned()];
    for entry in fs::read_dir(checkout().join("docs")).expect("docs").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        pages.extend(name.ends_with(".md").then(|| format!("docs/{name}")));
    }
    for page in &pages {
        let text = fs::read_to_string(checkout().join(page)).expect(page).replace("\\\n", " ");
        let code = text.lines().filter(|line| !line.starts_with('|') && !line.contains('`'));
        for command in code.flat_map(|line| line.match_indices("ets ").map(|(at, _)| &line[at..])) {
            // What follows belongs to another program.
            let command = command.split(['|', ';', '>', '&']).next().unwrap_or_default();
            let words: Vec<&str> = command.split_whitespace().skip(1).collect();
            let names: Vec<&str> = words
                .iter()
                .copied()
                .take_while(|word| {
                    word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-')
                })
                .collect();
            let options = words
                .iter()
                .filter(|word| word.starts_with("--"))
                .map(|word| word.split('=').next().unwrap_or_default());
            let options: Vec<&str> = options.filter(|option| option.len() > 2).collect();
            if names.is_empty() || options.is_empty() {
                continue;
            }
            // `ets authority answer` is a command of two words, `ets sign file` is not.
            let help = |names: &[&str]| {
                Command::new(program("ets")).args(names).arg("--help").output().expect("ets runs")
            };
            let two = help(&names[..names.len().min(2)]);
            let output = if two.status.success() { two } else { help(&names[..1]) };
            let help = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{page}: {command}");
            for option in options {
                let is_there = help
                    .split(|c: char| c.is_whitespace() || c == ',' || c == '[' || c == ']')
                    .any(|word| word == option);
                assert!(is_there, "{page}: ets {} has no {option}", names[0]);
                seen += 1;
            }
        }
    }
    assert!(seen > 40, "the pages lost their commands: {seen} options");
}

/// Every command says how it is used, and knows --json.
#[test]
fn every_command_has_help_and_json() {
    let help = |arguments: &[&str]| {
        let output = Command::new(program("ets")).args(arguments).arg("--help").output().expect("ets runs");
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let commands = |help: &str| -> Vec<String> {
        let list = help.split("Commands:\n").nth(1).unwrap_or_default();
        let names = list
            .lines()
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.split_whitespace().next());
        names.filter(|name| *name != "help").map(str::to_owned).collect()
    };
    let page = fs::read_to_string(checkout().join("docs/ets.md")).expect("docs/ets.md");
    let all = commands(&help(&[]));
    assert!(all.len() >= 12, "{all:?}");
    for name in &all {
        assert!(page.contains(&format!("`ets {name}")), "docs/ets.md does not list ets {name}");
        let text = help(&[name]);
        assert!(text.contains("--json"), "{name}");
        for below in commands(&text) {
            assert!(help(&[name, &below]).contains("--json"), "{name} {below}");
        }
        let output = Command::new(program("ets"))
            .args([name, "--json", "--no-such-option"])
            .output()
            .expect("ets runs");
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(2), &b""[..]), "{name}");
        let error: serde_json::Value = serde_json::from_slice(&output.stderr).expect("JSON");
        assert!(error["error"].as_str().is_some_and(|text| text.contains("--no-such-option")), "{error}");
    }
}
