//! The files that the guide shows are files that the commands take.

use std::path::{Path, PathBuf};
use std::process::Command;

use longhaul_expr::{Scope, Template};
use serde_json::Value;

use crate::moves::binary;

/// Every YAML block of a page, in order.
pub(crate) fn blocks(page: &str) -> Vec<String> {
    blocks_of(page, "```yaml")
}

/// The scripts of a page, and what its plugins say of themselves, by the names that their first lines give them.
pub(crate) fn scripts(page: &str) -> Vec<(String, String)> {
    let all = ["```rhai", "```toml"].into_iter().flat_map(|fence| blocks_of(page, fence));
    all.map(|block| (own_name(&block).unwrap().to_owned(), block)).collect()
}

fn put(file: &Path, text: &str) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
}

fn blocks_of(page: &str, fence: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while lines.any(|line| line == fence) {
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push(block.join("\n"));
    }
    blocks
}

/// A page's `console` blocks: lines that begin with `$ ` are commands, the lines after each are what it says.
const CONSOLE: &str = "```console";

/// What stands above files.
const FILES: [&str; 3] = ["```yaml", "```rhai", "```toml"];

/// The page with what its commands say now. They run one after the other in one folder, as whoever follows the page
/// would type them; the files that it names are saved there on the way.
fn typed(page: &str, folder: &Path) -> String {
    let mut text = String::new();
    let mut here = folder.to_owned();
    let mut in_console = false;
    for (at, line) in page.lines().enumerate() {
        if FILES.contains(&line) {
            let rest: Vec<&str> = page.lines().skip(at).collect();
            let block = blocks_of(&rest.join("\n"), line).swap_remove(0);
            if let Some(name) = own_name(&block) {
                put(&here.join(name), &block);
            }
        }
        in_console = if in_console { line != "```" } else { line == CONSOLE };
        if let Some(command) = line.strip_prefix("$ ").filter(|_| in_console) {
            text.push_str(&format!("{line}\n{}", said(command, &mut here)));
        } else if !in_console || line == CONSOLE {
            text.push_str(&format!("{line}\n"));
        }
    }
    text
}

/// What a command says on both its outputs; `cd` moves on.
fn said(command: &str, here: &mut PathBuf) -> String {
    if let Some(folder) = command.strip_prefix("cd ") {
        here.push(folder);
        assert!(here.is_dir(), "{}", here.display());
        return String::new();
    }
    let programs = binary().parent().unwrap().to_owned();
    let path = std::env::join_paths(
        std::iter::once(programs).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let shell = Command::new("sh")
        .args(["-c", &format!("exec 2>&1; {command}")])
        .env("PATH", path.unwrap())
        .env("LONGHAUL_STATE", here.join("state"))
        .current_dir(here)
        .output()
        .unwrap();
    String::from_utf8(shell.stdout).unwrap()
}

/// Every command of the guide says what the page shows. `UPDATE_DOCS=1` writes what it says into the page.
#[test]
fn the_guides_commands_say_what_it_shows() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide");
    let mut pages = 0;
    for entry in std::fs::read_dir(guide).unwrap() {
        let path = entry.unwrap().path();
        let page = std::fs::read_to_string(&path).unwrap();
        if !page.lines().any(|line| line == CONSOLE) {
            continue;
        }
        pages += 1;
        let folder = tempfile::tempdir().unwrap();
        let now = typed(&page, folder.path());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &now).unwrap();
        } else {
            assert_eq!(page, now, "{} shows something else: UPDATE_DOCS=1 writes it", path.display());
        }
    }
    assert!(pages > 0);
}

