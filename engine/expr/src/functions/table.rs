//! What is said of each function, here and nowhere else.

use super::{Function, Group};
use crate::Shape;

/// One line of the table for each function.
macro_rules! functions {
    ($($group:ident { $($name:literal, $shape:ident: [$($signature:literal),+], $means:literal, $example:literal => $value:literal;)+ })+) => {
        /// Every function and method that an expression may call, by groups.
        pub static FUNCTIONS: &[Function] = &[$($(Function {
            name: $name,
            group: Group::$group,
            signatures: &[$($signature),+],
            means: $means,
            example: $example,
            value: $value,
            shape: Shape::$shape,
        },)+)+];
    };
}

functions! {
    Run {
        "always", Boolean: ["always() -> boolean"],
            "True; a step whose `if` says it runs whatever became of the steps before it.",
            "always()" => "true";
        "failed", Boolean: ["failed(step id) -> boolean"],
            "Whether the step failed for good; in an `if` this answers the failure.",
            "failed(\"copy\")" => "false";
        "now", Any: ["now() -> time"],
            "The time of the run's event that is being applied, so that a replay sees the same; known in a run only.",
            "now()" => "\"2026-08-30T06:00:00Z\"";
        "site_up", Boolean: ["site_up(site id) -> boolean"],
            "Whether the site's agent answers. It is asked when the step's turn has come, or that of its undo, and the answer is recorded: only an `if`, and `requires` of a compensation, can ask.",
            "site_up(\"tampa\")" => "true";
        "skipped", Boolean: ["skipped(step id) -> boolean"],
            "Whether the step was passed over.",
            "skipped(\"dns\")" => "true";
        "succeeded", Boolean: ["succeeded(step id) -> boolean"],
            "Whether the step did what it does.",
            "succeeded(\"copy\")" => "true";
    }
    Lists {
        "all", Boolean: ["list.all(|item| boolean) -> boolean"],
            "Whether the closure is true of every item.",
            "inputs.vms.all(|vm| vm.starts_with(\"vm-\"))" => "true";
        "contains", Boolean: ["list.contains(value) -> boolean", "text.contains(text) -> boolean", "map.contains(key) -> boolean"],
            "Whether it is in there; `value in list` says the same.",
            "inputs.vms.contains(\"vm-b\")" => "true";
        "filter", Any: ["list.filter(|item| boolean) -> list"],
            "The items of which the closure is true, in their order.",
            "inputs.vms.filter(|vm| vm != \"vm-a\")" => "[\"vm-b\", \"vm-c\"]";
        "find", Any: ["list.find(|item| boolean) -> item or nothing"],
            "The first item of which the closure is true; nothing if there is none, so give a default with `??`.",
            "inputs.vms.find(|vm| vm.ends_with(\"z\")) ?? \"none\"" => "\"none\"";
        "get", Any: ["list.get(index) -> item or nothing", "map.get(key) -> value or nothing"],
            "What stands there, or nothing; `list[index]` and `map.key` are an error where nothing stands.",
            "inputs.memory.get(\"vm-z\") ?? \"unknown\"" => "\"unknown\"";
        "index_of", Integer: ["list.index_of(value) -> integer", "list.index_of(|item| boolean) -> integer", "text.index_of(text) -> integer"],
            "The place, from 0, of the first that is equal or of which the closure is true; -1 if there is none.",
            "inputs.vms.index_of(\"vm-c\")" => "2";
        "is_empty", Boolean: ["list.is_empty() -> boolean", "text.is_empty() -> boolean", "map.is_empty() -> boolean"],
            "Whether nothing is in it.",
            "inputs.vms.is_empty()" => "false";
        "join", Text: ["list.join(text) -> text"],
            "The items as one text with `text` between them; items are texts, numbers, truth values or quantities.",
            "inputs.vms.join(\", \")" => "\"vm-a, vm-b, vm-c\"";
        "keys", List: ["map.keys() -> list of text"],
            "The keys of a map, sorted.",
            "inputs.memory.keys()" => "[\"vm-a\", \"vm-b\"]";
        "len", Integer: ["list.len() -> integer", "text.len() -> integer", "map.len() -> integer"],
            "How many items, letters or entries there are.",
            "inputs.vms.len()" => "3";
        "map", Any: ["list.map(|item| value) -> list"],
            "What the closure makes of each item.",
            "inputs.vms.map(|vm| vm + \".example.com\")" => "[\"vm-a.example.com\", \"vm-b.example.com\", \"vm-c.example.com\"]";
        "range", List: ["range(from, to) -> list of integer", "range(from, to, step) -> list of integer"],
            "The whole numbers from `from` up to but without `to`.",
            "range(0, 10, 3)" => "[0, 3, 6, 9]";
        "reduce", Any: ["list.reduce(|so_far, item| value, first) -> value"],
            "What the closure makes of all items, one after the other, beginning with `first`.",
            "[1, 2, 3].reduce(|sum, n| sum + n, 0)" => "6";
        "some", Boolean: ["list.some(|item| boolean) -> boolean"],
            "Whether the closure is true of at least one item.",
            "inputs.vms.some(|vm| vm == \"vm-b\")" => "true";
        "sort", List: ["list.sort() -> list"],
            "The items in order: all numbers, all texts, or all quantities of one kind.",
            "[3, 1.5, 2].sort()" => "[1.5, 2, 3]";
        "sum", Any: ["list.sum() -> number or quantity"],
            "All items added up: numbers, or durations, sizes or rates; 0 for an empty list.",
            "inputs.memory.values().map(|it| size(it)).sum()" => "\"12GiB\"";
        "unique", List: ["list.unique() -> list"],
            "The items without those that stand before already.",
            "[\"a\", \"b\", \"a\"].unique()" => "[\"a\", \"b\"]";
        "values", List: ["map.values() -> list"],
            "The values of a map, in the order of its keys.",
            "inputs.memory.values()" => "[\"8GiB\", \"4GiB\"]";
        "zip", List: ["list.zip(list) -> list of pairs"],
            "The first items of both, then the second ones, and so on, as long as both have some.",
            "inputs.vms.zip([1, 2])" => "[[\"vm-a\", 1], [\"vm-b\", 2]]";
    }
    Text {
        "ends_with", Boolean: ["text.ends_with(text) -> boolean"],
            "Whether it ends so.",
            "\"web-1\".ends_with(\"-1\")" => "true";
        "parse_float", Number: ["parse_float(text) -> number"],
            "The number that is written there; an error if it is none.",
            "parse_float(\"0.99\")" => "0.99";
        "parse_int", Integer: ["parse_int(text) -> integer", "parse_int(text, base) -> integer"],
            "The whole number that is written there; an error if it is none.",
            "parse_int(\"ff\", 16)" => "255";
        "replace", Text: ["text.replace(text, text) -> text"],
            "The text with every occurrence of the first replaced by the second.",
            "\"vm-a.old\".replace(\".old\", \".new\")" => "\"vm-a.new\"";
        "split", List: ["text.split(text) -> list of text"],
            "The parts between the separators.",
            "\"east,west\".split(\",\")" => "[\"east\", \"west\"]";
        "starts_with", Boolean: ["text.starts_with(text) -> boolean"],
            "Whether it begins so.",
            "\"web-1\".starts_with(\"web\")" => "true";
        "sub_string", Text: ["text.sub_string(from) -> text", "text.sub_string(from, letters) -> text"],
            "The part from a letter on, counted from 0.",
            "\"web-1\".sub_string(4)" => "\"1\"";
        "to_lower", Text: ["text.to_lower() -> text"],
            "The text in small letters.",
            "\"WEB\".to_lower()" => "\"web\"";
        "to_string", Text: ["value.to_string() -> text"],
            "A number, a truth value or a quantity as text.",
            "(1 + 1).to_string()" => "\"2\"";
        "to_upper", Text: ["text.to_upper() -> text"],
            "The text in capitals.",
            "\"web\".to_upper()" => "\"WEB\"";
        "trim", Text: ["text.trim() -> text"],
            "The text without white space at its ends.",
            "\" web-1 \".trim()" => "\"web-1\"";
    }
    Numbers {
        "abs", Number: ["number.abs() -> number"],
            "The number without its sign.",
            "(-3).abs()" => "3";
        "ceiling", Number: ["number.ceiling() -> number"],
            "The next whole number above.",
            "1.2.ceiling()" => "2.0";
        "floor", Number: ["number.floor() -> number"],
            "The next whole number below.",
            "1.8.floor()" => "1.0";
        "max", Any: ["max(number, number) -> number", "max(text, text) -> text"],
            "The greater of the two.",
            "max(2, 7)" => "7";
        "min", Any: ["min(number, number) -> number", "min(text, text) -> text"],
            "The smaller of the two.",
            "min(inputs.vms.len(), 2)" => "2";
        "round", Number: ["number.round() -> number"],
            "The nearest whole number.",
            "1.5.round()" => "2.0";
        "to_float", Number: ["number.to_float() -> number"],
            "The number as one with a fraction: `/` between whole numbers leaves the fraction out.",
            "7.to_float() / 2" => "3.5";
        "to_int", Integer: ["number.to_int() -> integer"],
            "The whole part of a number.",
            "3.9.to_int()" => "3";
    }
    Quantities {
        "bits_per_second", Integer: ["bits_per_second(rate) -> integer"],
            "A rate as a number.",
            "bits_per_second(rate(\"100Mbit/s\"))" => "100000000";
        "bytes", Integer: ["bytes(size) -> integer"],
            "A size as a number.",
            "bytes(size(\"2KiB\"))" => "2048";
        "duration", Text: ["duration(text) -> duration"],
            "A length of time: a number with `ms`, `s`, `m`, `h` or `d`.",
            "duration(\"90s\") + \"30s\"" => "\"2m\"";
        "format_duration", Text: ["format_duration(duration) -> text", "format_duration(seconds) -> text"],
            "A length of time for people, in its two largest units.",
            "format_duration(5025)" => "\"1h 23m\"";
        "format_rate", Text: ["format_rate(rate) -> text", "format_rate(bits per second) -> text"],
            "A rate for people, to a tenth.",
            "format_rate(12500000)" => "\"12.5 Mbit/s\"";
        "format_size", Text: ["format_size(size) -> text", "format_size(bytes) -> text"],
            "An amount of data for people, to a tenth.",
            "format_size(1610612736)" => "\"1.5 GiB\"";
        "rate", Text: ["rate(text) -> rate"],
            "A rate: a number with `bit/s`, `kbit/s`, `Mbit/s` or `Gbit/s`. A size divided by a rate is a duration.",
            "size(\"750MiB\") / rate(\"100Mbit/s\")" => "\"62915ms\"";
        "seconds", Number: ["seconds(duration) -> number"],
            "A duration as a number.",
            "seconds(duration(\"1500ms\"))" => "1.5";
        "size", Text: ["size(text) -> size"],
            "An amount of data: a number with `B`, `KiB`, `MiB`, `GiB` or `TiB`.",
            "size(\"2GiB\") / 4" => "\"512MiB\"";
        "time", Text: ["time(text) -> time"],
            "A point in time, RFC 3339. A time less a duration is a time, a time less a time a duration.",
            "time(\"2026-08-30T18:00:00Z\") - duration(\"30m\")" => "\"2026-08-30T17:30:00Z\"";
    }
}
