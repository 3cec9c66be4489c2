//! Quantities as people write them: `300ms`, `2GiB`, `800Mbit/s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A quantity that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {quantity}: write a number and a unit, such as {example}")]
pub struct Malformed {
    text: String,
    quantity: &'static str,
    example: &'static str,
}

struct Unit {
    name: &'static str,
    /// How many of the smallest unit one of these is.
    factor: u64,
}

const TIME: &[Unit] = &[
    Unit { name: "ms", factor: 1 },
    Unit { name: "s", factor: 1_000 },
    Unit { name: "m", factor: 60_000 },
    Unit { name: "h", factor: 3_600_000 },
    Unit { name: "d", factor: 86_400_000 },
];

const SIZE: &[Unit] = &[
    Unit { name: "B", factor: 1 },
    Unit { name: "KiB", factor: 1 << 10 },
    Unit { name: "MiB", factor: 1 << 20 },
    Unit { name: "GiB", factor: 1 << 30 },
    Unit { name: "TiB", factor: 1 << 40 },
];

const RATE: &[Unit] = &[
    Unit { name: "bit/s", factor: 1 },
    Unit { name: "kbit/s", factor: 1_000 },
    Unit { name: "Mbit/s", factor: 1_000_000 },
    Unit { name: "Gbit/s", factor: 1_000_000_000 },
];

/// Reads `NUMBER UNIT` with at most three decimals into the smallest unit; `None` when it is anything else, or does
/// not come out as a whole number of the smallest unit, or overflows.
fn parse(text: &str, units: &[Unit]) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, name) = text.split_at(split);
    let unit = units.iter().find(|unit| unit.name == name)?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let whole: u64 = whole.parse().ok()?;
    let scale = 10u64.checked_pow(u32::try_from(decimals.len()).ok()?)?;
    let fraction = decimals.parse::<u64>().ok()?.checked_mul(unit.factor)?;
    if decimals.len() > 3 || !fraction.is_multiple_of(scale) {
        return None;
    }
    whole.checked_mul(unit.factor)?.checked_add(fraction / scale)
}

/// Writes a quantity in the largest unit that leaves it whole.
fn write(f: &mut fmt::Formatter<'_>, amount: u64, units: &[Unit]) -> fmt::Result {
    let whole = |unit: &&Unit| amount != 0 && amount.is_multiple_of(unit.factor);
    let unit = units.iter().rev().find(whole).unwrap_or(&units[0]);
    write!(f, "{}{}", amount / unit.factor, unit.name)
}

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $units:expr, $quantity:literal, $example:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(u64);

        impl FromStr for $name {
            type Err = Malformed;

            fn from_str(text: &str) -> Result<Self, Malformed> {
                let malformed = || Malformed { text: text.to_owned(), quantity: $quantity, example: $example };
                parse(text, $units).map(Self).ok_or_else(malformed)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Malformed;

            fn try_from(text: String) -> Result<Self, Malformed> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(quantity: $name) -> String {
                quantity.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write(f, self.0, $units)
            }
        }
    };
}

quantity!(
    /// A length of time, to the millisecond. Written `300ms`, `2s`, `10m`, `1h`, `3d`.
    Time, TIME, "duration", "300ms, 10m or 2h"
);
quantity!(
    /// An amount of data, in bytes. Written `512B`, `64KiB`, `2GiB`.
    Size, SIZE, "size", "64KiB or 2GiB"
);
quantity!(
    /// A rate of data, in bits a second. Written `800kbit/s`, `100Mbit/s`.
    Bandwidth, RATE, "bandwidth", "100Mbit/s"
);

impl Time {
    /// A time of so many milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The time in milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The time as the standard library has it.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl Size {
    /// A size of so many bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The size in bytes.
    #[must_use]
    pub const fn as_bytes(self) -> u64 {
        self.0
    }
}

impl Bandwidth {
    /// A rate of so many bits a second.
    #[must_use]
    pub const fn from_bits_per_second(bits: u64) -> Self {
        Self(bits)
    }

    /// The rate in bits a second.
    #[must_use]
    pub const fn as_bits_per_second(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What people write is read in the smallest unit, and comes back in the largest that leaves it whole.
    #[test]
    fn quantities_read_and_write_their_units() {
        assert_eq!("300ms".parse::<Time>().unwrap().as_millis(), 300);
        assert_eq!("1.5s".parse::<Time>().unwrap().as_millis(), 1_500);
        assert_eq!("90s".parse::<Time>().unwrap().to_string(), "90s");
        assert_eq!("2GiB".parse::<Size>().unwrap().as_bytes(), 2 << 30);
        assert_eq!("100Mbit/s".parse::<Bandwidth>().unwrap().to_string(), "100Mbit/s");
        assert_eq!(Time::from_millis(0).to_string(), "0ms");
    }

    /// A bare number, a foreign unit, an overflow and a fraction below the smallest unit are refused with an example.
    #[test]
    fn malformed_quantities_are_refused_with_an_example() {
        for bad in
            ["", "10", "ms", "10 s", "10min", "1.0001s", "0.5ms", "99999999999999999999s", "-1s", "1..s"]
        {
            assert!(bad.parse::<Time>().is_err(), "{bad:?}");
        }
        let said = "10MB".parse::<Size>().unwrap_err().to_string();
        assert!(said.contains("64KiB or 2GiB"), "{said}");
    }
}
