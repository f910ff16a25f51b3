//! The OpenAPI documents against the readers that they speak about.

#![expect(clippy::unwrap_used, reason = "a panic is the report of a failing test")]

#[expect(clippy::expect_used, reason = "the golden files of `zmon_wire`")]
#[path = "../../crates/wire/tests/messages/list.rs"]
mod list;

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::Validator;
use proptest::prelude::*;
use proptest::string::string_regex;
use serde_json::{Value, json};
use zmon_tests::documents;
use zmon_tests::openapi::{self, forms};
use zmon_transport::{device_listener, paths, station_api};

const DOCUMENTS: [&str; 2] = ["docs/openapi.json", "docs/openapi-device.json"];

fn document(path: &str) -> Value {
    serde_json::from_str(&documents::read(path).unwrap()).unwrap()
}

/// The judge of one component of a document.
fn judge(document: &Value, name: &str) -> Validator {
    judge_of(&json!({
        "$ref": format!("#/components/schemas/{name}"),
        "components": document["components"],
    }))
}

fn judge_of(schema: &Value) -> Validator {
    let options = jsonschema::draft202012::options().should_validate_formats(true);
    options.build(schema).unwrap()
}

#[test]
fn every_path_is_in_one_of_the_documents_and_no_other_is() {
    let mut documented = BTreeSet::new();
    for path in DOCUMENTS {
        let document = document(path);
        documented.extend(document["paths"].as_object().unwrap().keys().cloned());
    }
    // Those of EST are described by RFC 7030.
    let own = paths::ALL.iter().filter(|path| path.starts_with("/api/"));
    let all: BTreeSet<_> = own.map(|path| (*path).to_owned()).collect();
    assert_eq!(documented, all);
}

#[test]
fn every_operation_has_its_own_name() {
    let listeners = station_api::contract::listeners();
    let operations = listeners.iter().map(|listener| listener.operations.len()).sum::<usize>();
    for (path, shared, count) in [
        // The question of a device in doubt is taken by two listeners.
        (DOCUMENTS[0], 1, operations),
        (DOCUMENTS[1], 0, device_listener::operations().len()),
    ] {
        let document = document(path);
        let items = document["paths"].as_object().unwrap().values();
        let found = items.flat_map(|item| item.as_object().unwrap().values());
        let names: Vec<_> = found.map(|one| one["operationId"].as_str().unwrap()).collect();
        assert_eq!(names.len() + shared, count, "{path}");
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{path}");
    }
}

