//! What the sources define: `owner::name` and `name`, read from text as `rustfmt` leaves it.
//!
//! An owner is a type, a module (file, folder) or a table of SQL. Members are found by their
//! indentation below the line that opens their owner. The rows of a table that a macro turns into
//! items belong to every type of its file.

use std::collections::BTreeSet;
use std::path::Path;

/// Words before the keyword of an item that say nothing about its name.
const QUALIFIERS: [&str; 4] = ["async", "unsafe", "extern", "default"];
const KEYWORDS: [&str; 10] =
    ["fn", "struct", "enum", "trait", "type", "const", "static", "mod", "union", "macro_rules!"];

/// Everything that is defined: names alone, and each with its owner.
#[derive(Debug, Default)]
pub struct Definitions {
    names: BTreeSet<String>,
    owned: BTreeSet<(String, String)>,
}

/// What the lines below an opening line are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    Items,
    Variants,
    Fields,
    Macro,
}

/// A type, implementation or macro invocation that is open.
struct Open {
    owner: Option<String>,
    indent: usize,
    body: Body,
}

impl Definitions {
    /// Whether `a::b::c` is defined: each part in the one before; crate names stand for themselves.
    #[must_use]
    pub fn has(&self, symbol: &str) -> bool {
        let parts: Vec<&str> = symbol
            .split("::")
            .filter(|part| !part.starts_with("zmon_"))
            .map(|part| part.trim_end_matches("()"))
            .collect();
        let pair = |pair: &[&str]| match pair {
            [owner, name] => self.owned.contains(&((*owner).to_owned(), (*name).to_owned())),
            _ => false,
        };
        match &parts[..] {
            [] => false,
            [name] => self.names.contains(*name),
            several => several.windows(2).all(pair),
        }
    }

    /// Adds what a Rust file outside tests defines.
    pub fn add_rust(&mut self, path: &Path, text: &str) {
        let modules = modules(path);
        for (owner, name) in modules.iter().zip(modules.iter().skip(1)) {
            self.add(&[owner], name);
        }
        if let Some(module) = modules.first() {
            self.names.insert(module.clone());
        }
        let types = types(text);
        let mut open: Vec<Open> = Vec::new();
        for line in without_tests(text).lines() {
            let inner = line.trim_start();
            let indent = line.len() - inner.len();
            if inner.is_empty() || inner.starts_with("//") || inner.starts_with('#') {
                continue;
            }
            while open.last().is_some_and(|open| indent <= open.indent && !opens_late(inner)) {
                open.pop();
            }
            let inside = open.last().map(|open| (open.body, indent == open.indent + 4));
            match inside {
                Some((Body::Macro, _)) => {
                    if let Some(name) = listed(inner) {
                        let above = open.iter().filter_map(|open| open.owner.as_ref());
                        let owners = above.chain(&types).chain(&modules).map(String::as_str);
                        self.add(&owners.collect::<Vec<_>>(), name);
                        if inner.ends_with('{') {
                            let owner = Some(name.to_owned());
                            open.push(Open { owner, indent, body: Body::Macro });
                        }
                    }
                    continue;
                }
                Some((body @ (Body::Variants | Body::Fields), true)) => {
                    let owner = open.last().and_then(|open| open.owner.clone());
                    if let (Some(owner), Some(name)) = (owner, member(inner, body)) {
                        self.add(&[&owner], name);
                    }
                    continue;
                }
                Some((Body::Variants | Body::Fields, false)) => continue,
                Some((Body::Items, _)) | None => {}
            }
            self.item(inner, indent, &modules, &mut open);
        }
    }

