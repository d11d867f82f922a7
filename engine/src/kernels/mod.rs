//! Vector arithmetic: one set of kernels written over sixteen lanes, and three ways to carry the lanes out.
//!
//! `Simd` names the few operations the kernels need. Each implementation does the same operations on the same sixteen
//! lanes in the same order, and floats are combined by IEEE operations and fused multiply-adds alone. So the results of
//! all three are equal bit for bit, and a row's result depends on nothing but its inputs.

mod activations;
mod attend;
pub(crate) mod attend_all;
mod avx2;
mod avx512;
mod ceiling;
mod dense;
pub(crate) mod encoder_rows;
mod forms;
mod gated;
pub(crate) mod gemm_i8;
mod integer;
mod matmul;
mod portable;
pub(crate) mod rows;
mod simd;

pub use activations::{Activations, Needs};
pub(crate) use attend::{
    AnyPage, AttendScratch, AttendTask, DIM_MAX, FEW_ROWS, Goal, JoinPages, NarrowView, NarrowViewMut, PageView,
    PageViewMut, StoreNarrow, StoreToken, TILE_ROWS, gain_length,
};
pub use ceiling::Ceilings;
pub(crate) use gated::{GatedMatrix, can_gate, multiply_gated};
pub(crate) use integer::Line;
pub use matmul::{Product, multiply};
pub(crate) use simd::{Simd, Task};

use avx2::Avx2;
use avx512::Avx512;
use portable::Portable;

/// The set of kernels for this processor, chosen once.
///
/// A value for an instruction set can be made only by [`Kernels::detect`] or [`Kernels::available`], after the processor
/// was asked for it.
#[derive(Clone, Copy, Debug)]
pub struct Kernels(Set);

#[derive(Clone, Copy, Debug)]
enum Set {
    Portable(Portable),
    Avx2(Avx2),
    Avx512(Avx512),
}

impl Kernels {
    /// The fastest set that this processor has.
    pub fn detect() -> Self {
        Self(
            Avx512::detect()
                .map(Set::Avx512)
                .or_else(|| Avx2::detect().map(Set::Avx2))
                .unwrap_or(Set::Portable(Portable)),
        )
    }

    /// The plain set, which every processor has.
    pub fn portable() -> Self {
        Self(Set::Portable(Portable))
    }

    /// Every set that this processor has, the plain one first.
    pub fn available() -> Vec<Self> {
        let sets = [Some(Set::Portable(Portable)), Avx2::detect().map(Set::Avx2), Avx512::detect().map(Set::Avx512)];
        sets.into_iter().flatten().map(Self).collect()
    }

    /// The name of the instruction set.
    pub fn name(self) -> &'static str {
        match self.0 {
            Set::Portable(_) => "portable",
            Set::Avx2(_) => "avx2",
            Set::Avx512(_) => "avx512-vnni",
        }
    }

    /// Runs a task with the lanes of this set.
    pub(crate) fn run<T: Task>(self, task: T) -> T::Output {
        match self.0 {
            Set::Portable(simd) => task.run(simd),
            Set::Avx2(simd) => simd.enter(task),
            Set::Avx512(simd) => simd.enter(task),
        }
    }
}
