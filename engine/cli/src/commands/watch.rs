//! `longhaul watch`: shows a run as it goes on, from its journal, whoever drives it.

use std::time::Duration;

use longhaul_model::ids::RunId;
use longhaul_run::Reader;
use longhaul_saga::{Record, Report, Status};

use crate::commands::{driving, journal};
use crate::errors::Result;
use crate::settings::Settings;
use crate::{exit_code, output};

/// How often it is looked for more: shorter than people notice.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run; the exit code says how it ended
    run: RunId,
    /// Print one JSON object per record
    #[arg(long)]
    json: bool,
}

/// Nothing here writes: the run's controller is held up by nobody who watches.
pub(super) fn run(args: &Args, settings: &Settings) -> Result<u8> {
    let reader = journal::open(settings)?;
    let mut reporters = driving::reporters(args.json);
    let (mut records, mut recording) = (Vec::<Record>::new(), 0);
    loop {
        let fresh = reader.records_behind(&args.run, records.last())?;
        fresh.iter().for_each(|record| reporters.record(record));
        records.extend(fresh);
        for progress in reader.recordings_behind(&args.run, &mut recording)? {
            reporters.recorded(&progress);
        }
        let status = reader.standing(&args.run)?.status;
        if status != Status::Running {
            let report = Report::fold(&records);
            return Ok(
                report.map_or_else(|| driving::of_status(status), |report| driving::of_report(&report))
            );
        }
        if is_alone(&reader)? {
            output::talk(format_args!("no controller works on it: `longhaul resume {}` goes on", args.run));
            return Ok(exit_code::INTERRUPTED);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn is_alone(reader: &Reader) -> Result<bool> {
    Ok(reader.owner()?.is_some_and(|owner| owner.is_gone()))
}
