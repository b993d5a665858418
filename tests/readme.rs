//! Every SQL block of README.md runs, in order, in one psql session.

use std::fs;

use ets_tests::{Cluster, checkout};

#[test]
fn every_sql_block_of_the_readme_runs() {
    let text = fs::read_to_string(checkout().join("README.md")).expect("README.md");
    let blocks = sql_blocks(&text);
    assert!(blocks.len() >= 5, "the README lost its tour: {} blocks", blocks.len());
    let database = Cluster::shared().database();
    // The tour begins with CREATE EXTENSION in a database of the reader's own.
    let script = format!("DROP EXTENSION pg_ets;\nSET client_min_messages = warning;\n{}", blocks.join("\n"));
    if let Err(error) = database.psql(&script) {
        panic!("{error}\nin:\n{script}");
    }
}

fn sql_blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<Vec<&str>> = None;
    for line in text.lines() {
        match (&mut block, line.trim_end()) {
            (None, "```sql") => block = Some(Vec::new()),
            (None, _) => {}
            (Some(lines), "```") => {
                blocks.push(lines.join("\n"));
                block = None;
            }
            (Some(lines), line) => lines.push(line),
        }
    }
    assert!(block.is_none(), "a block of the README does not end");
    blocks
}
