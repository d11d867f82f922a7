//! What was measured of the models: one table of constants.

use cloister_engine::ModelInfo;

/// How a model's judgement is to be taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Profile {
    /// Name of the row, kept in receipts.
    pub(crate) name: &'static str,
    /// Models up to so many weights use this row.
    parameters_max: u64,
    /// Least margin of Yes over No (natural logarithm of the odds) of the best passage for an answer to be tried.
    pub(crate) answer_min: f32,
    /// Passages whose margin lies further below the best one's are not used for the answer.
    pub(crate) spread_max: f32,
    /// Weight of the place in the search result beside the margin: the margin loses this much for each doubling.
    pub(crate) rank_weight: f32,
}

/// The table; a model without a row of its own takes the row of its size.
///
/// `usual` is measured with the 1.5B default on 30 answerable and 15 unanswerable questions about clauses of a contract
/// (six passages each): best margins of the two kinds part with an AUC of 0.77; at -0.2 two thirds of the first kind are
/// let through and a quarter of the second, at 0.25 43 % and none. `tiny` and `small` are set by hand.
const PROFILES: &[Profile] = &[
    Profile { name: "tiny", parameters_max: 300_000_000, answer_min: -1.0, spread_max: 0.5, rank_weight: 0.5 },
    Profile { name: "small", parameters_max: 900_000_000, answer_min: -0.5, spread_max: 1.0, rank_weight: 0.5 },
    Profile { name: "usual", parameters_max: u64::MAX, answer_min: -0.2, spread_max: 0.6, rank_weight: 0.1 },
];

impl Profile {
    /// The row for a model.
    pub(crate) fn of(info: &ModelInfo) -> Self {
        let row = PROFILES.iter().find(|row| info.parameters <= row.parameters_max);
        *row.unwrap_or(&PROFILES[PROFILES.len() - 1])
    }

    /// The score by which passages are ordered after reading; `rank` counts from 0.
    pub(crate) fn score(&self, margin: f32, rank: usize) -> f32 {
        margin - self.rank_weight * ((rank + 1) as f32).log2()
    }
}
