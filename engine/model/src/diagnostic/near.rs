//! Which name was probably meant.
//!
//! A file can have thousands of names that nobody knows, and thousands that are known: the distance of two is worked out only
//! where a few additions have not shown that it is too far.

/// The one of `known` that is nearest to `written`, the first of several, if it is near enough to be meant.
#[must_use]
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = Letters::of(written);
    let mut bound = 1 + letters.count / 4;
    let mut near = None;
    for name in known {
        if name == written {
            return Some(name);
        }
        if bound == 0 || letters.distance_min(name) > bound {
            continue;
        }
        let distance = strsim::damerau_levenshtein(written, name);
        if distance <= bound {
            near = Some(name);
            // What comes behind has to be nearer.
            bound = distance - 1;
        }
    }
    near
}

/// Places for letters; those that share one are taken for the same, which makes a distance smaller and never greater.
const PLACES: usize = 256;

/// How often a name has each letter.
struct Letters {
    count: usize,
    of_each: [u32; PLACES],
}

impl Letters {
    fn of(name: &str) -> Self {
        let mut letters = Self { count: 0, of_each: [0; PLACES] };
        for letter in name.chars() {
            letters.count += 1;
            letters.of_each[place(letter)] += 1;
        }
        letters
    }

    /// The least that another name can be away: one change brings one letter at most, and takes one.
    fn distance_min(&self, other: &str) -> usize {
        let mut left = self.of_each;
        let (mut count, mut brought) = (0, 0);
        for letter in other.chars() {
            count += 1;
            match &mut left[place(letter)] {
                0 => brought += 1,
                more => *more -= 1,
            }
        }
        let kept: usize = count - brought;
        brought.max(self.count - kept)
    }
}

fn place(letter: char) -> usize {
    usize::try_from(u32::from(letter)).unwrap_or_default() % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A near name is suggested and a far one is not; of several the nearest, and of those the first.
    #[test]
    fn suggestions_are_near() {
        assert_eq!(nearest("needz", ["uses", "needs"]), Some("needs"));
        assert_eq!(nearest("evacuate", ["uses", "needs"]), None);
        assert_eq!(nearest("stpes", ["stop", "steps", "stpe"]), Some("steps"));
        assert_eq!(nearest("needs", ["need", "seeds", "needs"]), Some("needs"));
        assert_eq!(nearest("größe", ["grösse", "groesse", "große"]), Some("große"));
    }

    /// What is passed over without working its distance out is too far: every name of three letters, held against every other.
    #[test]
    fn nothing_near_is_passed_over() {
        let letters = ['a', 'b', 'ä', '\u{161}'];
        let two: Vec<String> =
            letters.iter().flat_map(|a| letters.map(|b| format!("{a}{b}"))).chain(["a".to_owned()]).collect();
        let names: Vec<String> = two.iter().flat_map(|two| letters.map(|c| format!("{two}{c}"))).collect();
        for written in &names {
            for name in names.iter().chain(&two) {
                let distance = strsim::damerau_levenshtein(written, name);
                assert!(Letters::of(written).distance_min(name) <= distance, "{written} {name}");
            }
        }
        assert_eq!(Letters::of("s0001").distance_min("t123"), 4);
    }
}
