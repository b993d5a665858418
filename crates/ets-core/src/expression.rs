//! A stand-in for the expression language, until its module is merged.

use std::fmt;

use serde_json::{Map, Value, json};

/// The engine's name.
pub const ENGINE: &str = "cel/1";

/// A compiled expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression(String, Node);

/// What an expression sees.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Scope<'a> {
    pub payload: &'a Value,
    pub event: EventScope<'a>,
    pub state: &'a Value,
}

/// What an expression sees of the event.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct EventScope<'a> {
    pub schema_version: &'a str,
    pub key_id: &'a str,
    pub owner: &'a str,
    pub domain: &'a str,
    pub stream: &'a str,
    pub sequence: u64,
}

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpressionError;

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluationError;

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an expression")
    }
}

impl fmt::Display for EvaluationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no value")
    }
}

#[allow(missing_docs)]
impl ExpressionError {
    pub fn reason(&self) -> &'static str {
        "syntax"
    }
    pub fn detail(&self) -> Value {
        json!({"reason": self.reason()})
    }
}

#[allow(missing_docs)]
impl EvaluationError {
    pub fn reason(&self) -> &'static str {
        "type"
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Value(Value),
    Name(String),
    Select(Box<Node>, String),
    Has(Box<Node>),
    Map(Vec<(Node, Node)>),
    Not(Box<Node>),
    Two(&'static str, Box<Node>, Box<Node>),
    If(Box<Node>, Box<Node>, Box<Node>),
}

struct Parser<'a>(Vec<&'a str>, usize);

type Parsed = Result<Node, ExpressionError>;

fn tokens(mut text: &str) -> Option<Vec<&str>> {
    let mut out = Vec::new();
    loop {
        text = text.trim_start();
        let Some(first) = text.chars().next() else { return Some(out) };
        let len = if first == '\'' {
            text[1..].find('\'')? + 2
        } else if first.is_ascii_alphanumeric() || first == '_' {
            text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len())
        } else {
            let two = ["==", "!=", ">=", "<=", "&&", "||"].iter().any(|two| text.starts_with(two));
            if two {
                2
            } else if "(){}.,:?!<>+-*/".contains(first) {
                1
            } else {
                return None;
            }
        };
        out.push(&text[..len]);
        text = &text[len..];
    }
}

const LEVELS: [&[&str]; 5] =
    [&["||"], &["&&"], &["==", "!=", ">=", "<=", "<", ">"], &["+", "-"], &["*", "/"]];

impl Parser<'_> {
    fn peek(&self) -> &str {
        self.0.get(self.1).copied().unwrap_or("")
    }
    fn eat(&mut self, token: &str) -> bool {
        let is = self.peek() == token;
        if is {
            self.1 += 1;
        }
        is
    }
    fn need(&mut self, token: &str) -> Result<(), ExpressionError> {
        if self.eat(token) { Ok(()) } else { Err(ExpressionError) }
    }
    fn all(&mut self) -> Parsed {
        let node = self.level(0)?;
        if !self.eat("?") {
            return Ok(node);
        }
        let yes = self.all()?;
        self.need(":")?;
        Ok(Node::If(node.into(), yes.into(), self.all()?.into()))
    }
    fn level(&mut self, at: usize) -> Parsed {
        let Some(operators) = LEVELS.get(at) else { return self.unary() };
        let mut node = self.level(at + 1)?;
        while let Some(operator) = operators.iter().find(|operator| self.peek() == **operator) {
            self.1 += 1;
            node = Node::Two(operator, node.into(), self.level(at + 1)?.into());
        }
        Ok(node)
    }
    fn unary(&mut self) -> Parsed {
        if self.eat("!") {
            return Ok(Node::Not(self.unary()?.into()));
        }
        let mut node = self.primary()?;
        while self.eat(".") {
            let name = self.peek().to_owned();
            if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
                return Err(ExpressionError);
            }
            self.1 += 1;
            node = Node::Select(node.into(), name);
        }
        Ok(node)
    }
    fn primary(&mut self) -> Parsed {
        if self.eat("(") {
            let node = self.all()?;
            self.need(")")?;
            return Ok(node);
        }
        if self.eat("{") {
            let mut entries = Vec::new();
            while !self.eat("}") {
                let key = self.all()?;
                self.need(":")?;
                entries.push((key, self.all()?));
                self.eat(",");
            }
            return Ok(Node::Map(entries));
        }
        let token = self.peek().to_owned();
        self.1 += 1;
        match token.as_str() {
            "has" => {
                self.need("(")?;
                let node = self.all()?;
                self.need(")")?;
                Ok(Node::Has(node.into()))
            }
            "null" => Ok(Node::Value(Value::Null)),
            "true" | "false" => Ok(Node::Value(Value::Bool(token == "true"))),
            "payload" | "event" | "state" => Ok(Node::Name(token)),
            _ if token.starts_with('\'') => Ok(Node::Value(token.trim_matches('\'').into())),
            _ => token.parse::<i64>().map(|n| Node::Value(n.into())).map_err(|_| ExpressionError),
        }
    }
}