    /// Adds the tables and views of a file of SQL, with every word of theirs.
    pub fn add_sql(&mut self, text: &str) {
        for statement in text.split(';') {
            let mut words = statement.split(|c: char| !(c.is_alphanumeric() || c == '_'));
            let created = words.by_ref().any(|word| word == "TABLE" || word == "VIEW");
            let rest: Vec<_> = words.filter(|word| !word.is_empty()).collect();
            let name = rest.iter().position(|word| !["IF", "NOT", "EXISTS"].contains(word));
            if let (true, Some((table, columns))) =
                (created, name.and_then(|at| rest.get(at..)?.split_first()))
            {
                self.names.insert((*table).to_owned());
                columns.iter().for_each(|column| self.add(&[table], column));
            }
        }
    }

    fn item(&mut self, inner: &str, indent: usize, modules: &[String], open: &mut Vec<Open>) {
        let opens = |owner, body| Open { owner, indent, body };
        if let Some(rest) = inner.strip_prefix("impl") {
            open.push(opens(implemented(rest), Body::Items));
            return;
        }
        if let Some((name, _)) = inner.split_once("! {").or_else(|| inner.split_once("!("))
            && word(name) == name
            && indent == 0
        {
            open.push(opens(None, Body::Macro));
            return;
        }
        let Some((keyword, name, rest)) = keyword(inner) else { return };
        match open.iter().rev().find_map(|open| open.owner.as_deref()) {
            Some(owner) => self.add(&[owner], name),
            None => {
                let modules: Vec<_> = modules.iter().map(String::as_str).collect();
                self.add(&modules, name);
            }
        }
        let body = match keyword {
            "enum" => Body::Variants,
            "struct" => Body::Fields,
            "trait" => Body::Items,
            _ => return,
        };
        match rest.split_once('{').and_then(|(_, inside)| inside.split_once('}')) {
            Some((inside, _)) => inside
                .split(',')
                .filter_map(|one| member(one.trim(), body))
                .for_each(|one| self.add(&[name], one)),
            None if rest.ends_with(';') => {}
            None => open.push(opens(Some(name.to_owned()), body)),
        }
    }

    fn add(&mut self, owners: &[&str], name: &str) {
        self.names.insert(name.to_owned());
        for owner in owners {
            self.owned.insert(((*owner).to_owned(), name.to_owned()));
        }
    }
}

/// The names of the folders and the file below `src`, outermost first.
fn modules(path: &Path) -> Vec<String> {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    let below = parts.iter().rposition(|part| part == "src").map_or(0, |at| at + 1);
    let names = parts.iter().skip(below).map(|part| part.trim_end_matches(".rs").to_owned());
    names.filter(|name| !["mod", "lib", "main"].contains(&name.as_str())).collect()
}

/// The types a file defines, those inside macros too.
fn types(text: &str) -> Vec<String> {
    let named = |line: &str| {
        let (keyword, name, _) = keyword(line.trim_start())?;
        ["enum", "struct", "trait"].contains(&keyword).then(|| name.to_owned())
    };
    text.lines().filter_map(named).filter(|name| !name.is_empty()).collect()
}

/// The text before a module of tests in the same file.
fn without_tests(text: &str) -> &str {
    let inline = text.match_indices("#[cfg(test)]\n").find(|(at, found)| {
        let next = text.get(at + found.len()..).unwrap_or_default();
        next.trim_start().starts_with("mod ")
            && next.lines().next().is_some_and(|l| l.ends_with('{'))
    });
    inline.and_then(|(at, _)| text.get(..at)).unwrap_or(text)
}

/// A line that belongs to an opening line although it stands as far left.
fn opens_late(inner: &str) -> bool {
    inner == "{" || inner == "where" || inner.starts_with(") ") || inner.starts_with("> ")
}

/// The keyword of an item, its name, and what follows.
fn keyword(inner: &str) -> Option<(&str, &str, &str)> {
    let mut rest = inner;
    loop {
        let (first, after) = rest.split_once(' ')?;
        let is_const_fn = first == "const" && after.split(' ').any(|next| next == "fn");
        let is_qualifier = first.starts_with("pub") || QUALIFIERS.contains(&first);
        if is_qualifier || is_const_fn || first.starts_with('"') {
            rest = after;
        } else {
            let keyword = KEYWORDS.iter().find(|keyword| **keyword == first)?;
            let name = word(after);
            return (!name.is_empty()).then_some((*keyword, name, after));
        }
    }
}

