//! The patterns of `matches`.
//!
//! They are the part of RE2 that means the same to every version of every
//! linear-time engine: classes such as `\d` are those of ASCII, and what depends
//! on tables of Unicode or on flags is refused. What a pattern may cost is
//! judged by its own text and not by what an engine makes of it.

use regex::{Regex, RegexBuilder};
use regex_syntax::ast::parse::ParserBuilder;
use regex_syntax::ast::{
    AssertionKind, Ast, ClassPerlKind, ClassSet, ClassSetItem, GroupKind, RepetitionKind, RepetitionRange,
    Span,
};

use super::error::ExpressionProblem;

/// The most that the patterns of one expression may weigh together. Every
/// literal, class, group and assertion weighs 1; a character outside ASCII, `.`
/// and a negated class [`WIDE`]; and what is repeated as often as is counted.
pub const MAX_PATTERN_WEIGHT: usize = 1000;
/// The weight of what takes several bytes to match.
const WIDE: usize = 4;
/// The deepest nesting of groups.
const MAX_GROUPS: u32 = 32;
/// Far above what a pattern of the greatest weight compiles to, in bytes.
const MAX_COMPILED_BYTES: usize = 8 << 20;
/// The bound on the cache of a pattern's automaton, in bytes.
const MAX_CACHE_BYTES: usize = 256 << 10;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    compiled: Regex,
    weight: usize,
}

impl Pattern {
    /// Compiles a pattern and adds its weight to that of the patterns so far.
    pub(super) fn compile(written: &str, total: &mut usize) -> Result<Pattern, ExpressionProblem> {
        let ast = ParserBuilder::new()
            .nest_limit(MAX_GROUPS)
            .build()
            .parse(written)
            .map_err(|_| ExpressionProblem::Pattern)?;
        let mut reading = Reading::default();
        let weight = reading.weigh(&ast)?;
        *total = total.saturating_add(weight);
        if *total > MAX_PATTERN_WEIGHT {
            return Err(ExpressionProblem::PatternTooLarge { limit: MAX_PATTERN_WEIGHT });
        }
        let compiled = RegexBuilder::new(&reading.in_ascii(written))
            .size_limit(MAX_COMPILED_BYTES)
            .dfa_size_limit(MAX_CACHE_BYTES)
            .build()
            .map_err(|_| ExpressionProblem::Pattern)?;
        Ok(Pattern { compiled, weight })
    }

    /// Whether the pattern matches somewhere in the text.
    pub(super) fn is_match(&self, text: &str) -> bool {
        self.compiled.is_match(text)
    }

    /// What matching against a text of so many bytes costs, in steps.
    pub(super) fn steps(&self, bytes: usize) -> usize {
        bytes.saturating_mul(self.weight) / 16
    }
}

/// What was met in a pattern that has another meaning by default.
#[derive(Default)]
struct Reading {
    replacements: Vec<(Span, &'static str)>,
}

impl Reading {
    fn weigh(&mut self, ast: &Ast) -> Result<usize, ExpressionProblem> {
        Ok(match ast {
            Ast::Empty(_) => 1,
            Ast::Flags(_) => return Err(refused("flags")),
            Ast::Literal(literal) => of_character(literal.c),
            Ast::Dot(_) => WIDE,
            Ast::Assertion(assertion) => match assertion.kind {
                AssertionKind::StartLine
                | AssertionKind::EndLine
                | AssertionKind::StartText
                | AssertionKind::EndText => 1,
                AssertionKind::WordBoundary => {
                    self.replacements.push((assertion.span, "(?-u:\\b)"));
                    1
                }
                _ => return Err(refused("word boundaries other than \\b")),
            },
            Ast::ClassUnicode(_) => return Err(refused("Unicode classes")),
            Ast::ClassPerl(class) => self.perl(&class.kind, class.negated, class.span),
            Ast::ClassBracketed(class) => {
                let items = match &class.kind {
                    ClassSet::Item(item) => self.weigh_item(item)?,
                    ClassSet::BinaryOp(_) => return Err(refused("operations on classes")),
                };
                items.saturating_add(if class.negated { WIDE } else { 0 })
            }
            Ast::Repetition(repetition) => {
                let times = match &repetition.op.kind {
                    RepetitionKind::Range(
                        RepetitionRange::Exactly(times)
                        | RepetitionRange::AtLeast(times)
                        | RepetitionRange::Bounded(_, times),
                    ) => *times,
                    _ => 1,
                };
                let times = usize::try_from(times).unwrap_or(usize::MAX).max(1);
                self.weigh(&repetition.ast)?.saturating_mul(times)
            }
            Ast::Group(group) => {
                if let GroupKind::NonCapturing(flags) = &group.kind
                    && !flags.items.is_empty()
                {
                    return Err(refused("flags"));
                }
                self.weigh(&group.ast)?.saturating_add(1)
            }
            Ast::Alternation(alternation) => self.sum(&alternation.asts)?,
            Ast::Concat(concat) => self.sum(&concat.asts)?,
        })
    }

    fn sum(&mut self, parts: &[Ast]) -> Result<usize, ExpressionProblem> {
        parts.iter().try_fold(1_usize, |sum, part| Ok(sum.saturating_add(self.weigh(part)?)))
    }

    fn weigh_item(&mut self, item: &ClassSetItem) -> Result<usize, ExpressionProblem> {
        Ok(match item {
            ClassSetItem::Empty(_) | ClassSetItem::Ascii(_) => 1,
            ClassSetItem::Literal(literal) => of_character(literal.c),
            ClassSetItem::Range(range) => of_character(range.end.c),
            ClassSetItem::Unicode(_) => return Err(refused("Unicode classes")),
            ClassSetItem::Perl(class) => self.perl(&class.kind, class.negated, class.span),
            ClassSetItem::Bracketed(_) => return Err(refused("classes in classes")),
            ClassSetItem::Union(union) => union
                .items
                .iter()
                .try_fold(0_usize, |sum, item| Ok(sum.saturating_add(self.weigh_item(item)?)))?,
        })
    }

    fn perl(&mut self, kind: &ClassPerlKind, negated: bool, span: Span) -> usize {
        let ascii = match (kind, negated) {
            (ClassPerlKind::Digit, false) => "[0-9]",
            (ClassPerlKind::Digit, true) => "[^0-9]",
            (ClassPerlKind::Space, false) => "[\\t\\n\\x0c\\r ]",
            (ClassPerlKind::Space, true) => "[^\\t\\n\\x0c\\r ]",
            (ClassPerlKind::Word, false) => "[0-9A-Za-z_]",
            (ClassPerlKind::Word, true) => "[^0-9A-Za-z_]",
        };
        self.replacements.push((span, ascii));
        if negated { WIDE } else { 1 }
    }

    /// The pattern with its classes replaced by those of ASCII.
    fn in_ascii(&self, written: &str) -> String {
        let mut pattern = String::with_capacity(written.len() + 16 * self.replacements.len());
        let mut from = 0;
        // They were met in the order in which they are written.
        for (span, ascii) in &self.replacements {
            pattern.push_str(written.get(from..span.start.offset).unwrap_or_default());
            pattern.push_str(ascii);
            from = span.end.offset;
        }
        pattern.push_str(written.get(from..).unwrap_or_default());
        pattern
    }
}

fn of_character(character: char) -> usize {
    if character.is_ascii() { 1 } else { WIDE }
}

fn refused(what: &'static str) -> ExpressionProblem {
    ExpressionProblem::PatternNotOffered { what }
}
