//! One byte form for a JSON value: RFC 8785 (sorted keys, no white space, ECMAScript numbers).

use std::fmt::Write as _;

use serde_json::{Number, Value};

/// Largest integer that every JSON reader keeps exact (RFC 7493, section 2.2).
pub(crate) const INTEGER_MAX: u64 = (1 << 53) - 1;

/// The canonical text of a value. Nesting is the caller's to limit; integers beyond [`INTEGER_MAX`] lose their last digits.
pub(crate) fn to_string(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number_text(number)),
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut keys: Vec<&String> = members.keys().collect();
            keys.sort_by(|left, right| left.encode_utf16().cmp(right.encode_utf16()));
            out.push('{');
            for (place, key) in keys.into_iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write_string(out, key);
                out.push(':');
                write_value(out, &members[key]);
            }
            out.push('}');
        }
    }
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            control if control < ' ' => write!(out, "\\u{:04x}", control as u32).expect("a string takes all text"),
            other => out.push(other),
        }
    }
    out.push('"');
}

/// A number as ECMAScript's `Number::toString` writes it.
fn number_text(number: &Number) -> String {
    if let Some(integer) = number.as_u64().filter(|n| *n <= INTEGER_MAX) {
        return integer.to_string();
    }
    if let Some(integer) = number.as_i64().filter(|n| n.unsigned_abs() <= INTEGER_MAX) {
        return integer.to_string();
    }
    float_text(number.as_f64().expect("a JSON number is an integer or a double"))
}

fn float_text(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    // Rust prints the shortest digits that read back as the same double, which is what ECMAScript asks for too.
    let scientific = format!("{:e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e').expect("the `e` format has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent of a double is a small integer");
    let digits = even_digits(value.abs(), mantissa.chars().filter(char::is_ascii_digit).collect());
    let sign = if value < 0.0 { "-" } else { "" };
    // `point` is the place of the decimal point counted from the first digit, `n` in the ECMAScript text.
    let point = exponent + 1;
    let count = digits.len() as i32;
    let body = if (count..=21).contains(&point) {
        format!("{digits}{}", "0".repeat((point - count) as usize))
    } else if (1..=21).contains(&point) {
        format!("{}.{}", &digits[..point as usize], &digits[point as usize..])
    } else if (-5..=0).contains(&point) {
        format!("0.{}{digits}", "0".repeat(-point as usize))
    } else {
        let fraction = if count > 1 { format!(".{}", &digits[1..]) } else { String::new() };
        format!("{}{fraction}e{}{}", &digits[..1], if exponent < 0 { '-' } else { '+' }, exponent.abs())
    };
    format!("{sign}{body}")
}

/// ECMAScript takes the even one of two equally near last digits, Rust may print the odd one above.
fn even_digits(value: f64, mut digits: String) -> String {
    let last = digits.pop().expect("a number has a digit");
    let count = digits.len() + 1;
    if matches!(last, '1' | '3' | '5' | '7' | '9') {
        // No double has this many zeros between two parts of its expansion, so a tie shows as a 5 and zeros to the end.
        let exact: String =
            format!("{value:.60e}").chars().take_while(|c| *c != 'e').filter(char::is_ascii_digit).collect();
        let below = char::from(last as u8 - 1);
        let is_tie = exact.starts_with(&digits)
            && exact[count - 1..].starts_with(below)
            && exact[count..].starts_with('5')
            && exact[count + 1..].bytes().all(|digit| digit == b'0');
        digits.push(if is_tie { below } else { last });
    } else {
        digits.push(last);
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_ecmascript_does() {
        // Sample values of RFC 8785, appendix B, by their bits.
        for (bits, text) in [
            (0x0000_0000_0000_0000, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            assert_eq!(float_text(f64::from_bits(bits)), text);
        }
    }

    #[test]
    fn keys_are_sorted_by_utf16_and_strings_escaped() {
        let value = serde_json::json!({"\u{20ac}": "Euro", "\r": 1, "\u{fb33}": 2, "1": 3, "\u{1f600}": 4, "\u{80}": 5, "\u{f6}": "a\"\\\u{1}\u{7f}/\n"});
        let expected = "{\"\\r\":1,\"1\":3,\"\u{80}\":5,\"\u{f6}\":\"a\\\"\\\\\\u0001\u{7f}/\\n\",\"\u{20ac}\":\"Euro\",\"\u{1f600}\":4,\"\u{fb33}\":2}";
        assert_eq!(to_string(&value), expected);
    }
}
