//! The log: constant sentences with fields, to standard error.

use tracing_subscriber::EnvFilter;

/// The form of the log's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Sets up the process's log. `verbosity` counts the `-v`; `directives` (from `LONGHAUL_LOG`) win over it. Only the
/// first call has an effect.
pub(crate) fn init(verbosity: u8, directives: Option<&str>, format: LogFormat) {
    let level = match verbosity {
        0 => "warn",
        1 => "info,tonic=warn,h2=warn,hyper=warn",
        2 => "debug,h2=info,hyper=info",
        _ => "trace",
    };
    let filter = EnvFilter::new(directives.unwrap_or(level));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    drop(installed);
}
