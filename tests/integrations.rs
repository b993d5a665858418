//! The programs that docs/integrations.md shows, against a real server: the
//! application's row and the ledger's event are there together, or neither is.

use std::process::{Child, Command, Output, Stdio};

use ets_tests::{Cluster, checkout, program, test_data};
use postgres::Client;

/// How a program is called, and with what in its environment.
struct Shop {
    cluster: &'static Cluster,
    database: String,
    key: String,
    command: Vec<String>,
    variables: Vec<(&'static str, String)>,
}

/// The ledger and the tables of a shop, for a role that owns nothing in schema ets.
const SHOP: &str = r#"
    SELECT ets.init('shop.example/integrations');
    SELECT ets.create_domain('orders');
    SELECT ets.register_schema('order/1.0.0', 'orders', '{"type": "object", "properties": {
      "order": {"type": "string"}, "cents": {"type": "integer", "minimum": 1}, "request": {"type": "string"}},
      "required": ["order", "cents", "request"], "additionalProperties": false}', stream_pointer => '/order');
    CREATE SCHEMA shop;
    CREATE TABLE shop.placed (request_id uuid PRIMARY KEY, order_id text NOT NULL, cents bigint NOT NULL, event_id uuid NOT NULL);
    DO $$ BEGIN CREATE ROLE integrations_shop LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
    GRANT USAGE ON SCHEMA shop TO integrations_shop;
    GRANT SELECT, INSERT ON shop.placed TO integrations_shop;
    SELECT ets.grant_access('integrations_shop', 'writer');
"#;

impl Shop {
    fn open(name: &str, command: &[&str], variables: Vec<(&'static str, String)>) -> Self {
        let cluster = Cluster::shared();
        let database = cluster.create_database();
        let mut client = cluster.connect(&database);
        client.batch_execute(SHOP).expect("a shop");
        let key = std::env::temp_dir().join(format!("integration-{name}-{}.pem", std::process::id()));
        let _ = std::fs::remove_file(&key);
        let keygen = Command::new(program("ets")).arg("keygen").arg(&key).output().expect("ets keygen");
        assert!(keygen.status.success(), "{}", String::from_utf8_lossy(&keygen.stderr));
        let shown = Command::new(program("ets")).arg("key-id").arg(&key).output().expect("ets key-id");
        let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("JSON");
        let sql = "SELECT ets.register_key(decode($1, 'hex'), 'the shop'), ets.grant_authority($2, 'orders')";
        let text = |name: &str| shown[name].as_str().expect("text").to_owned();
        client.query(sql, &[&text("public_key"), &text("key_id")]).expect("the shop's key");
        let command = command.iter().map(|&part| part.to_owned()).collect();
        Shop { cluster, database, key: key.display().to_string(), command, variables }
    }

    fn start(&self, what: &str, order: &str, cents: &str) -> Child {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).args([what, order, cents]);
        command.envs(self.cluster.environment(&self.database)).env("PGUSER", "integrations_shop");
        command.env("ETS_KEY", &self.key).envs(self.variables.iter().map(|(name, value)| (*name, value)));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", self.command))
    }

    fn run(&self, what: &str, order: &str, cents: &str) -> Output {
        self.start(what, order, cents).wait_with_output().expect("it ends")
    }

    /// How many rows and cents of an order the application has, and the ledger, by
    /// the ids of the events.
    fn both(client: &mut Client, order: &str) -> ((i64, i64), (i64, i64)) {
        let sql = "SELECT count(*), coalesce(sum(cents), 0)::bigint, count(*) FILTER (WHERE stored IS NULL),
                coalesce(sum(stored), 0)::bigint
            FROM shop.placed LEFT JOIN LATERAL (SELECT (payload->>'cents')::bigint AS stored
                FROM ets.ledger_event WHERE ledger_event.event_id = placed.event_id AND stream = placed.order_id) AS event ON true
            WHERE order_id = $1";
        let rows = client.query_one(sql, &[&order]).expect("rows");
        assert_eq!(rows.get::<_, i64>(2), 0, "a row without its event");
        let sql = "SELECT count(*) FROM ets.ledger_event WHERE domain = 'orders' AND stream = $1";
        let events: i64 = client.query_one(sql, &[&order]).expect("events").get(0);
        ((rows.get(0), rows.get(1)), (events, rows.get(3)))
    }

