//! What the machine can do at most in this minute: integer products and memory reads, the ceilings that speeds are compared with.
#![expect(clippy::inline_always, reason = "kernel code must end up inside the function that enables its instructions")]

use super::{Kernels, Simd, Task};
use crate::pool::Pool;
use memmap2::MmapMut;
use std::hint::black_box;
use std::time::Instant;

/// Sums that grow side by side, so that no product waits for the one before.
const SUMS: usize = 24;
/// Products of each sum in one slice of work.
const ROUNDS: usize = 1 << 18;
/// Multiplications in one product of sixteen lanes with four bytes each.
const LANE_PRODUCTS: usize = 64;
/// Bytes read through in each run: far more than any cache holds.
const READ_BYTES: usize = 1 << 30;
/// Bytes that a thread takes at a time.
const PIECE_BYTES: usize = 1 << 21;

/// Ceilings, run by run.
#[derive(Debug, Clone)]
pub struct Ceilings {
    /// Multiplications of 8-bit integers a second, each with its addition, over all threads.
    pub products_per_second: Vec<f64>,
    /// Bytes of memory read a second, over all threads.
    pub bytes_per_second: Vec<f64>,
}

impl Ceilings {
    /// Measures both `runs` times with as many threads as given, after one run that is not counted. Takes a gibibyte of memory.
    ///
    /// # Errors
    /// When the memory cannot be had.
    pub fn measure(threads: usize, runs: usize) -> std::io::Result<Self> {
        let (pool, kernels) = (Pool::new(threads), Kernels::detect());
        let mut memory = MmapMut::map_anon(READ_BYTES)?;
        #[cfg(target_os = "linux")]
        drop(memory.advise(memmap2::Advice::HugePage));
        pool.chunks(&mut memory, PIECE_BYTES, |_, piece| piece.fill(1));
        let products = |pool: &Pool| {
            pool.run(pool.threads(), &|_| {
                black_box(kernels.run(Multiply { rounds: ROUNDS }));
            });
            (pool.threads() * ROUNDS * SUMS * LANE_PRODUCTS) as f64
        };
        let reads = |pool: &Pool| {
            pool.run(READ_BYTES / PIECE_BYTES, &|index| {
                black_box(kernels.run(Read { bytes: &memory[index * PIECE_BYTES..][..PIECE_BYTES] }));
            });
            READ_BYTES as f64
        };
        Ok(Self { products_per_second: rates(&pool, runs, products), bytes_per_second: rates(&pool, runs, reads) })
    }
}

fn rates(pool: &Pool, runs: usize, work: impl Fn(&Pool) -> f64) -> Vec<f64> {
    work(pool);
    let rate = |_| {
        let start = Instant::now();
        let done = work(pool);
        done / start.elapsed().as_secs_f64()
    };
    (0..runs).map(rate).collect()
}

struct Multiply {
    rounds: usize,
}

impl Task for Multiply {
    type Output = i32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> i32 {
        let weights = simd.load_line(black_box(&[1; 64]));
        let quad = black_box(0x0101_0101);
        let mut sums = [simd.ints(0); SUMS];
        for _ in 0..self.rounds {
            for sum in &mut sums {
                *sum = simd.dot(*sum, weights, quad);
            }
        }
        sums.into_iter().fold(0, |all, sum| all ^ simd.sum_ints(sum))
    }
}

struct Read<'a> {
    bytes: &'a [u8],
}

impl Task for Read<'_> {
    type Output = i32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> i32 {
        let mut sums = [simd.ints(0); 8];
        for lines in self.bytes.as_chunks::<64>().0.as_chunks::<8>().0 {
            for (sum, line) in sums.iter_mut().zip(lines) {
                *sum = simd.dot(*sum, simd.load_line(line), 0x0101_0101);
            }
        }
        sums.into_iter().fold(0, |all, sum| all ^ simd.sum_ints(sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_read_and_every_product_made() {
        for kernels in Kernels::available() {
            assert_eq!(kernels.run(Read { bytes: &[1; 512 * 3] }), 0, "eight equal sums");
            assert_eq!(
                kernels.run(Read {
                    bytes: &[[1; 64], [2; 64], [0; 64], [0; 64], [0; 64], [0; 64], [0; 64], [0; 64]].concat()
                }),
                64 ^ 128
            );
            assert_eq!(kernels.run(Multiply { rounds: 3 }), 0, "an even number of equal sums");
        }
    }
}
