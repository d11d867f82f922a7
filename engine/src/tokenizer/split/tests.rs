use super::*;

/// A name with a text and the words it must give.
type Row = (&'static str, &'static str, &'static [&'static str]);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("gpt-2", "I'll go  home\n\n now 1234!?", &["I", "'ll", " go", " ", " home", "\n\n", " now", " 1234", "!?"]),
    ("gpt-2", "it'S 'tis \t x  ", &["it", "'", "S", " '", "tis", " \t", " x", "  "]),
    ("gpt-2", "", &[]),
    ("smollm", "a 12½x", &["a", " ", "1", "2", "½", "x"]),
    ("smollm", "x  5", &["x", "  ", "5"]),
    ("llama-bpe", "IT'S $foo 12345\r\n\r\n x", &["IT", "'S", " $", "foo", " ", "123", "45", "\r\n\r\n", " x"]),
    ("qwen2", "a  \n  b.\n\nc 99", &["a", "  \n", " ", " b", ".\n\n", "c", " ", "9", "9"]),
    ("qwen2", "été\u{301} 文字\u{a0}ok ", &["été", "\u{301}", " 文字", "\u{a0}ok", " "]),
    ("qwen35", "été\u{301}s \u{301}\u{302}.\u{301}", &["été\u{301}s", " \u{301}\u{302}", ".\u{301}"]),
    ("seed-coder", "a.\n\n  \nb", &["a", ".", "\n\n  \n", "b"]),
    ("ufakzeka", "Ali'nin", &["Ali", "'nin"]),
    ("minicpm5", "x 12345", &["x", " ", "123", "45"]),
    ("laguna", "a.\n\nb  \n", &["a", ".", "\n\n", "b", "  ", "\n"]),
    ("default", "a=b, 12345 x", &["a", "=", "b", ",", " ", "123", "45", " x"]),
    ("falcon", "a`b 12345 1", &["a", "`", "b", " ", "123", "45", " 1"]),
    ("gpt-4o", "HelloWorld ABCdef XML's ab/c//\n12345", &["Hello", "World", " ABCdef", " XML's", " ab", "/c", "//\n", "123", "45"]),
    ("gpt-4o", "ÄÖÜber 文A\u{301}B ǅa -a\n", &["ÄÖÜber", " 文A\u{301}", "B", " ǅa", " -", "a", "\n"]),
    ("tekken", "don't 12Über", &["don", "'t", " ", "1", "2", "Über"]),
    ("kimi-k2", "文字abc々ABcd's!/\n", &["文字", "abc", "々", "ABcd's", "!/\n"]),
    ("deepseek-v3", "a1234 カナ文x .foo\n\n\u{1}\u{2}b$€\r\n", &["a", "123", "4", " ", "カナ文", "x", " .", "foo", "\n\n", "\u{1}", "\u{2}b", "$€\r\n"]),
    ("deepseek-llm", "Hi there, 漢字 123\n  x  ", &["Hi", " there", ",", " ", "漢字", " ", "123", "\n", " ", " x", "  "]),
    ("deepseek-llm", "é\u{3000}b", &["é", "\u{3000}", "b"]),
    ("deepseek-coder", "é f(x) = 12;\n", &["é", " f", "(", "x", ")", " = ", "1", "2", ";", "\n"]),
    ("bloom", "Yes, (it is) 12.", &["Yes", ", (", "it", " is", ")", " 12", "."]),
    ("viking", "a 12.", &["a", " ", "1", "2", "."]),
    ("gemma4", "a b\n\nc", &["a b", "\n\n", "c"]),
];

const NAMES: [&str; 18] = [
    "default",
    "gpt-2",
    "smollm",
    "falcon",
    "llama-bpe",
    "qwen2",
    "qwen35",
    "seed-coder",
    "minicpm5",
    "laguna",
    "gpt-4o",
    "tekken",
    "kimi-k2",
    "deepseek-v3",
    "deepseek-llm",
    "deepseek-coder",
    "viking",
    "gemma4",
];

fn words<'a>(name: &str, text: &'a str) -> Vec<&'a str> {
    let mut words = Vec::new();
    Pretokenizer::by_name(name).expect("a known name").split.words(text, &mut |word| words.push(word));
    assert_eq!(words.concat(), text, "{name}");
    assert!(words.iter().all(|word| !word.is_empty()), "{name} {text:?}");
    words
}

#[test]
fn rows() {
    for (name, text, wanted) in ROWS {
        assert_eq!(&words(name, text), wanted, "{name} {text:?}");
    }
}

#[test]
fn every_split_of_a_long_line_is_linear() {
    for name in NAMES {
        for pattern in
            ["a", "A", " ", "\n ", "1", "!", "'", "é", "\u{2003}", " a", "<1", "\u{301}", "文A", "\u{1}", "\u{3000}"]
        {
            let text = pattern.repeat((1 << 18) / pattern.len());
            words(name, &text);
        }
    }
}

#[test]
fn all_characters_between_others() {
    for name in NAMES {
        let text: String =
            (0..=0x2ffff).filter_map(char::from_u32).flat_map(|c| [' ', c, 'a', c, 'B', c, '1', c]).collect();
        words(name, &text);
    }
}
