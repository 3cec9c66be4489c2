//! Functions of our own. They leave what they are given as it is: inputs and outputs are constants.

use std::cmp::Ordering;

use longhaul_model::units::{Bandwidth, Size, Time};
use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, Position};

use crate::engine::{ITEMS_MAX, STRING_BYTES_MAX, spend};
use crate::quantities::{self, Amount};

type Result<T> = std::result::Result<T, Box<EvalAltResult>>;

/// Gives an engine the functions.
pub(crate) fn register(engine: &mut Engine) {
    engine.register_fn("join", |items: Array, between: ImmutableString| join(&items, &between));
    engine.register_fn("sort", sort);
    engine.register_fn("sum", |items: Array| sum(&items));
    engine.register_fn("unique", unique);
    engine.register_fn("range", |from: i64, to: i64| range(from, to, 1));
    engine.register_fn("range", range);
    engine.register_fn("zip", zip);
    engine.register_fn("replace", |text: ImmutableString, from: ImmutableString, to: ImmutableString| {
        replace(&text, &from, &to)
    });
    engine.register_fn("trim", |text: ImmutableString| text.trim().to_owned());
    engine.register_fn("format_duration", |time: Time| in_two_units(time.as_millis() as f64 / 1_000.0));
    engine.register_fn("format_duration", |seconds: i64| in_two_units(seconds as f64));
    engine.register_fn("format_duration", in_two_units);
    engine.register_fn("format_size", |size: Size| to_a_tenth(size.as_bytes() as f64, 1_024.0, SIZES));
    engine.register_fn("format_size", |bytes: i64| to_a_tenth(bytes as f64, 1_024.0, SIZES));
    engine.register_fn("format_size", |bytes: f64| to_a_tenth(bytes, 1_024.0, SIZES));
    let rate = |bits: f64| to_a_tenth(bits, 1_000.0, RATES);
    engine.register_fn("format_rate", move |it: Bandwidth| rate(it.as_bits_per_second() as f64));
    engine.register_fn("format_rate", move |bits: i64| rate(bits as f64));
    engine.register_fn("format_rate", rate);
}

fn zip(a: Array, b: Array) -> Result<Array> {
    spend(a.len().min(b.len()))?;
    Ok(a.into_iter().zip(b).map(|(a, b)| Dynamic::from_array(vec![a, b])).collect())
}

fn join(items: &[Dynamic], between: &str) -> Result<String> {
    spend(items.len())?;
    let texts: Result<Vec<String>> = items.iter().map(text_of).collect();
    let texts = texts?;
    let length = texts.iter().map(String::len).sum::<usize>() + between.len() * texts.len();
    within_text(length).map(|()| texts.join(between))
}

fn text_of(item: &Dynamic) -> Result<String> {
    if let Some(text) = quantities::text_of(item) {
        return Ok(text);
    }
    let is_plain = item.is_string() || item.is_int() || item.is_float() || item.is_bool() || item.is_char();
    if is_plain { Ok(item.to_string()) } else { Err(unfit("join", item, "text, numbers and truth values")) }
}

/// Native code is not interrupted, so it asks before it makes what is too long.
fn within_text(length: usize) -> Result<()> {
    if length <= STRING_BYTES_MAX {
        return Ok(());
    }
    Err(EvalAltResult::ErrorDataTooLarge("Length of string".to_owned(), Position::NONE).into())
}

fn replace(text: &str, from: &str, to: &str) -> Result<String> {
    if from.is_empty() {
        return Err("`replace` needs something to look for".into());
    }
    let found = text.matches(from).count();
    let length = (text.len() - found * from.len()).saturating_add(found.saturating_mul(to.len()));
    within_text(length).map(|()| text.replace(from, to))
}

/// What an item of a list that can be ordered or added up is.
enum Item {
    Text(ImmutableString),
    Whole(i64),
    Real(f64),
    Amount(Amount),
}

impl Item {
    fn of(item: &Dynamic, function: &str) -> Result<Self> {
        let amount = || quantities::amount_of(item).map(Self::Amount);
        let text = || item.clone().into_immutable_string().ok().map(Self::Text);
        let real = || item.as_float().ok().map(Self::Real);
        let found = item.as_int().ok().map(Self::Whole).or_else(real).or_else(text).or_else(amount);
        found.ok_or_else(|| unfit(function, item, "numbers, text and quantities"))
    }

    /// None if they are of different kinds.
    fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            (Self::Amount(a), Self::Amount(b)) => a.partial_cmp(b),
            (Self::Whole(a), Self::Whole(b)) => Some(a.cmp(b)),
            _ => self.real()?.partial_cmp(&other.real()?),
        }
    }

    fn real(&self) -> Option<f64> {
        match self {
            Self::Whole(whole) => Some(*whole as f64),
            Self::Real(real) => Some(*real),
            Self::Text(_) | Self::Amount(_) => None,
        }
    }
}

fn unfit(function: &str, item: &Dynamic, takes: &str) -> Box<EvalAltResult> {
    format!("`{function}` takes {takes}, and not {}", item.type_name()).into()
}

