//! A compiled expression: names resolved, rows of operators and selections
//! flattened, so that only brackets and arguments nest.

use super::pattern::Pattern;
use super::value::Type;

/// A part of an expression that has a value.
#[derive(Debug)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Box<str>),
    Type(Type),
    Payload,
    State,
    Event(EventMember),
    /// The variable of the macro so many macros out from the expression's root.
    Variable(usize),
    List(Box<[Node]>),
    Map(Box<[(Node, Node)]>),
    /// Selections, indexes and calls, from left to right.
    Path {
        base: Box<Node>,
        steps: Box<[Step]>,
    },
    /// Whether a map has a member.
    Has {
        operand: Box<Node>,
        member: Box<str>,
    },
    /// `!`, so many times.
    Not {
        times: usize,
        operand: Box<Node>,
    },
    /// `-`, so many times.
    Negate {
        times: usize,
        operand: Box<Node>,
    },
    /// Operators of one precedence, from left to right.
    Chain {
        first: Box<Node>,
        rest: Box<[(Operator, Node)]>,
    },
    /// `&&`.
    And(Box<[Node]>),
    /// `||`.
    Or(Box<[Node]>),
    /// `condition ? value : condition ? value : … otherwise`.
    Conditional {
        cases: Box<[(Node, Node)]>,
        otherwise: Box<Node>,
    },
}

/// What is done to the value so far.
#[derive(Debug)]
pub(super) enum Step {
    /// `.name`
    Member(Box<str>),
    /// `[index]`
    Index(Node),
    /// A function of one argument.
    Apply(Function),
    /// A function that looks for one string in another.
    Find(Find, Node),
    /// `.matches('pattern')`
    Matches(Pattern),
    /// A macro over a list's items or a map's keys.
    Macro(Box<Macro>),
}

/// The members of `event`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventMember {
    SchemaVersion,
    KeyId,
    Owner,
    Domain,
    Stream,
    Sequence,
}

impl EventMember {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "schema_version" => EventMember::SchemaVersion,
            "key_id" => EventMember::KeyId,
            "owner" => EventMember::Owner,
            "domain" => EventMember::Domain,
            "stream" => EventMember::Stream,
            "sequence" => EventMember::Sequence,
            _ => return None,
        })
    }
}

/// An operator between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operator {
    /// As it is written.
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Operator::Equal => "==",
            Operator::Unequal => "!=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
            Operator::In => "in",
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::Remainder => "%",
        }
    }
}

/// A function of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    Int,
    Double,
    String,
    Type,
    Dyn,
}

/// A function of a string and a string to find in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Find {
    Contains,
    StartsWith,
    EndsWith,
}

/// A macro with its variable bound.
#[derive(Debug)]
pub(super) struct Macro {
    pub(super) kind: MacroKind,
    /// The number of variables around this macro: where its own is kept.
    pub(super) slot: usize,
    /// The condition on an item; absent in `map` with two arguments.
    pub(super) condition: Option<Node>,
    /// What `map` makes of an item.
    pub(super) result: Option<Node>,
}

/// A macro over items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MacroKind {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
}

impl MacroKind {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "all" => MacroKind::All,
            "exists" => MacroKind::Exists,
            "exists_one" => MacroKind::ExistsOne,
            "map" => MacroKind::Map,
            "filter" => MacroKind::Filter,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            MacroKind::All => "all",
            MacroKind::Exists => "exists",
            MacroKind::ExistsOne => "exists_one",
            MacroKind::Map => "map",
            MacroKind::Filter => "filter",
        }
    }
}
