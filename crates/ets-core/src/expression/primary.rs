//! Parsing what stands between operators: literals, names, calls, selections.

use super::error::ExpressionProblem;
use super::lexer::Token;
use super::parser::{Parser, Parsing};
use super::pattern::Pattern;
use super::tree::{EventMember, Find, Function, Macro, MacroKind, Node, Step};
use super::value::Type;

/// Keywords that are values or an operator: no names of members either.
const KEYWORDS: [&str; 4] = ["true", "false", "null", "in"];
/// Words that CEL keeps from being names (language definition, "Syntax").
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];
/// What an expression sees; no variable may hide it.
const ROOTS: [&str; 3] = ["payload", "event", "state"];

impl<'s> Parser<'s> {
    /// `Member = Primary | Member "." NAME ["(" … ")"] | Member "[" Expr "]"`
    pub(super) fn member(&mut self, negative: bool) -> Parsing<Node> {
        let mut steps = Vec::new();
        let mut base = self.primary(negative, &mut steps)?;
        loop {
            if self.take("[")? {
                steps.push(Step::Index(self.expression()?));
                self.expect("]", "`]`")?;
            } else if self.take(".")? {
                let offset = self.offset;
                let name = self.name("the name of a member")?;
                if self.token != Token::Symbol("(") {
                    steps.push(Step::Member(name.into()));
                } else if let Some(kind) = MacroKind::named(name) {
                    steps.push(self.macro_call(kind)?);
                } else {
                    steps.push(self.method(name, offset)?);
                }
            } else {
                break;
            }
        }
        if !steps.is_empty() {
            base = Node::Path { base: Box::new(base), steps: steps.into() };
        }
        Ok(base)
    }

    /// A value on its own. A function's first argument is its value, and the
    /// function the first step from there.
    fn primary(&mut self, negative: bool, steps: &mut Vec<Step>) -> Parsing<Node> {
        let offset = self.offset;
        match self.advance()? {
            Token::Name(name) => self.named(name, offset, steps),
            Token::Int(magnitude) => {
                let value = if negative {
                    0_i64.checked_sub_unsigned(magnitude)
                } else {
                    i64::try_from(magnitude).ok()
                };
                value
                    .map(Node::Int)
                    .ok_or_else(|| self.lexer.error(offset, ExpressionProblem::NumberTooLarge))
            }
            Token::Double(number) => Ok(Node::Double(if negative { -number } else { number })),
            Token::Text(text) => Ok(Node::Text(text.into())),
            Token::Symbol("(") => {
                let inner = self.expression()?;
                self.expect(")", "`)`")?;
                Ok(inner)
            }
            Token::Symbol("[") => Ok(Node::List(self.items("]", "`,` or `]`", Self::expression)?.into())),
            Token::Symbol("{") => Ok(Node::Map(self.items("}", "`,` or `}`", Self::entry)?.into())),
            _ => Err(self.lexer.error(offset, ExpressionProblem::Expected { what: "a value" })),
        }
    }

    fn entry(&mut self) -> Parsing<(Node, Node)> {
        let key = self.expression()?;
        self.expect(":", "`:` and the entry's value")?;
        Ok((key, self.expression()?))
    }

    /// Items up to the closing symbol; a comma may stand after the last.
    fn items<T>(
        &mut self,
        close: &'static str,
        what: &'static str,
        mut item: impl FnMut(&mut Self) -> Parsing<T>,
    ) -> Parsing<Vec<T>> {
        let mut items = Vec::new();
        while !self.take(close)? {
            items.push(item(self)?);
            if !self.take(",")? {
                self.expect(close, what)?;
                break;
            }
        }
        Ok(items)
    }

    /// What a name at the start of a value means. Variables come first, so that
    /// a macro may call its variable `int`.
    fn named(&mut self, name: &'s str, offset: usize, steps: &mut Vec<Step>) -> Parsing<Node> {
        if self.token == Token::Symbol("(") && !KEYWORDS.contains(&name) {
            return self.call(name, offset, steps);
        }
        if let Some(slot) = self.variables.iter().rposition(|variable| *variable == name) {
            return Ok(Node::Variable(slot));
        }
        Ok(match name {
            "true" => Node::Bool(true),
            "false" => Node::Bool(false),
            "null" => Node::Null,
            "payload" => Node::Payload,
            "state" => {
                self.mentions_state = true;
                Node::State
            }
            "event" => self.event(offset)?,
            _ => match Type::named(name) {
                Some(named) => Node::Type(named),
                None => {
                    let problem = ExpressionProblem::UnknownName { name: name.to_owned() };
                    return Err(self.lexer.error(offset, problem));
                }
            },
        })
    }

    /// A member of `event`, which is no value itself: so it is known at once
    /// what an expression depends on.
    fn event(&mut self, offset: usize) -> Parsing<Node> {
        if !self.take(".")? {
            return Err(self.lexer.error(offset, ExpressionProblem::BareEvent));
        }
        let offset = self.offset;
        let name = self.name("the name of a member of event")?;
        match EventMember::named(name) {
            Some(member) => {
                self.mentions_sequence |= member == EventMember::Sequence;
                Ok(Node::Event(member))
            }
            None => {
                let problem = ExpressionProblem::UnknownEventMember { name: name.to_owned() };
                Err(self.lexer.error(offset, problem))
            }
        }
    }

