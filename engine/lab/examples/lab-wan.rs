//! Runs the WAN of a lab alone: `lab-wan lab-wan --config FILE`, as the product's binary does.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args_os().nth(3).map(PathBuf::from).ok_or("usage: lab-wan lab-wan --config FILE")?;
    let config = serde_json::from_slice(&std::fs::read(file)?)?;
    Ok(longhaul_lab::wan::run(&config)?)
}
