//! Decides when an agent's errors make it degraded. Pure.

/// The failed share of an agent's tasks from which it is degraded.
pub const ERROR_RATE_DEGRADED: f64 = 0.5;
/// And below which it is well again: in between it stays what it was.
pub const ERROR_RATE_WELL: f64 = 0.1;

/// Whether an agent of this error rate is degraded, which it may have been `before`.
pub fn is_degraded(before: bool, error_rate: f64) -> bool {
    error_rate >= if before { ERROR_RATE_WELL } else { ERROR_RATE_DEGRADED }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_degraded_agent_stays_so_until_its_errors_are_few() {
        let mut degraded = false;
        for (rate, expected) in
            [(0.49, false), (0.5, true), (0.3, true), (0.1, true), (0.09, false)]
        {
            degraded = is_degraded(degraded, rate);
            assert_eq!(degraded, expected, "{rate}");
        }
    }
}
