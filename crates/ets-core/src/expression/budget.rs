//! What an evaluation may cost.
//!
//! Steps and bytes are counted, not measured, so that every machine stops at the
//! same place. `docs/rules.md` says what is charged; the figures are part of the
//! engine's profile.

use super::error::EvaluationError;

/// The most steps of one evaluation. A step is one operation of the expression,
/// one item that an operation visits, or [`BYTES_PER_STEP`] bytes of text that
/// it reads.
pub const MAX_STEPS: u64 = 500_000;
/// The most bytes that one evaluation may build, all its values together, also
/// those that it drops: text by its length, a list by [`ITEM_BYTES`] an item, a
/// map by [`MAP_BYTES`], and by [`ENTRY_BYTES`] and its key's length an entry.
pub const MAX_ALLOCATED_BYTES: u64 = 4 << 20;

/// The bytes of text that are read for one step.
pub(super) const BYTES_PER_STEP: usize = 64;
/// What an item of a list counts for, in bytes, beside what it refers to.
pub(super) const ITEM_BYTES: usize = 32;
/// What a map counts for, in bytes, beside its entries.
pub(super) const MAP_BYTES: usize = 256;
/// What an entry of a map counts for, in bytes, beside its key's length and
/// what it refers to.
pub(super) const ENTRY_BYTES: usize = 64;

/// What is left of the limits.
#[derive(Debug)]
pub(super) struct Budget {
    steps: u64,
    bytes: u64,
}

impl Budget {
    pub(super) fn new() -> Self {
        Budget { steps: MAX_STEPS, bytes: MAX_ALLOCATED_BYTES }
    }

    /// Charges one step.
    #[inline]
    pub(super) fn step(&mut self) -> Result<(), EvaluationError> {
        self.steps(1)
    }

    #[inline]
    pub(super) fn steps(&mut self, count: usize) -> Result<(), EvaluationError> {
        match self.steps.checked_sub(wide(count)) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => Err(self.exhaust(EvaluationError::BudgetSteps)),
        }
    }

    /// Charges for reading `bytes` of text.
    #[inline]
    pub(super) fn read(&mut self, bytes: usize) -> Result<(), EvaluationError> {
        self.steps(bytes / BYTES_PER_STEP)
    }

    /// Charges for building `bytes` of values.
    #[inline]
    pub(super) fn allocate(&mut self, bytes: usize) -> Result<(), EvaluationError> {
        match self.bytes.checked_sub(wide(bytes)) {
            Some(left) => {
                self.bytes = left;
                Ok(())
            }
            None => Err(self.exhaust(EvaluationError::BudgetMemory)),
        }
    }

    /// Nothing goes on after a limit was passed.
    #[cold]
    fn exhaust(&mut self, error: EvaluationError) -> EvaluationError {
        (self.steps, self.bytes) = (0, 0);
        error
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