/// Each golden file is taken, and so is what became of it by one change exactly if the reader takes it.
#[test]
fn schemas_take_what_the_readers_take() {
    let types: BTreeMap<String, String> = openapi::goldens().unwrap().into_iter().collect();
    let (mut messages, mut changes, mut wrong) = (BTreeSet::new(), 0, Vec::new());
    for document in DOCUMENTS.map(document) {
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for golden in list::ALL {
            let name = &types[golden.name];
            if !schemas.contains_key(name) {
                continue;
            }
            let judge = judge(&document, name);
            let value = golden.value();
            assert!(judge.is_valid(&value), "{}: {:?}", golden.name, judge.validate(&value));
            for changed in spoiled(&value) {
                let (valid, taken) = (judge.validate(&changed), golden.read(&changed));
                if valid.is_ok() != taken.is_ok() {
                    wrong
                        .push(format!("{}: {changed:.200}\n  {valid:?}\n  {taken:?}", golden.name));
                }
                changes += 1;
            }
            messages.insert(name);
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(messages.len() > 45 && changes > 5000, "{} {changes}", messages.len());
}

/// What is left of a value when one thing of it is changed.
fn spoiled(value: &Value) -> Vec<Value> {
    let mut all = vec![
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(-1),
        json!(1.5),
        json!(70_000),
        json!(5_000_000_000_u64),
        json!(u64::MAX),
        json!(""),
        json!(" "),
        json!("x"),
        json!("a\u{7}b"),
        json!("\u{202e}evil"),
        json!("ZM-001"),
        json!("ab".repeat(32)),
        json!("A".repeat(43)),
        json!("a".repeat(65)),
        json!("a".repeat(257)),
        json!("a".repeat(1025)),
        json!("a".repeat(50_000)),
        json!("e30.e30.e30"),
        json!([]),
        json!([1]),
        json!({}),
        json!({ "more": 1 }),
    ];
    match value {
        Value::Object(members) => {
            for (name, inside) in members {
                let mut without = members.clone();
                without.remove(name);
                all.push(Value::from(without));
                for changed in spoiled(inside) {
                    let mut with = members.clone();
                    with.insert(name.clone(), changed);
                    all.push(Value::from(with));
                }
            }
            let mut more = members.clone();
            more.insert("more".to_owned(), json!(1));
            all.push(Value::from(more));
        }
        Value::Array(elements) => {
            if let Some((first, rest)) = elements.split_first() {
                let changed = spoiled(first).into_iter();
                all.extend(changed.map(|one| [&[one], rest].concat().into()));
            }
        }
        Value::String(text) => {
            let longer = [format!("{text}x"), format!(" {text}"), text.to_uppercase()];
            all.extend(longer.map(Value::from));
            all.extend(text.get(1..).map(Value::from));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    all
}

/// What a pattern makes is taken by the parser, and what the parser takes is written as the schema says.
#[test]
fn patterns_say_what_the_parsers_say() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for form in forms::texts() {
        let judge = judge_of(&form.schema);
        let words = form.schema["enum"].as_array();
        let pattern = form.schema["pattern"].as_str();
        let texts: BoxedStrategy<String> = match (words, pattern) {
            (Some(words), _) => {
                let words: Vec<_> = words.iter().map(|w| w.as_str().unwrap().to_owned()).collect();
                prop::sample::select(words).boxed()
            }
            (None, Some(pattern)) => {
                let inside = pattern.trim_start_matches('^').trim_end_matches('$');
                string_regex(inside).unwrap().boxed()
            }
            (None, None) => "[0-9a-f:.]{2,20}".boxed(),
        };
        let exact = !["ServerUrl", "Network", "DeviceAddress"].contains(&form.name);
        let outcome = runner.run(&(texts, "[ -~]{0,3}"), |(text, more)| {
            let read = (form.read)(&text);
            if exact && judge.is_valid(&json!(text)) {
                prop_assert!(read.is_some(), "{}: {text:?}", form.name);
            }
            // A parser may take more than the schema has; what it writes is what the schema has.
            for text in [text.clone(), format!("{text}{more}"), format!("{more}{text}")] {
                let written = (form.read)(&text);
                if let Some(written) = written {
                    prop_assert!(judge.is_valid(&json!(written)), "{}: {written:?}", form.name);
                }
            }
            Ok(())
        });
        assert!(outcome.is_ok(), "{}: {outcome:?}", form.name);
    }
}

/// The document as a whole is what OpenAPI 3.1 asks: each reference leads somewhere, each component is used.
#[test]
fn references_lead_to_components_and_all_are_used() {
    for path in DOCUMENTS {
        let document = document(path);
        assert_eq!(document["openapi"], "3.1.0");
        let mut referred = BTreeSet::new();
        collect(&document, &mut referred);
        let mut components = BTreeSet::new();
        for (kind, named) in document["components"].as_object().unwrap() {
            if kind == "securitySchemes" {
                continue;
            }
            for name in named.as_object().unwrap().keys() {
                components.insert(format!("#/components/{kind}/{name}"));
            }
        }
        assert!(referred.is_subset(&components), "{path}: {referred:?}");
        let unused: Vec<_> = components.difference(&referred).collect();
        assert!(unused.is_empty(), "{path}: {unused:?}");
    }
}

fn collect(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            into.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|inside| collect(inside, into));
        }
        Value::Array(elements) => elements.iter().for_each(|inside| collect(inside, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A change of the sources that is not understood is an error, so that nothing is left out of a document.
#[test]
fn the_documents_hold_every_rule_that_a_body_has() {
    let document = document(DOCUMENTS[0]);
    let scan = &document["components"]["schemas"]["ScanRequest"];
    assert_eq!(scan["additionalProperties"], false);
    assert_eq!(scan["required"], json!(["deviceId", "pairingCode"]));
    assert_eq!(scan["properties"]["pairingCode"]["maxLength"], 64);
    assert_eq!(scan["examples"][0]["deviceId"], "ZM-001");
}