fn mixed(function: &str) -> Box<EvalAltResult> {
    format!("`{function}` takes items of one kind").into()
}

fn sort(items: Array) -> Result<Array> {
    spend(items.len())?;
    let keys: Result<Vec<Item>> = items.iter().map(|item| Item::of(item, "sort")).collect();
    let mut keyed: Vec<(Item, Dynamic)> = keys?.into_iter().zip(items).collect();
    // All are compared with the first, so that any two can be.
    let alike = |(key, _): &(Item, Dynamic)| keyed[0].0.compare(key).is_some();
    if !keyed.iter().all(alike) {
        return Err(mixed("sort"));
    }
    keyed.sort_by(|(a, _), (b, _)| a.compare(b).unwrap_or(Ordering::Equal));
    Ok(keyed.into_iter().map(|(_, item)| item).collect())
}

fn sum(items: &[Dynamic]) -> Result<Dynamic> {
    spend(items.len())?;
    let items: Result<Vec<Item>> = items.iter().map(|item| Item::of(item, "sum")).collect();
    let items = items?;
    let amounts: Option<Vec<Amount>> =
        items.iter().map(|it| if let Item::Amount(amount) = it { Some(*amount) } else { None }).collect();
    if let Some(amounts) = amounts.filter(|amounts| !amounts.is_empty()) {
        return quantities::total(&amounts);
    }
    let wholes: Option<Vec<i64>> =
        items.iter().map(|it| if let Item::Whole(whole) = it { Some(*whole) } else { None }).collect();
    if let Some(wholes) = wholes {
        let total = wholes.into_iter().try_fold(0_i64, i64::checked_add);
        return total.map(Dynamic::from).ok_or_else(|| "the sum is too large".into());
    }
    let reals: Option<Vec<f64>> = items.iter().map(Item::real).collect();
    reals.map(|reals| reals.into_iter().sum::<f64>().into()).ok_or_else(|| mixed("sum"))
}

/// The numbers as a list: Rhai's own ranges have no form outside an expression.
fn range(from: i64, to: i64, step: i64) -> Result<Array> {
    if step == 0 {
        return Err("`range` needs a step that is not 0".into());
    }
    let before = |number: &i64| if step > 0 { *number < to } else { *number > to };
    let numbers = std::iter::successors(Some(from), |number| number.checked_add(step)).take_while(before);
    let numbers: Array = numbers.take(ITEMS_MAX + 1).map(Dynamic::from).collect();
    within_list(numbers.len())?;
    spend(numbers.len()).map(|()| numbers)
}

fn within_list(items: usize) -> Result<()> {
    if items <= ITEMS_MAX {
        return Ok(());
    }
    Err(EvalAltResult::ErrorDataTooLarge("Size of array/BLOB".to_owned(), Position::NONE).into())
}

/// What is equal has the same JSON, which is also what makes a long list quick.
fn unique(items: Array) -> Result<Array> {
    spend(items.len())?;
    let mut seen = std::collections::BTreeSet::new();
    let mut kept = Array::new();
    for item in items {
        let json = crate::value::from_dynamic(item.clone()).map_err(|found| format!("an item is {found}"))?;
        if seen.insert(json.to_string()) {
            kept.push(item);
        }
    }
    Ok(kept)
}

/// Units of time and how many seconds each has, the largest first.
const TIMES: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

const SIZES: &[&str] = &["B", "KiB", "MiB", "GiB", "TiB"];

const RATES: &[&str] = &["bit/s", "kbit/s", "Mbit/s", "Gbit/s"];

/// `1h 23m`, `45s`, `0.3s`.
fn in_two_units(seconds: f64) -> Result<String> {
    if !seconds.is_finite() || seconds < 0.0 || seconds > u32::MAX as f64 * 1_000.0 {
        return Err(format!("{seconds} seconds are no length of time").into());
    }
    if seconds < 10.0 {
        return Ok(format!("{}s", (seconds * 10.0).round() / 10.0));
    }
    let mut rest = seconds.round() as u64;
    let first = TIMES.iter().position(|(_, unit)| rest >= *unit).unwrap_or(TIMES.len() - 1);
    let mut parts = Vec::new();
    for (name, unit) in &TIMES[first..TIMES.len().min(first + 2)] {
        if rest / unit > 0 {
            parts.push(format!("{}{name}", rest / unit));
        }
        rest %= unit;
    }
    Ok(parts.join(" "))
}

/// `1.5 GiB`, `800 B`.
fn to_a_tenth(amount: f64, step: f64, units: &[&str]) -> Result<String> {
    if !amount.is_finite() || amount < 0.0 {
        return Err(format!("{amount} is no amount").into());
    }
    let (mut amount, mut unit) = (amount, 0);
    while amount >= step && unit + 1 < units.len() {
        (amount, unit) = (amount / step, unit + 1);
    }
    Ok(format!("{} {}", (amount * 10.0).round() / 10.0, units[unit]))
}
