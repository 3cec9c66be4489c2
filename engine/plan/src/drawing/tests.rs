use longhaul_model::Source;
use longhaul_model::action::Catalogue;
use longhaul_model::document::Document;

use super::*;
use crate::check::{Outline, outline};

const EVACUATE: &str = include_str!("../../../../workflows/evacuate.yaml");

/// Three branches that part and come together, an edge that a longer way repeats, and an edge by reading.
const BRANCHES: &str = r#"
apiVersion: longhaul/v1
kind: Workflow
name: branches
version: 1.0.0
inputs:
  from: { type: string, format: site-id }
  to: { type: string, format: site-id }
steps:
  preflight:
    uses: site.check@1
    with: { from: "${{ inputs.from }}", to: "${{ inputs.to }}", vms: [vm-a, vm-b] }
  tunnel:
    needs: [preflight]
    uses: wan.tunnel@1
    with: { from: "${{ inputs.from }}", to: "${{ inputs.to }}" }
  copy_a:
    needs: [preflight, tunnel]
    uses: storage.prefetch@1
    with: { vm: vm-a, from: "${{ inputs.from }}", to: "${{ inputs.to }}", until: { present: 0.9 } }
  copy_b:
    uses: storage.prefetch@1
    with:
      vm: vm-b
      from: ${{ inputs.from }}
      to: ${{ inputs.to }}
      until: { present: "${{ if steps.tunnel.outputs.lanes > 4 { 0.5 } else { 0.9 } }}" }
  names:
    needs: [preflight]
    foreach: ${{ ["vm-a", "vm-b"] }}
    as: vm
    max_parallel: 2
    steps:
      lower: { uses: gtm.prepare@1, with: { vm: "${{ vm }}", ttl: 5 } }
  move_a:
    needs: [copy_a, names]
    uses: vm.move@1
    with: { vm: vm-a, from: "${{ inputs.from }}", to: "${{ inputs.to }}", max_pause: 300ms }
    pivot: true
  move_b:
    needs: [copy_b, names]
    uses: vm.move@1
    with: { vm: vm-b, from: "${{ inputs.from }}", to: "${{ inputs.to }}", max_pause: 300ms }
    pivot: true
"#;

/// Conditions, a wait, and both blocks behind the steps.
const CONDITIONS: &str = r#"
apiVersion: longhaul/v1
kind: Workflow
name: conditions
version: 1.0.0
steps:
  night: { wait: 10m }
  lower: { needs: [night], uses: gtm.prepare@1, with: { vm: vm-a, ttl: 5 } }
  again:
    if: ${{ failed("lower") }}
    uses: gtm.prepare@1
    with: { vm: vm-a, ttl: 9 }
on_failure:
  tell: { uses: report.write@1, with: { to: failed } }
always:
  report: { uses: report.write@1, with: { to: report } }
"#;

fn drawn(text: &str) -> Outline {
    let catalogue: Catalogue =
        serde_json::from_str(include_str!("../../../../tests/fixtures/workflows/catalogue.json")).unwrap();
    let document = Document::parse(&Source::new("w.yaml", text)).unwrap();
    outline(&document, &catalogue).unwrap_or_else(|found| panic!("{}", found.render(false)))
}

/// The pictures are as reviewed.
#[test]
fn pictures() {
    for (name, text) in [("evacuate", EVACUATE), ("branches", BRANCHES), ("conditions", CONDITIONS)] {
        let outline = drawn(text);
        insta::assert_snapshot!(format!("{name}-terminal"), terminal(&outline));
        insta::assert_snapshot!(format!("{name}-dot"), dot(&outline));
        insta::assert_snapshot!(format!("{name}-mermaid"), mermaid(&outline));
        insta::assert_snapshot!(format!("{name}-svg"), svg(&outline));
    }
}

/// A terminal of 80 columns shows them without breaking a line.
#[test]
fn a_terminal_of_80_columns_is_wide_enough() {
    for text in [EVACUATE, BRANCHES, CONDITIONS] {
        let picture = terminal(&drawn(text));
        let longest = picture.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(80), "{longest:?}\n{picture}");
    }
}

/// What ends a string or begins a tag in the languages of the pictures does neither.
#[test]
fn what_an_author_writes_breaks_no_picture() {
    let outline = drawn(&BRANCHES.replace("[\"vm-a\", \"vm-b\"]", "[`vm-a`, \"<b>\"]"));
    assert!(dot(&outline).contains(r#"${{ [`vm-a`, \"<b>\"] }}"#), "{}", dot(&outline));
    assert!(mermaid(&outline).contains("#96;vm-a#96;, #34;#60;b#62;#34;"), "{}", mermaid(&outline));
}
