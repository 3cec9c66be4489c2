//! Moments, durations, sizes and rates, with the arithmetic that makes sense between them.
//!
//! They are made by `time("2026-08-30T18:00:00Z")`, `duration("30m")`, `size("2GiB")`, `rate("100Mbit/s")` and `now()`.
//! Outside an expression each is the text that makes it again, so text of that form stands for the quantity beside another
//! one: `inputs.landfall - duration("30m")`.

use std::fmt;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use longhaul_model::units::{Bandwidth, Size, Time};
use rhai::{Dynamic, Engine, EvalAltResult, ImmutableString};

use crate::facts;

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;
/// A part of a moment.
type Part = fn(&Zoned) -> i64;

/// A point in time, in Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(i64);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_millisecond(self.0) {
            Ok(moment) => moment.fmt(f),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

/// A quantity that is counted in a smallest unit and written with one.
trait Quantity: Copy + Ord + fmt::Display + Send + Sync + 'static {
    /// What it is called in messages.
    const NAME: &'static str;

    fn amount(self) -> i64;

    fn of(amount: i64) -> Result<Self>;

    fn read(text: &str) -> Result<Self>;
}

fn out_of_range(name: &str) -> Box<EvalAltResult> {
    format!("the {name} would be negative or too long").into()
}

macro_rules! quantity {
    ($type:ident, $name:literal, $get:ident, $make:ident) => {
        impl Quantity for $type {
            const NAME: &'static str = $name;

            fn amount(self) -> i64 {
                i64::try_from(self.$get()).unwrap_or(i64::MAX)
            }

            fn of(amount: i64) -> Result<Self> {
                u64::try_from(amount).map(Self::$make).map_err(|_| out_of_range($name))
            }

            fn read(text: &str) -> Result<Self> {
                text.parse::<Self>().map_err(|error| error.to_string().into())
            }
        }
    };
}

quantity!(Time, "duration", as_millis, from_millis);
quantity!(Size, "size", as_bytes, from_bytes);
quantity!(Bandwidth, "rate", as_bits_per_second, from_bits_per_second);

impl Quantity for Moment {
    const NAME: &'static str = "time";

    fn amount(self) -> i64 {
        self.0
    }

    fn of(amount: i64) -> Result<Self> {
        Ok(Self(amount))
    }

    fn read(text: &str) -> Result<Self> {
        let moment: std::result::Result<Timestamp, _> = text.parse();
        let malformed = || format!("`{text}` is not a time: write one such as 2026-08-30T18:00:00Z");
        moment.map(|moment| Self(moment.as_millisecond())).map_err(|_| malformed().into())
    }
}

/// Gives an engine the quantities.
pub(crate) fn register(engine: &mut Engine) {
    engine.register_fn("now", || match facts::now_unix_ms() {
        Some(now) => Moment::of(i64::try_from(now).unwrap_or(i64::MAX)),
        None => Err("what time it is is known in a run only".into()),
    });
    register_quantity::<Moment>(engine);
    register_quantity::<Time>(engine);
    register_quantity::<Size>(engine);
    register_quantity::<Bandwidth>(engine);
    register_amounts::<Time>(engine);
    register_amounts::<Size>(engine);
    register_amounts::<Bandwidth>(engine);
    register_between(engine);
    engine.register_fn("seconds", |time: Time| time.as_millis() as f64 / 1_000.0);
    engine.register_fn("bytes", |size: Size| size.amount());
    engine.register_fn("bits_per_second", |rate: Bandwidth| rate.amount());
}

/// The parts of a moment, in UTC: the hour from 0 to 23, the minute, the day of the week from 1 for Monday to 7 for Sunday.
pub(crate) fn register_clock(engine: &mut Engine) {
    let part = |of: Part| {
        move |moment: Moment| -> Result<i64> {
            let moment = Timestamp::from_millisecond(moment.0).map_err(|error| error.to_string())?;
            Ok(of(&moment.to_zoned(TimeZone::UTC)))
        }
    };
    let parts: [(&str, Part); 3] = [
        ("hour", |time| time.hour().into()),
        ("minute", |time| time.minute().into()),
        ("weekday", |time| time.weekday().to_monday_one_offset().into()),
    ];
    for (name, of) in parts {
        engine.register_fn(name, part(of));
        engine.register_fn(name, move |text: ImmutableString| part(of)(Moment::read(&text)?));
    }
}

/// Making one of text, and comparing it with another one or with text.
fn register_quantity<Q: Quantity>(engine: &mut Engine) {
    engine.register_fn(Q::NAME, |text: ImmutableString| Q::read(&text));
    engine.register_fn(Q::NAME, |same: Q| same);
    engine.register_fn("to_string", |it: Q| it.to_string());
    macro_rules! compare {
        ($($operator:tt),*) => {$(
            engine.register_fn(stringify!($operator), |a: Q, b: Q| a $operator b);
            engine.register_fn(stringify!($operator), |a: Q, b: ImmutableString| Ok(a $operator Q::read(&b)?) as Result<bool>);
            engine.register_fn(stringify!($operator), |a: ImmutableString, b: Q| Ok(Q::read(&a)? $operator b) as Result<bool>);
        )*};
    }
    compare!(<, <=, >, >=, ==, !=);
}

