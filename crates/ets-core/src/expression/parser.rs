//! Parsing and name resolution in one pass (CEL language definition, "Syntax").
//!
//! Rows of operators, selections, conditionals and `!` are read in loops, so
//! that they may be as long as the text; what nests is counted, here and for
//! the evaluator, which recurses as deep as the parser did. [`primary`] has
//! what an operator stands between.
//!
//! [`primary`]: super::primary

use super::error::{ExpressionError, ExpressionProblem};
use super::lexer::{Lexer, Token};
use super::tree::{Node, Operator};

/// The longest expression, in bytes.
pub const MAX_EXPRESSION_BYTES: usize = 8 << 10;
/// The deepest nesting of brackets, arguments and macros.
pub const MAX_DEPTH: usize = 32;

/// A parsed expression, and what it depends on.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) root: Node,
    pub(super) mentions_state: bool,
    pub(super) mentions_sequence: bool,
}

/// Parses an expression.
pub(super) fn parse(source: &str) -> Result<Parsed, ExpressionError> {
    let lexer = Lexer::new(source);
    if source.len() > MAX_EXPRESSION_BYTES {
        return Err(lexer.error(0, ExpressionProblem::TooLong { limit: MAX_EXPRESSION_BYTES }));
    }
    let mut parser = Parser {
        lexer,
        token: Token::End,
        offset: 0,
        depth: 0,
        variables: Vec::new(),
        pattern_weight: 0,
        mentions_state: false,
        mentions_sequence: false,
    };
    parser.advance()?;
    let root = parser.expression()?;
    if parser.token != Token::End {
        return Err(parser.expected("an operator or the end"));
    }
    Ok(Parsed { root, mentions_state: parser.mentions_state, mentions_sequence: parser.mentions_sequence })
}

pub(super) struct Parser<'s> {
    pub(super) lexer: Lexer<'s>,
    /// The token that is looked at, and where it starts.
    pub(super) token: Token<'s>,
    pub(super) offset: usize,
    depth: usize,
    /// The variables of the macros around, the outermost first.
    pub(super) variables: Vec<&'s str>,
    pub(super) pattern_weight: usize,
    pub(super) mentions_state: bool,
    pub(super) mentions_sequence: bool,
}

pub(super) type Parsing<T> = Result<T, ExpressionError>;

/// The operators of each precedence, the loosest first.
const LEVELS: [&[Operator]; 3] = [
    &[
        Operator::Equal,
        Operator::Unequal,
        Operator::LessOrEqual,
        Operator::GreaterOrEqual,
        Operator::Less,
        Operator::Greater,
        Operator::In,
    ],
    &[Operator::Add, Operator::Subtract],
    &[Operator::Multiply, Operator::Divide, Operator::Remainder],
];

impl<'s> Parser<'s> {
    /// `Expr = ConditionalOr ["?" ConditionalOr ":" Expr]`
    pub(super) fn expression(&mut self) -> Parsing<Node> {
        if self.depth > MAX_DEPTH {
            return Err(self.error(ExpressionProblem::TooDeep { limit: MAX_DEPTH }));
        }
        self.depth += 1;
        let mut cases = Vec::new();
        let mut last = self.or()?;
        while self.take("?")? {
            let then = self.or()?;
            self.expect(":", "`:` and the other value")?;
            cases.push((last, then));
            last = self.or()?;
        }
        self.depth -= 1;
        Ok(if cases.is_empty() {
            last
        } else {
            Node::Conditional { cases: cases.into(), otherwise: Box::new(last) }
        })
    }

    fn or(&mut self) -> Parsing<Node> {
        let first = self.and()?;
        if self.token != Token::Symbol("||") {
            return Ok(first);
        }
        let mut operands = vec![first];
        while self.take("||")? {
            operands.push(self.and()?);
        }
        Ok(Node::Or(operands.into()))
    }

    fn and(&mut self) -> Parsing<Node> {
        let first = self.chain(&LEVELS)?;
        if self.token != Token::Symbol("&&") {
            return Ok(first);
        }
        let mut operands = vec![first];
        while self.take("&&")? {
            operands.push(self.chain(&LEVELS)?);
        }
        Ok(Node::And(operands.into()))
    }

    /// `Relation`, `Addition` and `Multiplication`, which differ in their operators.
    fn chain(&mut self, levels: &[&[Operator]]) -> Parsing<Node> {
        let Some((operators, tighter)) = levels.split_first() else { return self.unary() };
        let first = self.chain(tighter)?;
        let mut rest = Vec::new();
        while let Some(operator) = self.operator(operators) {
            self.advance()?;
            rest.push((operator, self.chain(tighter)?));
        }
        Ok(if rest.is_empty() { first } else { Node::Chain { first: Box::new(first), rest: rest.into() } })
    }

    fn operator(&self, operators: &[Operator]) -> Option<Operator> {
        let (Token::Symbol(symbol) | Token::Name(symbol)) = self.token else { return None };
        operators.iter().copied().find(|operator| operator.symbol() == symbol)
    }

    /// `Unary = Member | "!" {"!"} Member | "-" {"-"} Member`
    fn unary(&mut self) -> Parsing<Node> {
        let mut times = 0;
        if self.token == Token::Symbol("!") {
            while self.take("!")? {
                times += 1;
            }
            let operand = Box::new(self.member(false)?);
            return Ok(Node::Not { times, operand });
        }
        while self.take("-")? {
            times += 1;
        }
        // The last minus before a number belongs to it: -9223372036854775808 is
        // an int, 9223372036854775808 is not.
        let is_number = times > 0 && matches!(self.token, Token::Int(_) | Token::Double(_));
        let operand = self.member(is_number)?;
        times -= usize::from(is_number);
        Ok(if times == 0 { operand } else { Node::Negate { times, operand: Box::new(operand) } })
    }

    /// Goes on to the next token, and gives the one that was looked at.
    pub(super) fn advance(&mut self) -> Parsing<Token<'s>> {
        let (next, offset) = self.lexer.next()?;
        self.offset = offset;
        Ok(std::mem::replace(&mut self.token, next))
    }

    /// Steps over a symbol, if it is the one.
    pub(super) fn take(&mut self, symbol: &'static str) -> Parsing<bool> {
        let is_it = self.token == Token::Symbol(symbol);
        if is_it {
            self.advance()?;
        }
        Ok(is_it)
    }

    pub(super) fn expect(&mut self, symbol: &'static str, what: &'static str) -> Parsing<()> {
        if self.take(symbol)? { Ok(()) } else { Err(self.expected(what)) }
    }

    /// The error that something else must stand here.
    pub(super) fn expected(&self, what: &'static str) -> ExpressionError {
        self.error(ExpressionProblem::Expected { what })
    }

    /// The error about the token that is looked at.
    pub(super) fn error(&self, problem: ExpressionProblem) -> ExpressionError {
        self.lexer.error(self.offset, problem)
    }
}
