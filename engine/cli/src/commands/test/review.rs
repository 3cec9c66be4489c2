//! Asks about each snapshot that is not as it was.

use std::io::BufRead;

use super::Tested;
use super::snapshots::{self, Kept};
use crate::errors::{Explain as _, Result};
use crate::{exit_code, output};

/// Shows what changed and does what the person says; at the end of the input the rest stays as it is.
pub(super) fn ask(tested: &mut Tested, answers: &mut impl BufRead) -> Result<()> {
    for case in tested.cases.iter_mut().filter(|case| case.may_be_accepted()) {
        let before = if let Kept::Changed(before) = &case.snapshot { before.as_str() } else { "" };
        output::talk(format_args!("{}: {}", case.file.display(), case.name));
        output::raw_talk(&snapshots::difference(before, &case.summary));
        match answer(answers)? {
            Some(Answer::Accept) => {
                snapshots::write(&case.snapshot_file, &case.summary)?;
                case.snapshot = Kept::Accepted;
            }
            Some(Answer::Reject) => {}
            None => return Ok(()),
        }
    }
    Ok(())
}

enum Answer {
    Accept,
    Reject,
}

/// The next answer; none if there will be no further one.
fn answer(answers: &mut impl BufRead) -> Result<Option<Answer>> {
    loop {
        output::talk("accept (a), reject (r) or stop asking (q)?");
        let mut line = String::new();
        let read = answers.read_line(&mut line);
        if read.doing(exit_code::FAILED, || "read the answer".to_owned())? == 0 {
            return Ok(None);
        }
        match line.trim() {
            "a" | "accept" => return Ok(Some(Answer::Accept)),
            "r" | "reject" => return Ok(Some(Answer::Reject)),
            "q" | "quit" => return Ok(None),
            _ => {}
        }
    }
}
