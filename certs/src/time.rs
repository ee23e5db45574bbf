//! Moments as this crate's callers, certificates and files know them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::time::ASN1Time;

pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Whole seconds since 1970; 0 for moments before that.
pub(crate) fn unix_seconds(moment: SystemTime) -> u64 {
    moment.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// `moment` cut to whole seconds, as a certificate holds it; `None` beyond the year 9999.
pub(crate) fn certificate_time(moment: SystemTime) -> Option<ASN1Time> {
    let seconds = i64::try_from(unix_seconds(moment)).ok()?;
    ASN1Time::from_timestamp(seconds).ok()
}

/// The moment that a certificate names; `None` before 1970.
pub(crate) fn system_time(moment: ASN1Time) -> Option<SystemTime> {
    let seconds = u64::try_from(moment.timestamp()).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}
