//! Reads how long something is good: `90s`, `30m`, `24h`, `7d`, or a number of seconds.

/// The seconds that `text` means, at least 1.
pub fn seconds(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) => (number, text.chars().last()),
        None => (text, None),
    };
    let seconds_each = match unit {
        Some('m') => 60,
        Some('h') => 60 * 60,
        Some('d') => 24 * 60 * 60,
        _ => 1,
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds_each));
    seconds
        .filter(|seconds| *seconds > 0)
        .ok_or_else(|| "give a time like 90s, 30m, 24h or 7d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_or_is_seconds() {
        for (text, expected) in [("90", 90), ("90s", 90), ("30m", 1800), ("24h", 86_400)] {
            assert_eq!(seconds(text), Ok(expected));
        }
        assert_eq!(seconds("7d"), Ok(604_800));
        for wrong in ["", "0", "0h", "h", "-1s", "1.5h", "1w", "99999999999999999999d", "1ä"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
