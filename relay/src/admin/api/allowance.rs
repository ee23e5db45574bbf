//! Reads what an agent may be asked: how fast, how much at a time, which methods.

use crate::admin::body::{Fields, Given};
use crate::admin::problem::Problem;
use crate::methods::Methods;
use crate::registry::{Allowance, IN_FLIGHT_MAX, Rate};

/// All three; what is left out is not limited.
pub(super) fn read_allowance(fields: &Fields) -> Result<Allowance, Problem> {
    Ok(Allowance {
        rate: read_rate(fields)?.value(),
        in_flight: read_in_flight(fields)?.value(),
        methods: read_methods(fields)?.unwrap_or_default(),
    })
}

/// Requests per second; null for as many as come.
pub(super) fn read_rate(fields: &Fields) -> Result<Given<Rate>, Problem> {
    let rate = fields.given_number("rate", Rate::PER_S_MIN, Rate::PER_S_MAX)?;
    Ok(match rate.map(Rate::per_second) {
        Given::Value(Some(rate)) => Given::Value(rate),
        Given::Value(None) | Given::Null => Given::Null,
        Given::Absent => Given::Absent,
    })
}

/// Requests that may be open; null for as many as a link takes.
pub(super) fn read_in_flight(fields: &Fields) -> Result<Given<u32>, Problem> {
    let in_flight = fields.given_count("in_flight", IN_FLIGHT_MAX.into())?;
    Ok(in_flight.map(|count| u32::try_from(count).unwrap_or(IN_FLIGHT_MAX)))
}

/// The methods that may be used, if that is said.
pub(super) fn read_methods(fields: &Fields) -> Result<Option<Methods>, Problem> {
    Ok(fields.parsed::<Methods>("methods")?.value())
}