/// A variant or field.
fn member(inner: &str, body: Body) -> Option<&str> {
    let rest = if inner.starts_with("pub") { inner.split_once(' ')?.1 } else { inner };
    let name = word(rest);
    let after = rest.strip_prefix(name)?;
    let fits = match body {
        Body::Variants => name.starts_with(|c: char| c.is_ascii_uppercase()),
        Body::Fields => after.starts_with(':'),
        Body::Items | Body::Macro => false,
    };
    fits.then_some(name)
}

/// The name a row of a macro's table begins with.
fn listed(inner: &str) -> Option<&str> {
    let name = word(inner);
    let after = inner.strip_prefix(name)?;
    let separated = after.is_empty() || after.starts_with([':', ',', '(', ' ']);
    (!name.is_empty() && separated).then_some(name)
}

/// The type an `impl` is for.
fn implemented(rest: &str) -> Option<String> {
    let mut depth = 0_i32;
    let generics = rest.char_indices().find_map(|(at, c)| {
        depth += i32::from(c == '<') - i32::from(c == '>');
        (depth == 0).then_some(if c == '>' { at + 1 } else { at })
    });
    let rest = rest.get(generics?..)?;
    let of = rest.split_once(" for ").map_or(rest, |(_, of)| of);
    let path = of.trim_start().split(['<', ' ']).next()?;
    path.rsplit("::").next().map(|name| word(name).to_owned())
}

fn word(text: &str) -> &str {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default()
}

#[cfg(test)]
mod tests_of_this {
    use super::*;

    const SOURCE: &str = "
pub enum Event {
    Opened,
    Closed { code: u8 },
}
enum Short { One, Two(u8) }
pub struct Row {
    pub first: u8,
    second: u8,
}
impl<T: Into<u8>> From<T> for Row {
    fn from(value: T) -> Self {
        let absent = value;
        Self { first: absent.into(), second: MENTIONED }
    }
}
pub trait Port: Send {
    /// Says `documented`.
    async fn send(&self);
}
macro_rules! table {
    ($($name:ident = $text:literal,)+) => {
        pub enum Made { $($name,)+ }
        impl Made {
            pub const ALL: u8 = 1;
        }
    };
}
table! {
    /// One.
    Listed = \"listed\",
}
table! {
    /// A type.
    Grouped, \"grouped\" {
        Inner = \"inner\",
    }
}
pub const fn last() {}
#[cfg(test)]
mod tests {
    fn only_here() {}
}
";

    fn definitions() -> Definitions {
        let mut found = Definitions::default();
        found.add_rust(Path::new("crates/x/src/wide/narrow.rs"), SOURCE);
        found.add_sql("CREATE TABLE IF NOT EXISTS slots (name TEXT, sealed BLOB);\nSELECT 1;");
        found
    }

    #[test]
    fn a_symbol_is_defined_by_its_owner_and_nothing_else() {
        let found = definitions();
        for symbol in [
            "Event::Opened",
            "Event::Closed",
            "Short::Two",
            "Row::first",
            "Row::second",
            "Row::from",
            "zmon_x::Port::send()",
            "Made::ALL",
            "Made::Listed",
            "Grouped::Inner",
            "narrow::last",
            "wide::narrow::Row",
            "last",
            "slots::sealed",
            "narrow",
        ] {
            assert!(found.has(symbol), "{symbol}");
        }
        for symbol in [
            "Event::first",
            "Row::Opened",
            "absent",
            "MENTIONED",
            "documented",
            "only_here",
            "Port::from",
            "slots::other",
            "zmon_x",
            "",
        ] {
            assert!(!found.has(symbol), "{symbol}");
        }
    }
}
