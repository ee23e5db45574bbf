//! Reads what an agent may be asked: a number or `off`, and a list of methods.

use serde_json::Value;

use crate::methods::{Methods, MethodsError};
use crate::registry::{IN_FLIGHT_MAX, Rate};

/// Requests per second; `off` is null.
pub(super) fn rate(text: &str) -> Result<Value, String> {
    if text == "off" {
        return Ok(Value::Null);
    }
    let rate = text.parse().ok().and_then(Rate::per_second);
    let wrong = || format!("give a number from {} to {}, or off", Rate::PER_S_MIN, Rate::PER_S_MAX);
    rate.map(|rate| rate.requests_per_s().into()).ok_or_else(wrong)
}

/// Requests that may be open; `off` is null.
pub(super) fn in_flight(text: &str) -> Result<Value, String> {
    if text == "off" {
        return Ok(Value::Null);
    }
    let count = text.parse().ok().filter(|count| (1..=IN_FLIGHT_MAX).contains(count));
    count.map(Value::from).ok_or_else(|| format!("give 1 to {IN_FLIGHT_MAX}, or off"))
}

/// A list of methods.
pub(super) fn methods(text: &str) -> Result<Value, MethodsError> {
    text.parse::<Methods>().map(|methods| methods.to_string().into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn limits_are_numbers_or_off() {
        assert_eq!((rate("2.5"), rate("off")), (Ok(json!(2.5)), Ok(Value::Null)));
        assert_eq!((in_flight("8"), in_flight("off")), (Ok(json!(8)), Ok(Value::Null)));
        for wrong in ["", "0", "-1", "nan", "OFF", "1e9", "x"] {
            assert!(rate(wrong).is_err() && in_flight(wrong).is_err(), "{wrong}");
        }
        assert_eq!(methods("get,send"), Ok(json!("send,get")));
        assert!(methods("sned").is_err());
    }
}