/// Whoever copies a file out of the guide has one without a mistake.
#[test]
fn the_guides_files_are_valid() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide");
    let folder = tempfile::tempdir().unwrap();
    for shipped in ["workflows/evacuate.yaml", "engine/cli/src/commands/init/move.yaml"] {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(shipped);
        std::fs::copy(&shipped, folder.path().join(shipped.file_name().unwrap())).unwrap();
    }
    put(
        &folder.path().join("policies/maintenance-window.rhai"),
        include_str!("../workflows/policies/maintenance-window.rhai"),
    );
    let mut kinds = Vec::new();
    for entry in std::fs::read_dir(guide).unwrap() {
        let page = entry.unwrap().path();
        let text = std::fs::read_to_string(&page).unwrap();
        let blocks = blocks(&text);
        let page = page.file_stem().unwrap().to_str().unwrap();
        let file = |number, block: &str| folder.path().join(name_of(page, number, block));
        for (number, block) in blocks.iter().enumerate() {
            put(&file(number, block), block);
        }
        for (name, script) in scripts(&text) {
            put(&folder.path().join(name), &script);
        }
        for (number, block) in blocks.iter().enumerate() {
            let file = file(number, block);
            if block.contains("\nplugins:") {
                let locked = Command::new(binary()).args(["plugin", "lock"]).arg(&file).output().unwrap();
                assert!(locked.status.success(), "{}", String::from_utf8_lossy(&locked.stderr));
            }
            let checked = Command::new(binary()).arg("validate").arg(&file).output().unwrap();
            assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
            if block.lines().any(|line| line == "kind: Test" || line == "kind: PolicyTest") {
                holds(&file);
            }
            kinds.extend(block.lines().find_map(|line| line.strip_prefix("kind: ").map(str::to_owned)));
        }
    }
    for kind in ["Workflow", "Defaults", "Test", "PolicyTest", "Site", "Vm", "Sites"] {
        assert!(kinds.iter().any(|it| it == kind), "the guide shows no {kind}: {kinds:?}");
    }
}

/// The file of a block.
pub(crate) fn name_of(page: &str, number: usize, block: &str) -> String {
    own_name(block).map_or_else(|| format!("{page}-{number}.yaml"), str::to_owned)
}

/// A block's first line may be a comment with nothing but a path, by which other blocks name it.
fn own_name(block: &str) -> Option<&str> {
    let first = block.lines().next()?;
    let named = first.strip_prefix("# ").or_else(|| first.strip_prefix("// "))?;
    let is_file = [".yaml", ".rhai", ".toml"].iter().any(|ending| named.ends_with(ending));
    (is_file && !named.contains(' ')).then_some(named)
}

/// Every row `| written | value |` of the page about expressions is true of the values that the page shows.
#[test]
fn the_guides_expressions_have_their_values() {
    let page = include_str!("../docs/guide/expressions.md");
    let json = page.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let seen: Value = serde_json::from_str(json).unwrap();
    let map = |key: &str| seen[key].as_object().unwrap().clone();
    let scope = Scope { inputs: map("inputs"), steps: map("steps"), run: map("run"), ..Scope::default() };
    let mut rows = 0;
    for row in page.lines().filter(|line| line.contains("${{") && line.starts_with("| `")) {
        let row = row.replace("\\|", "\u{1}");
        let cells: Vec<String> = row.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect();
        let code = |cell: &str| match cell.strip_prefix("`` ").and_then(|cell| cell.strip_suffix(" ``")) {
            Some(code) => code.to_owned(),
            None => cell.trim_matches('`').to_owned(),
        };
        let written = Template::parse(Value::from(code(&cells[1]))).unwrap();
        let expected: Value = serde_json::from_str(&code(&cells[2])).unwrap();
        assert_eq!(written.evaluate(&scope).unwrap(), expected, "{row}");
        rows += 1;
    }
    assert!(rows > 15, "{rows}");
}

/// The page about the workflows that come along has a section for each, with a command and every input.
#[test]
fn every_shipped_workflow_has_its_section() {
    let page = include_str!("../docs/guide/shipped.md");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows");
    let mut shipped = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.ends_with(".yaml") || name.ends_with(".test.yaml") {
            continue;
        }
        shipped += 1;
        let begins = format!("\n`{name}` ");
        let section = page.split("\n## ").find(|section| section.contains(&begins));
        let section = section.unwrap_or_else(|| panic!("no section begins with `{name}`"));
        assert!(section.contains(&format!("longhaul run workflows/{name} ")), "{name}: no command");
        let text = std::fs::read_to_string(&path).unwrap();
        let inputs =
            text.lines().skip_while(|line| *line != "inputs:").skip(1).take_while(|line| !line.is_empty());
        for input in inputs.filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' ')) {
            let input = input.split(':').next().unwrap();
            let row = |line: &str| {
                line.starts_with("| ") && line.split(" | ").next().unwrap().contains(&format!("`{input}`"))
            };
            assert!(section.lines().any(row), "{name}: the table has no input {input}");
        }
    }
    assert_eq!(shipped, 6);
}

/// The test file that a page shows comes out as the page says.
fn holds(file: &Path) {
    let tested = Command::new(binary()).args(["test", "--accept"]).arg(file).output().unwrap();
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stdout));
}
