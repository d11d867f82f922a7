//! Generation: greedy equality with stepwise scoring, every way to end, masks and events.

use crate::model::tiny;
use crate::tiny::TinyModel;
use cloister_engine::quant::WeightType;
use cloister_engine::{
    CancelFlag, EngineError, Finish, GenerateOptions, Generation, Generator, Sequence, TokenEvent, TokenId, TokenMask,
};
use std::ops::ControlFlow;

const PROMPT: [TokenId; 4] = [72, 101, 108, 111];

fn model() -> Generator {
    tiny(&TinyModel { kind: WeightType::Q8_0, ..TinyModel::QWEN2 })
}

fn prompted(model: &Generator) -> Sequence {
    let mut sequence = model.sequence();
    model.prefill(&mut sequence, &PROMPT, &CancelFlag::new()).unwrap();
    sequence
}

fn go_on(_: &TokenEvent<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn run(model: &Generator, options: &GenerateOptions, mask: Option<&mut dyn TokenMask>) -> Generation {
    model.generate(&mut prompted(model), options, mask, &CancelFlag::new(), &mut go_on).unwrap()
}

fn greedy(max_tokens: usize) -> GenerateOptions {
    GenerateOptions { max_tokens, ..GenerateOptions::default() }
}

/// Admits letters and space only, so that texts can be read.
struct Letters;

impl TokenMask for Letters {
    fn admit(&mut self, _generated: &[TokenId], logits: &mut [f32]) {
        for (id, logit) in logits.iter_mut().enumerate() {
            if !(id as u8).is_ascii_lowercase() || id > 255 {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}

#[test]
fn greedy_tokens_are_the_likeliest_of_each_step() {
    let model = model();
    let done = run(&model, &GenerateOptions { top_logprobs: 3, ..greedy(40) }, None);
    assert_eq!((done.tokens.len(), done.finish), (40, Finish::Length));
    let all: Vec<TokenId> = PROMPT.into_iter().chain(done.tokens.iter().copied()).collect();
    model
        .score(&all, &mut |row, logits| {
            let Some(step) = (row + 1).checked_sub(PROMPT.len()).filter(|&step| step < 40) else { return };
            let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
            assert_eq!(done.tokens[step] as usize, best, "step {step}");
            let total: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
            let expected = f64::from(logits[best]) - total.ln();
            assert!((f64::from(done.logprobs[step]) - expected).abs() < 1e-4);
            assert_eq!(done.top_logprobs[step].len(), 3);
            assert_eq!(done.top_logprobs[step][0], (best as TokenId, done.logprobs[step]));
            assert!(done.top_logprobs[step].is_sorted_by(|a, b| a.1 >= b.1));
        })
        .unwrap();
}

#[test]
fn masks_rule_and_an_empty_mask_ends() {
    struct Nothing;
    impl TokenMask for Nothing {
        fn admit(&mut self, generated: &[TokenId], logits: &mut [f32]) {
            if generated.len() == 3 {
                logits.fill(f32::NEG_INFINITY);
            }
        }
    }
    let model = model();
    let done = run(&model, &greedy(30), Some(&mut Letters));
    assert!(done.text.len() == 30 && done.text.bytes().all(|byte| byte.is_ascii_lowercase()), "{}", done.text);
    let done = run(&model, &greedy(30), Some(&mut Nothing));
    assert_eq!((done.tokens.len(), done.finish), (3, Finish::Mask));
}

#[test]
fn stop_texts_cut_the_text_and_are_never_shown() {
    let model = model();
    let whole = run(&model, &greedy(30), Some(&mut Letters)).text;
    // A stop text in the middle, one that never comes, and one whose beginning ends the text.
    let stop = whole[10..13].to_owned();
    let expected = &whole[..whole.find(&stop).unwrap()];
    let options = GenerateOptions { stop: vec!["#".to_owned(), stop.clone()], ..greedy(30) };
    let mut shown = String::new();
    let done = model
        .generate(&mut prompted(&model), &options, Some(&mut Letters), &CancelFlag::new(), &mut |event| {
            shown.push_str(event.text);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!((done.text.as_str(), done.finish), (expected, Finish::Stop));
    assert_eq!(shown, expected);
    let almost = format!("{}#", &whole[28..]);
    let done = run(&model, &GenerateOptions { stop: vec![almost], ..greedy(30) }, Some(&mut Letters));
    assert_eq!((done.text.as_str(), done.tail.as_str()), (whole.as_str(), &whole[28..]));
}

#[test]
fn an_end_token_ends_without_being_part_of_the_text() {
    struct End;
    impl TokenMask for End {
        fn admit(&mut self, generated: &[TokenId], logits: &mut [f32]) {
            if generated.len() == 2 {
                logits[..256].fill(f32::NEG_INFINITY);
            } else {
                logits[256] = f32::NEG_INFINITY;
            }
        }
    }
    let done = run(&model(), &greedy(30), Some(&mut End));
    assert_eq!((done.tokens.len(), done.finish), (2, Finish::Stop));
}

#[test]
fn cancelling_keeps_what_was_generated() {
    let model = model();
    let cancel = CancelFlag::new();
    let mut count = 0;
    let done = model
        .generate(&mut prompted(&model), &greedy(30), None, &cancel, &mut |_| {
            count += 1;
            if count == 5 {
                cancel.cancel();
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!((done.tokens.len(), done.finish), (5, Finish::Cancelled));
    let mut stop_at_once = |_: &TokenEvent<'_>| ControlFlow::Break(());
    let done = model.generate(&mut prompted(&model), &greedy(30), None, &CancelFlag::new(), &mut stop_at_once).unwrap();
    assert_eq!((done.tokens.len(), done.finish), (1, Finish::Cancelled));
}

#[test]
fn a_full_context_ends_and_an_empty_sequence_is_refused() {
    let model = model();
    let mut sequence = model.sequence();
    model.prefill(&mut sequence, &[65; 510], &CancelFlag::new()).unwrap();
    struct NoEnd;
    impl TokenMask for NoEnd {
        fn admit(&mut self, _generated: &[TokenId], logits: &mut [f32]) {
            logits[256] = f32::NEG_INFINITY;
        }
    }
    let done = model.generate(&mut sequence, &greedy(30), Some(&mut NoEnd), &CancelFlag::new(), &mut go_on).unwrap();
    assert_eq!((done.tokens.len(), done.finish), (3, Finish::Context));
    let error = model.generate(&mut model.sequence(), &greedy(1), None, &CancelFlag::new(), &mut go_on).unwrap_err();
    assert!(matches!(error, EngineError::InvalidInput(_)));
}

#[test]
fn callers_on_several_threads_get_what_they_get_alone() {
    let model = model();
    let expected = run(&model, &greedy(20), None).tokens;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(run(&model, &greedy(20), None).tokens, expected));
        }
    });
}
