//! The files that the guide shows are files that the commands take.

use std::path::Path;
use std::process::Command;

use crate::moves::binary;

/// Every YAML block of a page, in order.
fn blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while lines.any(|line| line == "```yaml") {
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push(block.join("\n"));
    }
    blocks
}

/// Whoever copies a file out of the guide has one without a mistake.
#[test]
fn the_guides_files_are_valid() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide");
    let folder = tempfile::tempdir().unwrap();
    let mut kinds = Vec::new();
    for entry in std::fs::read_dir(guide).unwrap() {
        let page = entry.unwrap().path();
        for (number, block) in blocks(&std::fs::read_to_string(&page).unwrap()).iter().enumerate() {
            let name = format!("{}-{number}.yaml", page.file_stem().unwrap().to_str().unwrap());
            let file = folder.path().join(&name);
            std::fs::write(&file, block).unwrap();
            let checked = Command::new(binary()).arg("validate").arg(&file).output().unwrap();
            assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
            kinds.extend(block.lines().find_map(|line| line.strip_prefix("kind: ").map(str::to_owned)));
        }
    }
    for kind in ["Workflow", "Site", "Vm", "Sites"] {
        assert!(kinds.iter().any(|it| it == kind), "the guide shows no {kind}: {kinds:?}");
    }
}
