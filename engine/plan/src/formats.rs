//! The formats that schemas may name besides JSON Schema's own.

use longhaul_model::ids::{SiteId, VmId};
use longhaul_model::units::{Bandwidth, Size, Time};

/// A format: its name and what text has it.
type Format = (&'static str, fn(&str) -> bool);

/// Identifiers and quantities as Longhaul writes them. `duration` replaces JSON Schema's ISO 8601 one.
pub(crate) const FORMATS: [Format; 5] = [
    ("vm-id", |text| text.parse::<VmId>().is_ok()),
    ("site-id", |text| text.parse::<SiteId>().is_ok()),
    ("duration", |text| text.parse::<Time>().is_ok()),
    ("bytes", |text| text.parse::<Size>().is_ok()),
    ("bandwidth", |text| text.parse::<Bandwidth>().is_ok()),
];

/// What text of a format looks like, for messages.
pub(crate) fn example(format: &str) -> Option<&'static str> {
    match format {
        "vm-id" | "site-id" => Some("lower-case letters, digits and dashes, such as `vm-a`"),
        "duration" => Some("a number and a unit, such as `300ms`, `10m` or `2h`"),
        "bytes" => Some("a number and a unit, such as `64KiB` or `2GiB`"),
        "bandwidth" => Some("a number and a unit, such as `100Mbit/s`"),
        "date-time" => Some("a date and time, such as `2026-08-30T18:00:00Z`"),
        _ => None,
    }
}