impl Node {
    fn any(&self, is: &impl Fn(&Node) -> bool) -> bool {
        is(self)
            || match self {
                Node::Value(_) | Node::Name(_) => false,
                Node::Select(a, _) | Node::Has(a) | Node::Not(a) => a.any(is),
                Node::Map(entries) => entries.iter().any(|(a, b)| a.any(is) || b.any(is)),
                Node::Two(_, a, b) => a.any(is) || b.any(is),
                Node::If(a, b, c) => a.any(is) || b.any(is) || c.any(is),
            }
    }

    fn value(&self, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        let bool_of = |value: Value| value.as_bool().ok_or(EvaluationError);
        Ok(match self {
            Node::Value(value) => value.clone(),
            Node::Name(name) => match name.as_str() {
                "payload" => scope.payload.clone(),
                "state" => scope.state.clone(),
                _ => json!({
                    "schema_version": scope.event.schema_version, "key_id": scope.event.key_id,
                    "owner": scope.event.owner, "domain": scope.event.domain,
                    "stream": scope.event.stream, "sequence": scope.event.sequence,
                }),
            },
            Node::Select(of, name) => of.value(scope)?.get(name).cloned().ok_or(EvaluationError)?,
            Node::Has(what) => what.value(scope).is_ok().into(),
            Node::Map(entries) => {
                let mut map = Map::new();
                for (key, value) in entries {
                    map.insert(
                        key.value(scope)?.as_str().ok_or(EvaluationError)?.into(),
                        value.value(scope)?,
                    );
                }
                Value::Object(map)
            }
            Node::Not(what) => (!bool_of(what.value(scope)?)?).into(),
            Node::If(which, yes, no) => {
                if bool_of(which.value(scope)?)? {
                    yes.value(scope)?
                } else {
                    no.value(scope)?
                }
            }
            Node::Two("&&", a, b) => (bool_of(a.value(scope)?)? && bool_of(b.value(scope)?)?).into(),
            Node::Two("||", a, b) => (bool_of(a.value(scope)?)? || bool_of(b.value(scope)?)?).into(),
            Node::Two("==", a, b) => (a.value(scope)? == b.value(scope)?).into(),
            Node::Two("!=", a, b) => (a.value(scope)? != b.value(scope)?).into(),
            Node::Two(operator, a, b) => {
                let of = |node: &Node| node.value(scope)?.as_i64().ok_or(EvaluationError);
                let (a, b) = (of(a)?, of(b)?);
                match *operator {
                    ">" => (a > b).into(),
                    "<" => (a < b).into(),
                    ">=" => (a >= b).into(),
                    "<=" => (a <= b).into(),
                    "+" => a.checked_add(b).ok_or(EvaluationError)?.into(),
                    "-" => a.checked_sub(b).ok_or(EvaluationError)?.into(),
                    "*" => a.checked_mul(b).ok_or(EvaluationError)?.into(),
                    _ => a.checked_div(b).ok_or(EvaluationError)?.into(),
                }
            }
        })
    }
}

#[allow(missing_docs)]
impl Expression {
    pub fn compile(source: &str) -> Result<Expression, ExpressionError> {
        let mut parser = Parser(tokens(source).ok_or(ExpressionError)?, 0);
        let node = parser.all()?;
        let unknown = |node: &Node| {
            matches!(node, Node::Select(of, name) if **of == Node::Name("event".into())
                && !["schema_version", "key_id", "owner", "domain", "stream", "sequence"].contains(&name.as_str()))
        };
        if parser.1 < parser.0.len() || node.any(&unknown) {
            return Err(ExpressionError);
        }
        Ok(Expression(source.to_owned(), node))
    }

    pub fn source(&self) -> &str {
        &self.0
    }

    pub fn mentions_state(&self) -> bool {
        self.1.any(&|node| *node == Node::Name("state".into()))
    }

    pub fn mentions_sequence(&self) -> bool {
        self.1.any(&|node| {
            matches!(node, Node::Select(of, name) if **of == Node::Name("event".into()) && name == "sequence")
        })
    }

    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        self.1.value(scope)
    }

    pub fn is_true(&self, scope: &Scope<'_>) -> Result<bool, EvaluationError> {
        self.evaluate(scope)?.as_bool().ok_or(EvaluationError)
    }
}
