//! Budgets that steps share, and what a step takes of them; with the values of their expressions.

use std::fmt;

use longhaul_expr::{Scope, Template};
use longhaul_model::resource::ResourceKind;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An elastic claim that names no least amount waits for this part of the budget: one that gets nothing would never end.
const LEAST_PART: u64 = 100;

/// A budget that steps share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: ResourceKind,
    /// How much there is of it.
    pub capacity: Template,
    /// How much of it is never given away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserve: Option<Reserve>,
    /// Where it is: a site, or the two sites whose link it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Template>,
}

/// How much of a resource is never given away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reserve {
    /// A part of it, at most 99.
    Percent(u32),
    /// So much.
    Amount(Template),
}

/// What a step takes of a resource while it is under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// The resource's name.
    pub resource: String,
    /// How much.
    #[serde(flatten)]
    pub share: Share,
}

/// How much of a resource a step takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Share {
    /// So much, or it waits.
    Fixed {
        /// How much.
        amount: Template,
        /// Whether it stays taken for as long as the step's effect is there.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        keep: bool,
    },
    /// What others leave, shared evenly.
    Elastic {
        /// It waits until it gets so much; a hundredth of the budget if nothing is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_least: Option<Template>,
        /// It has no use for more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_most: Option<Template>,
    },
}

/// A resource with the values of its expressions. Two that are equal are one and the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// The resource's name.
    pub name: String,
    /// What it is; amounts are in its unit.
    pub kind: ResourceKind,
    /// How much there is of it.
    pub capacity: u64,
    /// How much of it is given to steps, at least 1.
    pub to_give: u64,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub place: Value,
}

/// A claim with the values of its expressions, in the resource's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// It waits until it gets so much; at least 1.
    pub least: u64,
    /// It gets no more than this.
    pub most: u64,
    /// Whether it stays taken for as long as the step's effect is there.
    pub keep: bool,
}

impl Resource {
    /// The budget that this is for somebody who sees these names.
    ///
    /// # Errors
    /// Why it is none: a sentence.
    pub fn bind(&self, scope: &Scope) -> Result<Budget, String> {
        let amount = |template: &Template| amount_of(self.kind, template, scope);
        let capacity = amount(&self.capacity).map_err(|why| format!("capacity: {why}"))?;
        let reserve = match &self.reserve {
            None => 0,
            // Rounded up: what is reserved is there in full.
            Some(Reserve::Percent(part)) => {
                let part = u128::from(capacity) * u128::from(*part);
                u64::try_from(part.div_ceil(100)).unwrap_or(u64::MAX)
            }
            Some(Reserve::Amount(template)) => amount(template).map_err(|why| format!("reserve: {why}"))?,
        };
        let to_give = capacity.saturating_sub(reserve);
        if to_give == 0 {
            let (capacity, reserve) = (self.kind.write(capacity), self.kind.write(reserve));
            return Err(format!(
                "nothing can be given away: its capacity is {capacity}, its reserve {reserve}"
            ));
        }
        let place = self.place.as_ref().map_or(Ok(Value::Null), |place| place.evaluate(scope));
        let place = place.map_err(|error| error.to_string())?;
        Ok(Budget { name: self.name.clone(), kind: self.kind, capacity, to_give, place })
    }
}

impl Claim {
    /// What this takes of a budget, for a step that sees these names.
    ///
    /// # Errors
    /// Why that can never be had: a sentence.
    pub fn bind(&self, budget: &Budget, scope: &Scope) -> Result<Wanted, String> {
        let kind = budget.kind;
        let amount = |template: &Template| amount_of(kind, template, scope);
        let wanted = match &self.share {
            Share::Fixed { amount: template, keep } => {
                let amount = amount(template)?;
                Wanted { least: amount, most: amount, keep: *keep }
            }
            Share::Elastic { at_least, at_most } => {
                let least = budget.to_give.div_ceil(LEAST_PART);
                let most = at_most.as_ref().map_or(Ok(budget.to_give), amount)?;
                let least = at_least.as_ref().map_or(Ok(least.min(most)), amount)?;
                if least > most {
                    return Err(format!(
                        "at least {} is more than at most {}",
                        kind.write(least),
                        kind.write(most)
                    ));
                }
                Wanted { least, most, keep: false }
            }
        };
        match wanted.least {
            0 => Err("an amount of nothing is no claim".to_owned()),
            least if least > budget.to_give => {
                let (wants, has) = (kind.write(least), kind.write(budget.to_give));
                Err(format!("{wants} can never be had: `{}` has {has} to give", budget.name))
            }
            _ => Ok(wanted),
        }
    }
}

