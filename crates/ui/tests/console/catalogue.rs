//! The console's message catalogue against the page, and against what it takes from the page for
//! tablets.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

const LANGUAGES: [&str; 3] = ["en", "es", "de"];

fn folder(name: &str) -> String {
    format!("{}/assets/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn catalogue(page: &str, language: &str) -> Value {
    let text = fs::read_to_string(format!("{}/{language}.json", folder(page))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Everything that is written by hand and may name a text.
fn sources() -> String {
    let files = fs::read_dir(folder("console")).unwrap().map(|entry| entry.unwrap().path());
    let ours = files.filter(|path| {
        path.extension().is_some_and(|extension| extension == "js" || extension == "html")
    });
    ours.map(|path| fs::read_to_string(path).unwrap()).collect()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn names(text: &str) -> BTreeSet<&str> {
    text.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect()
}

#[test]
fn every_language_has_every_text_with_the_same_names_in_it() {
    let english = catalogue("console", "en");
    for language in LANGUAGES {
        let other = catalogue("console", language);
        assert_eq!(keys(&other), keys(&english), "{language}");
        for kind in keys(&english) {
            assert_eq!(keys(&other[kind]), keys(&english[kind]), "{kind} of {language}");
            for (key, text) in other[kind].as_object().unwrap() {
                let text = text.as_str().unwrap();
                assert!(!text.is_empty() && text.trim() == text, "{key} of {language}");
                let expected = names(english[kind][key].as_str().unwrap());
                assert_eq!(names(text), expected, "{key} of {language}");
            }
        }
    }
}

#[test]
fn every_text_that_the_page_names_exists_and_none_is_idle() {
    let (english, tablet) = (catalogue("console", "en"), catalogue("tablet", "en"));
    let (own, sources) = (keys(&english["texts"]), sources());
    let texts: BTreeSet<_> = own.union(&keys(&tablet["texts"])).copied().collect();
    let after = |mark| -> BTreeSet<String> {
        let named = sources.split(mark).skip(1).filter_map(|rest| rest.split('"').next());
        named.map(str::to_owned).collect()
    };
    let marks = ["data-text=\"", "data-hint=\"", " text(\"", "(text(\"", "{ title: text(\""];
    let named: BTreeSet<_> = marks.into_iter().flat_map(after).collect();
    assert!(named.len() > 50);
    for name in named {
        assert!(texts.contains(name.as_str()), "{name}");
    }
    for key in own {
        assert!(sources.contains(&format!("\"{key}\"")), "nothing says {key}");
    }
}
