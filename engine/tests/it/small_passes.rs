//! Passes and products small enough for an interpreter that watches every access to memory (`tools/miri.sh`): packing,
//! portable kernels, the pool's shared slices, pages of keys and values, and attention over them.

use crate::model::{bits, options};
use crate::tiny::{Random, TinyModel, random_rows};
use cloister_engine::kernels::{Activations, Kernels, Needs, Product, multiply};
use cloister_engine::pool::Pool;
use cloister_engine::quant::{Matrix, WeightType, dequantize};
use cloister_engine::{CancelFlag, Generator, TokenId};

/// One layer, heads of a size that is filled up in the cache, and matrices whose last tile is not full.
const SMALL: TinyModel = TinyModel {
    kind: WeightType::Q8_0,
    width: 32,
    inner: 32,
    layers: 1,
    heads: 4,
    key_heads: 2,
    dim: 8,
    rope_factors: false,
    ..TinyModel::LLAMA
};

fn load(model: &TinyModel, threads: usize) -> Generator {
    let file = tempfile::NamedTempFile::new().unwrap();
    model.write(file.path(), 3);
    Generator::load(file.path(), &options(threads)).unwrap()
}

fn after(generator: &Generator, pieces: &[&[TokenId]]) -> Vec<u32> {
    let mut sequence = generator.sequence();
    pieces.iter().for_each(|piece| generator.prefill(&mut sequence, piece, &CancelFlag::new()).unwrap());
    bits(generator.logits(&sequence))
}

#[test]
fn pieces_and_threads_change_no_bit() {
    let experts = TinyModel::ALL.iter().find(|model| model.architecture == "gpt-oss").unwrap();
    let experts = TinyModel { expert_inner: 256, ..*experts };
    let mut small = vec![SMALL, TinyModel { kind: WeightType::F32, heads: 2, dim: 6, inner: 40, ..SMALL }];
    if !cfg!(miri) {
        small.push(experts);
    }
    for model in small {
        let (one, two) = (load(&model, 1), load(&model, 2));
        let whole = after(&one, &[&[5, 256, 0, 17, 99]]);
        assert_eq!(after(&two, &[&[5, 256, 0, 17, 99]]), whole);
        assert_eq!(after(&two, &[&[5], &[256, 0], &[17], &[99]]), whole);
    }
}

#[test]
fn sequences_share_pages_until_they_part() {
    let generator = load(&SMALL, 2);
    let tokens: Vec<TokenId> = (0..67).map(|at| at * 31 % 257).collect();
    let cancel = CancelFlag::new();
    let mut first = generator.sequence();
    generator.prefill(&mut first, &tokens[..66], &cancel).unwrap();
    let mut second = first.clone();
    generator.prefill_many(&mut [(&mut first, &tokens[66..]), (&mut second, &[7])], &cancel).unwrap();
    assert_ne!(bits(generator.logits(&first)), bits(generator.logits(&second)));
    second.truncate(65);
    generator.prefill(&mut second, &tokens[65..], &cancel).unwrap();
    assert_eq!(bits(generator.logits(&first)), bits(generator.logits(&second)));
}

#[test]
fn every_type_is_packed_and_multiplied() {
    let random = &mut Random::new(9);
    let (one, two) = (Pool::new(1), Pool::new(2));
    let (rows, outputs) = (3, 17);
    let inputs: Vec<f32> = (0..rows * 256).map(|_| random.normal()).collect();
    for kind in WeightType::ALL {
        // One block of the type at the least; the interpreter gets no more.
        let cols = if cfg!(miri) { kind.block_values().max(32) } else { 256 };
        let bytes = random_rows(kind, outputs, cols, random);
        let mut weights = vec![0.0; outputs * cols];
        dequantize(kind, &bytes, &mut weights);
        let matrix = Matrix::pack(kind, outputs, cols, &bytes, &two).unwrap();
        let run = |pool: &Pool| {
            let mut input = Activations::default();
            input.fill(pool, Kernels::detect(), (rows, cols), Needs::of([&matrix]), |row, out| {
                out.copy_from_slice(&inputs[row * cols..][..cols]);
            });
            let mut out = vec![0.0; rows * outputs];
            let product = Product { weights: &matrix, bias: None, out: &mut out, accumulate: false };
            multiply(pool, Kernels::detect(), &input, &mut [product]);
            out
        };
        let found = run(&two);
        assert_eq!(bits(&found), bits(&run(&one)), "{}", kind.name());
        for (row, input) in inputs.chunks_exact(cols).take(rows).enumerate() {
            for (column, weights) in weights.chunks_exact(cols).enumerate() {
                let exact: f32 = input.iter().zip(weights).map(|(input, weight)| input * weight).sum();
                let size: f32 = input.iter().zip(weights).map(|(input, weight)| (input * weight).abs()).sum();
                let value = found[row * outputs + column];
                assert!((value - exact).abs() < 0.01 * size, "{}: {value} for {exact}", kind.name());
            }
        }
    }
}
