//! The range of protocol versions this build speaks, and how two ranges agree.

/// Oldest protocol version this build speaks.
pub const PROTOCOL_MIN: u32 = 1;
/// Newest protocol version this build speaks.
pub const PROTOCOL_MAX: u32 = 1;

/// Two ranges without a version in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no protocol version in common: the caller speaks {caller_min} to {caller_max}, this agent {PROTOCOL_MIN} to \
     {PROTOCOL_MAX}; upgrade the older of the two"
)]
pub struct Mismatch {
    caller_min: u32,
    caller_max: u32,
}

/// The newest version both sides speak.
///
/// # Errors
/// The ranges do not overlap.
pub fn agree(caller_min: u32, caller_max: u32) -> Result<u32, Mismatch> {
    agree_within(caller_min, caller_max, PROTOCOL_MIN, PROTOCOL_MAX)
}

fn agree_within(caller_min: u32, caller_max: u32, own_min: u32, own_max: u32) -> Result<u32, Mismatch> {
    let version = caller_max.min(own_max);
    if version >= caller_min.max(own_min) { Ok(version) } else { Err(Mismatch { caller_min, caller_max }) }
}

impl From<Mismatch> for tonic::Status {
    fn from(mismatch: Mismatch) -> Self {
        Self::failed_precondition(mismatch.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The newest common version wins; ranges that only touch still agree; ranges apart do not.
    #[test]
    fn ranges_agree_on_the_newest_common_version() {
        assert_eq!(agree_within(1, 3, 2, 5), Ok(3));
        assert_eq!(agree_within(3, 9, 1, 3), Ok(3));
        assert!(agree_within(4, 9, 1, 3).unwrap_err().to_string().contains("4 to 9"));
        assert!(agree_within(0, 0, 1, 1).is_err());
    }
}
