//! The message catalogue against the words of the domain.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use zmon_domain::error::ErrorCode;
use zmon_domain::role::Role;
use zmon_domain::state::ProvisioningState;

const FOREIGN: [&str; 2] = ["es", "de"];

fn asset(name: &str) -> String {
    fs::read_to_string(format!("{}/assets/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn catalogue(language: &str) -> Value {
    serde_json::from_str(&asset(&format!("{language}.json"))).unwrap()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// A text of the page, as far as a test can tell.
fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty() && text.trim() == text)
}

#[test]
fn every_language_has_every_text() {
    let english = catalogue("en");
    for language in FOREIGN {
        let other = catalogue(language);
        assert_eq!(keys(&other), keys(&english), "{language}");
        for kind in ["texts", "indicators", "steps", "sides", "roles"] {
            assert_eq!(keys(&other[kind]), keys(&english[kind]), "{kind} of {language}");
            for (key, text) in other[kind].as_object().unwrap() {
                assert!(is_text(text), "{kind}.{key} of {language}");
                let english = english[kind][key].as_str().unwrap();
                let named = |text: &str| text.matches('{').count();
                assert_eq!(named(text.as_str().unwrap()), named(english), "{kind}.{key}");
            }
        }
    }
}

#[test]
fn states_and_errors_are_the_devices_own_words_in_english_and_translated_elsewhere() {
    let english = catalogue("en");
    for kind in ["states", "manual", "errors"] {
        assert!(keys(&english[kind]).is_empty(), "{kind}");
    }
    let states: BTreeSet<_> = ProvisioningState::ALL.iter().map(|state| state.as_str()).collect();
    let codes: BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    for language in FOREIGN {
        let other = catalogue(language);
        assert_eq!(keys(&other["states"]), states, "{language}");
        let missing: Vec<_> = codes.difference(&keys(&other["errors"])).copied().collect();
        assert_eq!(missing, Vec::<&str>::new(), "errors without a text in {language}");
        assert_eq!(keys(&other["manual"]), BTreeSet::from(["migrating", "prompt", "unusable"]));
        for (code, texts) in other["errors"].as_object().unwrap() {
            let [cause, next] = texts.as_array().unwrap().as_slice() else { panic!("{code}") };
            for text in [cause, next] {
                assert!(is_text(text) && text.as_str().unwrap().ends_with('.'), "{code}");
            }
        }
    }
}

#[test]
fn every_word_of_the_device_has_a_text() {
    let english = catalogue("en");
    for state in ProvisioningState::ALL {
        let name = state.indicator().map_or(state.as_str(), |indicator| indicator.as_str());
        assert!(is_text(&english["indicators"][name]), "{state}");
    }
    for code in ErrorCode::ALL {
        assert!(is_text(&english["steps"][code.step().as_str()]), "{code}");
        assert!(is_text(&english["sides"][code.side().as_str()]), "{code}");
    }
    for role in Role::ALL {
        assert!(is_text(&english["roles"][role.as_str()]), "{role}");
    }
}

#[test]
fn the_buttons_are_the_documents_words() {
    let english = catalogue("en");
    for (key, words) in [
        ("enter", "Enter Provisioning Mode"),
        ("regenerate", "Regenerate QR Code"),
        ("cancel", "Cancel Provisioning"),
        ("reprovision", "Re-provision Device"),
        ("simulate", "Simulate Configuration"),
    ] {
        assert_eq!(english["texts"][key], words);
    }
    for name in ["Ready", "Pairing", "Configuring", "Connected", "Error"] {
        assert_eq!(english["indicators"][name], name);
    }
}

#[test]
fn every_text_that_the_page_names_exists_and_none_is_idle() {
    let english = catalogue("en");
    let texts = keys(&english["texts"]);
    let page = ["index.html", "draw.js", "pin.js", "app.js"].map(asset).concat();
    let after = |mark: &str| -> BTreeSet<String> {
        let names = page.split(mark).skip(1).filter_map(|rest| rest.split('"').next());
        names.map(str::to_owned).collect()
    };
    let named = &after("data-text=\"") | &after("text(\"");
    for name in &named {
        assert!(texts.contains(name.as_str()), "{name}");
    }
    // Named by what the device says: buttons, what a clock says of a certificate, keys of the pad.
    let said = ["enter", "regenerate", "cancel", "reprovision", "simulate"];
    let said = said
        .into_iter()
        .chain(["migrate", "postpone", "valid", "expired", "unknown", "clear", "erase"])
        .chain(["confirmStation", "refuseStation"]);
    let used: BTreeSet<_> = named.iter().map(String::as_str).chain(said).collect();
    assert_eq!(texts.difference(&used).collect::<Vec<_>>(), Vec::<&&str>::new());
}