    fn prove(&self) {
        let mut client = self.cluster.connect(&self.database);
        let placed = self.run("place", "o-1", "1990");
        assert!(placed.status.success(), "{}", String::from_utf8_lossy(&placed.stderr));
        assert_eq!(Self::both(&mut client, "o-1"), ((1, 1990), (1, 1990)));
        let id = String::from_utf8_lossy(&placed.stdout).trim().to_owned();
        let sql = "SELECT payload->>'cents' FROM ets.ledger_event WHERE event_id::text = $1";
        assert_eq!(client.query_one(sql, &[&id]).expect("the event").get::<_, String>(0), "1990");

        let failed = self.run("fail", "o-2", "5");
        let said = String::from_utf8_lossy(&failed.stderr);
        assert!(!failed.status.success() && said.contains("out of stock"), "{said}");
        assert_eq!(Self::both(&mut client, "o-2"), ((0, 0), (0, 0)));
        // What the ledger refuses takes the application's row along.
        let refused = self.run("place", "o-3", "0");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains("violates schema order/1.0.0"), "{said}");
        assert_eq!(Self::both(&mut client, "o-3"), ((0, 0), (0, 0)));

        let again = self.run("again", "o-4", "7");
        assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
        let said = String::from_utf8_lossy(&again.stdout).into_owned();
        let ids: Vec<&str> = said.lines().collect();
        assert!(matches!(ids[..], [first, second] if first == second), "{said}");
        assert_eq!(Self::both(&mut client, "o-4"), ((1, 7), (1, 7)));

        // All onto one stream: whoever is slower signs again.
        let racing: Vec<Child> = (0..6).map(|_| self.start("place", "o-5", "10")).collect();
        for child in racing {
            let output = child.wait_with_output().expect("it ends");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        assert_eq!(Self::both(&mut client, "o-5"), ((6, 60), (6, 60)));
        client.execute("SELECT ets.seal()", &[]).expect("sealed");
        assert_eq!(ets_tests::findings(&mut client), Vec::<String>::new());
        std::fs::remove_file(&self.key).expect("the key");
    }
}

fn example(path: &str) -> String {
    checkout().join("examples/integrations").join(path).display().to_string()
}

#[test]
fn a_go_program_appends_in_its_own_transaction() {
    let built = std::env::temp_dir().join(format!("integration-go-{}", std::process::id()));
    let output = Command::new("go")
        .args(["build", "-o"])
        .arg(&built)
        .arg(".")
        .current_dir(example("go"))
        .env("GOFLAGS", "-mod=readonly")
        .output()
        .expect("go runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Shop::open("go", &[&built.display().to_string()], Vec::new()).prove();
    std::fs::remove_file(built).expect("the program");
}

#[test]
fn a_django_program_appends_in_its_own_transaction() {
    let packages = test_data(&["python", "examples/integrations/django"]).display().to_string();
    Shop::open("django", &["python3", "-B", &example("django/shop.py")], vec![("PYTHONPATH", packages)])
        .prove();
}

#[test]
fn a_rails_program_appends_in_its_own_transaction() {
    Shop::open("rails", &["ruby", &example("rails/shop.rb")], Vec::new()).prove();
}

#[test]
fn a_prisma_program_appends_in_its_own_transaction() {
    let folder = test_data(&["npm", "examples/integrations/prisma"]);
    // The client is JavaScript; the engine that Prisma would fetch is for migrations.
    let generate = Command::new("node")
        .arg(folder.join("node_modules/prisma/build/index.js"))
        .args(["generate", "--schema", "schema.prisma"])
        .current_dir(&folder)
        .env("PRISMA_SCHEMA_ENGINE_BINARY", "/bin/true")
        .env("CHECKPOINT_DISABLE", "1")
        .output()
        .expect("prisma generate");
    assert!(generate.status.success(), "{}", String::from_utf8_lossy(&generate.stderr));
    Shop::open("prisma", &["node", &folder.join("shop.mjs").display().to_string()], Vec::new()).prove();
}

/// The page shows the part of each program that matters, as it is in the program.
#[test]
fn the_page_shows_the_programs_as_they_are() {
    let page =
        std::fs::read_to_string(checkout().join("docs/integrations.md")).expect("docs/integrations.md");
    let mut shown = 0;
    for part in page.split("<!-- from ").skip(1) {
        let (file, rest) = part.split_once(" -->").expect("a file");
        let (_, rest) = rest.split_once("```").expect("a block");
        let (_, rest) = rest.split_once('\n').expect("its language");
        let (block, _) = rest.split_once("```").expect("its end");
        let text =
            std::fs::read_to_string(checkout().join("examples/integrations").join(file)).expect("a program");
        assert!(
            text.contains(block) && block.lines().count() > 8,
            "docs/integrations.md differs from {file}:\n{block}"
        );
        shown += 1;
    }
    assert_eq!(shown, 4);
}