/// Adding amounts up, and taking so many of one.
fn register_amounts<Q: Quantity>(engine: &mut Engine) {
    let sum =
        |a: Q, b: Q| a.amount().checked_add(b.amount()).ok_or_else(|| out_of_range(Q::NAME)).and_then(Q::of);
    let rest = |a: Q, b: Q| Q::of(a.amount() - b.amount());
    engine.register_fn("+", sum);
    engine.register_fn("-", rest);
    engine.register_fn("+", move |a: Q, b: ImmutableString| sum(a, Q::read(&b)?));
    engine.register_fn("-", move |a: Q, b: ImmutableString| rest(a, Q::read(&b)?));
    let times = |a: Q, n: i64| a.amount().checked_mul(n).ok_or_else(|| out_of_range(Q::NAME)).and_then(Q::of);
    engine.register_fn("*", times);
    engine.register_fn("*", move |n: i64, a: Q| times(a, n));
    engine.register_fn("*", |a: Q, x: f64| scaled(a, x));
    engine.register_fn("*", |x: f64, a: Q| scaled(a, x));
    engine.register_fn("/", |a: Q, n: i64| match n {
        0 => Err("division by zero".into()),
        n => Q::of(a.amount() / n),
    });
    engine.register_fn("/", |a: Q, b: Q| a.amount() as f64 / b.amount() as f64);
}

fn scaled<Q: Quantity>(quantity: Q, by: f64) -> Result<Q> {
    let amount = (quantity.amount() as f64 * by).round();
    if amount.is_finite() && amount.abs() < i64::MAX as f64 {
        Q::of(amount as i64)
    } else {
        Err(out_of_range(Q::NAME))
    }
}

/// What two different kinds make.
fn register_between(engine: &mut Engine) {
    let later = |at: Moment, by: Time| Moment::of(at.0.saturating_add(by.amount()));
    let sooner = |at: Moment, by: Time| Moment::of(at.0.saturating_sub(by.amount()));
    engine.register_fn("+", later);
    engine.register_fn("-", sooner);
    engine.register_fn("+", move |at: ImmutableString, by: Time| either(&at, by, later, |a, b| a + b));
    engine.register_fn("-", move |at: ImmutableString, by: Time| either(&at, by, sooner, |a, b| a - b));
    let between = |a: Moment, b: Moment| Time::of(a.0.saturating_sub(b.0));
    engine.register_fn("-", between);
    engine.register_fn("-", move |a: Moment, b: ImmutableString| between(a, Moment::read(&b)?));
    engine.register_fn("-", move |a: ImmutableString, b: Moment| between(Moment::read(&a)?, b));
    engine.register_fn("/", |size: Size, rate: Bandwidth| {
        let seconds = size.amount() as f64 * 8.0 / rate.amount() as f64;
        scaled(Time::from_millis(1_000), seconds)
    });
    engine.register_fn("*", |rate: Bandwidth, time: Time| {
        scaled(Size::from_bytes(rate.as_bits_per_second() / 8), time.as_millis() as f64 / 1_000.0)
    });
}

/// Text before a duration is a time or another duration.
fn either(
    text: &str,
    by: Time,
    moment: impl Fn(Moment, Time) -> Result<Moment>,
    amount: impl Fn(i64, i64) -> i64,
) -> Result<Dynamic> {
    match Time::read(text) {
        Ok(time) => Time::of(amount(time.amount(), by.amount())).map(Dynamic::from),
        Err(_) => moment(Moment::read(text)?, by).map(Dynamic::from),
    }
}

/// A quantity of any kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Amount {
    kind: &'static str,
    amount: i64,
}

impl PartialOrd for Amount {
    /// None for two of different kinds.
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        (self.kind == other.kind).then(|| self.amount.cmp(&other.amount))
    }
}

/// The quantity that a value is; `None` for anything else.
pub(crate) fn amount_of(value: &Dynamic) -> Option<Amount> {
    fn one<Q: Quantity>(value: &Dynamic) -> Option<Amount> {
        value.read_lock::<Q>().map(|it| Amount { kind: Q::NAME, amount: it.amount() })
    }
    one::<Moment>(value)
        .or_else(|| one::<Time>(value))
        .or_else(|| one::<Size>(value))
        .or_else(|| one::<Bandwidth>(value))
}

/// All of them added up: durations, sizes or rates.
pub(crate) fn total(amounts: &[Amount]) -> Result<Dynamic> {
    fn made<Q: Quantity>(total: i64) -> Result<Dynamic> {
        Q::of(total).map(Dynamic::from)
    }
    let kind = amounts.first().map_or("", |first| first.kind);
    if amounts.iter().any(|other| other.kind != kind) {
        return Err("`sum` takes items of one kind".into());
    }
    let total = amounts.iter().try_fold(0_i64, |total, it| total.checked_add(it.amount));
    let total = total.ok_or_else(|| out_of_range(kind))?;
    match kind {
        Time::NAME => made::<Time>(total),
        Size::NAME => made::<Size>(total),
        Bandwidth::NAME => made::<Bandwidth>(total),
        _ => Err("points in time cannot be added up".into()),
    }
}

/// A quantity as it is outside an expression; `None` for anything else.
pub(crate) fn text_of(value: &Dynamic) -> Option<String> {
    fn one<Q: Quantity>(value: &Dynamic) -> Option<String> {
        value.read_lock::<Q>().map(|it| it.to_string())
    }
    one::<Moment>(value)
        .or_else(|| one::<Time>(value))
        .or_else(|| one::<Size>(value))
        .or_else(|| one::<Bandwidth>(value))
}