/// In a line: `wan: bandwidth between a and b, 100Mbit/s, of which 80Mbit/s are given away`.
impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.kind)?;
        match &self.place {
            Value::Array(ends) => {
                let ends: Vec<&str> = ends.iter().filter_map(Value::as_str).collect();
                write!(f, " between {}", ends.join(" and "))?;
            }
            Value::String(site) => write!(f, " at {site}")?,
            _ => {}
        }
        write!(f, ", {}", self.kind.write(self.capacity))?;
        if self.to_give < self.capacity {
            write!(f, ", of which {} are given away", self.kind.write(self.to_give))?;
        }
        Ok(())
    }
}

/// `wan: what is left`, `memory: 2GiB, kept while its effect is there`.
impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.resource, self.share)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed { amount, keep } => {
                f.write_str(&written(amount))?;
                f.write_str(if *keep { ", kept while its effect is there" } else { "" })
            }
            Self::Elastic { at_least, at_most } => {
                f.write_str("what is left")?;
                let least = at_least.iter().map(|least| format!(", at least {}", written(least)));
                let most = at_most.iter().map(|most| format!(", at most {}", written(most)));
                least.chain(most).try_for_each(|bound| f.write_str(&bound))
            }
        }
    }
}

/// An amount as its author wrote it.
fn written(template: &Template) -> String {
    let source = template.source();
    source.as_str().map_or_else(|| source.to_string(), str::to_owned)
}

fn amount_of(kind: ResourceKind, template: &Template, scope: &Scope) -> Result<u64, String> {
    kind.amount(&template.evaluate(scope).map_err(|error| error.to_string())?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(value: Value) -> Template {
        Template::parse(value).unwrap()
    }

    fn wan(capacity: &str, reserve: Option<Reserve>) -> Result<Budget, String> {
        let resource = Resource {
            name: "wan".to_owned(),
            kind: ResourceKind::Bandwidth,
            capacity: template(json!(capacity)),
            reserve,
            place: Some(template(json!(["a", "b"]))),
        };
        resource.bind(&Scope::default())
    }

    /// A reserve is a part, rounded up, or an amount; a budget that has nothing to give is refused.
    #[test]
    fn a_reserve_is_kept() {
        assert_eq!(wan("100Mbit/s", None).unwrap().to_give, 100_000_000);
        assert_eq!(wan("101bit/s", Some(Reserve::Percent(15))).unwrap().to_give, 85);
        let amount = Reserve::Amount(template(json!("30Mbit/s")));
        assert_eq!(wan("100Mbit/s", Some(amount.clone())).unwrap().to_give, 70_000_000);
        assert!(wan("30Mbit/s", Some(amount)).unwrap_err().contains("nothing can be given away"));
        assert!(wan("2GiB", None).unwrap_err().starts_with("capacity: \"2GiB\" is not a bandwidth"));
    }

    /// What can never be had is refused with both amounts.
    #[test]
    fn a_claim_has_to_fit() {
        let budget = wan("100Mbit/s", Some(Reserve::Percent(20))).unwrap();
        let bind = |share| Claim { resource: "wan".to_owned(), share }.bind(&budget, &Scope::default());
        let fixed = |amount: &str| Share::Fixed { amount: template(json!(amount)), keep: false };
        let elastic = |least: Option<&str>, most: Option<&str>| Share::Elastic {
            at_least: least.map(|it| template(json!(it))),
            at_most: most.map(|it| template(json!(it))),
        };
        let wanted = |least, most| Ok(Wanted { least, most, keep: false });
        assert_eq!(bind(fixed("80Mbit/s")), wanted(80_000_000, 80_000_000));
        assert_eq!(bind(elastic(None, None)), wanted(800_000, 80_000_000));
        assert_eq!(bind(elastic(None, Some("1bit/s"))), wanted(1, 1));
        assert_eq!(bind(elastic(Some("1Mbit/s"), None)), wanted(1_000_000, 80_000_000));
        for (share, why) in [
            (fixed("81Mbit/s"), "81Mbit/s can never be had: `wan` has 80Mbit/s to give"),
            (fixed("0bit/s"), "an amount of nothing is no claim"),
            (elastic(Some("2bit/s"), Some("1bit/s")), "at least 2bit/s is more than at most 1bit/s"),
            (elastic(Some("81Mbit/s"), None), "at least 81Mbit/s is more than at most 80Mbit/s"),
        ] {
            assert_eq!(bind(share).unwrap_err(), why);
        }
    }
}