    /// `name(…)`
    fn call(&mut self, name: &'s str, offset: usize, steps: &mut Vec<Step>) -> Parsing<Node> {
        if name == "has" {
            return self.has();
        }
        let function = match name {
            "size" => Function::Size,
            "int" => Function::Int,
            "double" => Function::Double,
            "string" => Function::String,
            "type" => Function::Type,
            "dyn" => Function::Dyn,
            "matches" => {
                self.advance()?;
                let text = self.expression()?;
                self.argument_follows("matches", 2)?;
                steps.push(self.pattern("matches", 2)?);
                return Ok(text);
            }
            _ => return Err(self.unknown_function(name, offset)),
        };
        let name = match function {
            Function::Size => "size",
            Function::Int => "int",
            Function::Double => "double",
            Function::String => "string",
            Function::Type => "type",
            Function::Dyn => "dyn",
        };
        self.advance()?;
        let argument = self.last_argument(name, 1)?;
        steps.push(Step::Apply(function));
        Ok(argument)
    }

    /// `.name(…)`
    fn method(&mut self, name: &'s str, offset: usize) -> Parsing<Step> {
        self.advance()?;
        let (find, name) = match name {
            "size" => {
                self.close("size", 0)?;
                return Ok(Step::Apply(Function::Size));
            }
            "matches" => return self.pattern("matches", 1),
            "contains" => (Find::Contains, "contains"),
            "startsWith" => (Find::StartsWith, "startsWith"),
            "endsWith" => (Find::EndsWith, "endsWith"),
            _ => return Err(self.unknown_function(name, offset)),
        };
        Ok(Step::Find(find, self.last_argument(name, 1)?))
    }

    fn unknown_function(&self, name: &str, offset: usize) -> crate::expression::ExpressionError {
        self.lexer.error(offset, ExpressionProblem::UnknownFunction { name: name.to_owned() })
    }

    /// The pattern of `matches` and the end of its call.
    fn pattern(&mut self, name: &'static str, expected: usize) -> Parsing<Step> {
        let offset = self.offset;
        let Token::Text(written) = &self.token else {
            return Err(self.error(ExpressionProblem::PatternNotLiteral));
        };
        let pattern = Pattern::compile(written, &mut self.pattern_weight)
            .map_err(|problem| self.lexer.error(offset, problem))?;
        self.advance()?;
        if !matches!(self.token, Token::Symbol(")" | ",")) {
            return Err(self.lexer.error(offset, ExpressionProblem::PatternNotLiteral));
        }
        self.close(name, expected)?;
        Ok(Step::Matches(pattern))
    }

    /// `has(e.name)`
    fn has(&mut self) -> Parsing<Node> {
        self.advance()?;
        let offset = self.offset;
        let argument = self.last_argument("has", 1)?;
        match argument {
            // Whatever is a member of `event` is there.
            Node::Event(_) => Ok(Node::Bool(true)),
            Node::Path { base, steps } => {
                let mut steps = steps.into_vec();
                let Some(Step::Member(member)) = steps.pop() else {
                    return Err(self.lexer.error(offset, ExpressionProblem::NotASelection));
                };
                let operand =
                    if steps.is_empty() { base } else { Box::new(Node::Path { base, steps: steps.into() }) };
                Ok(Node::Has { operand, member })
            }
            _ => Err(self.lexer.error(offset, ExpressionProblem::NotASelection)),
        }
    }

    /// `.all(variable, condition)` and the like.
    fn macro_call(&mut self, kind: MacroKind) -> Parsing<Step> {
        self.advance()?;
        let offset = self.offset;
        let variable = self.name("the name of a variable")?;
        if ROOTS.contains(&variable) || RESERVED.contains(&variable) {
            let problem = ExpressionProblem::ReservedName { name: variable.to_owned() };
            return Err(self.lexer.error(offset, problem));
        }
        self.argument_follows(kind.name(), 2)?;
        let slot = self.variables.len();
        self.variables.push(variable);
        let first = self.expression()?;
        let second = if kind == MacroKind::Map && self.take(",")? { Some(self.expression()?) } else { None };
        self.variables.truncate(slot);
        self.close(kind.name(), 2)?;
        let (condition, result) = match (kind, second) {
            (MacroKind::Map, None) => (None, Some(first)),
            (_, second) => (Some(first), second),
        };
        Ok(Step::Macro(Box::new(Macro { kind, slot, condition, result })))
    }

    fn last_argument(&mut self, name: &'static str, expected: usize) -> Parsing<Node> {
        if self.token == Token::Symbol(")") {
            return Err(self.error(ExpressionProblem::ArgumentCount { name, expected }));
        }
        let argument = self.expression()?;
        self.close(name, expected)?;
        Ok(argument)
    }

    /// The comma before another argument.
    fn argument_follows(&mut self, name: &'static str, expected: usize) -> Parsing<()> {
        if self.token == Token::Symbol(")") {
            return Err(self.error(ExpressionProblem::ArgumentCount { name, expected }));
        }
        self.expect(",", "`,` and another argument")
    }

    /// The end of a call.
    fn close(&mut self, name: &'static str, expected: usize) -> Parsing<()> {
        if self.token == Token::Symbol(",") {
            return Err(self.error(ExpressionProblem::ArgumentCount { name, expected }));
        }
        self.expect(")", "`)`")
    }

    /// A name that is no keyword.
    fn name(&mut self, what: &'static str) -> Parsing<&'s str> {
        match self.token {
            Token::Name(name) if !KEYWORDS.contains(&name) => {
                self.advance()?;
                Ok(name)
            }
            _ => Err(self.expected(what)),
        }
    }
}
