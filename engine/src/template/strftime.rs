//! Dates for templates that ask for today.

use minijinja::{Error, ErrorKind};

/// A moment as a template sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Year, for example 2026.
    pub year: u16,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, 1 to 31.
    pub day: u8,
    /// Hour, 0 to 23.
    pub hour: u8,
    /// Minute, 0 to 59.
    pub minute: u8,
    /// Second, 0 to 59.
    pub second: u8,
}

impl Default for Moment {
    /// The day that the templates of the Llama 3 family name when nobody tells them another.
    fn default() -> Self {
        Self { year: 2024, month: 7, day: 26, hour: 0, minute: 0, second: 0 }
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

impl Moment {
    /// Formats as C's `strftime` does, with the directives that templates use; another one is an error.
    pub(super) fn format(self, format: &str) -> Result<String, Error> {
        let mut out = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let directive = chars.next().unwrap_or('%');
            let text = self.directive(directive).ok_or_else(|| {
                Error::new(ErrorKind::InvalidOperation, format!("strftime_now does not know %{directive}"))
            })?;
            out.push_str(&text);
        }
        Ok(out)
    }

    fn directive(self, directive: char) -> Option<String> {
        let month = MONTHS[usize::from(self.month.clamp(1, 12)) - 1];
        let day = DAYS[self.weekday()];
        Some(match directive {
            'Y' => format!("{:04}", self.year),
            'y' => format!("{:02}", self.year % 100),
            'm' => format!("{:02}", self.month),
            'B' => month.to_owned(),
            'b' => month[..3].to_owned(),
            'd' => format!("{:02}", self.day),
            'e' => format!("{:2}", self.day),
            'A' => day.to_owned(),
            'a' => day[..3].to_owned(),
            'H' => format!("{:02}", self.hour),
            'M' => format!("{:02}", self.minute),
            'S' => format!("{:02}", self.second),
            'F' => format!("{:04}-{:02}-{:02}", self.year, self.month, self.day),
            'T' => format!("{:02}:{:02}:{:02}", self.hour, self.minute, self.second),
            '%' => "%".to_owned(),
            _ => return None,
        })
    }

    /// Days after Sunday (Sakamoto's method).
    fn weekday(self) -> usize {
        const SHIFT: [usize; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
        let month = usize::from(self.month.clamp(1, 12));
        let year = usize::from(self.year) - usize::from(month < 3 && self.year > 0);
        (year + year / 4 - year / 100 + year / 400 + SHIFT[month - 1] + usize::from(self.day)) % 7
    }
}

#[cfg(test)]
mod tests {
    use super::Moment;

    #[test]
    fn formats() {
        let moment = Moment { year: 2026, month: 2, day: 3, hour: 4, minute: 5, second: 6 };
        let rows = [
            ("%d %b %Y", "03 Feb 2026"),
            ("%A, %B %e, %y", "Tuesday, February  3, 26"),
            ("%F %T 100%%", "2026-02-03 04:05:06 100%"),
        ];
        for (format, wanted) in rows {
            assert_eq!(moment.format(format).expect("known directives"), wanted);
        }
        assert_eq!(Moment::default().format("%a").expect("known"), "Fri");
        assert!(moment.format("%q").is_err());
    }
}
