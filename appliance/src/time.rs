//! Times as texts of one width.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// `2026-01-02T03:04:05.678Z`: sorts as text.
pub(crate) fn text(time: OffsetDateTime) -> String {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    time.to_offset(time::UtcOffset::UTC).format(&form).expect("every part of the form is part of a date with time")
}

/// Reads RFC 3339 with any offset.
pub(crate) fn parse(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_one_width_and_come_back() {
        let time = OffsetDateTime::from_unix_timestamp(1_700_000_000).expect("in range");
        assert_eq!(text(time), "2023-11-14T22:13:20.000Z");
        assert_eq!(parse(&text(time)), Some(time));
        assert_eq!(parse("2023-11-14T23:13:20+01:00"), Some(time));
        assert_eq!(parse("yesterday"), None);
    }
}
