//! The messages of `zmon_wire` as JSON Schema, read from its sources: the attributes by which serde reads
//! and writes a member are the only place that says what it looks like.
//!
//! What is not understood is an error, never left out.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "Rust has more forms than those that are understood here"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use syn::{
    Attribute, Expr, Field, Fields, GenericArgument, Item, ItemEnum, ItemStruct, Lit, LitStr, Meta,
    PathArguments, Type, UseTree, Variant,
};
use zmon_wire::kind::{Method, Suite};

use super::{OpenApiError, forms};
use crate::documents::root;

/// The types and constants of the sources, by name.
pub(super) struct Sources {
    /// Types by their own name and that of their file: some names stand in two.
    structs: BTreeMap<(String, String), ItemStruct>,
    enums: BTreeMap<(String, String), ItemEnum>,
    /// Where a file has a name from, by its own and that name.
    imports: BTreeMap<(String, String), String>,
    /// Numbers by the name of their file and their own.
    numbers: BTreeMap<(String, String), u64>,
}

/// A member: its schema, and whether it must be there.
type Member = (String, Value, bool);

impl Sources {
    /// Reads every file of `zmon_wire` outside its tests.
    pub(super) fn read() -> Result<Self, OpenApiError> {
        let (structs, enums, imports) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut sources = Self { structs, enums, imports, numbers: BTreeMap::new() };
        sources.read_folder(&root().join("crates/wire/src"))?;
        Ok(sources)
    }

    /// The schema of a message or of a part of one, as a module means it that names it, and the module
    /// that it is of: that one, or the only one that has it.
    pub(super) fn schema(&self, module: &str, name: &str) -> Result<(String, Value), OpenApiError> {
        if let Some(form) = forms::texts().into_iter().find(|form| form.name == name) {
            return Ok((String::new(), form.schema));
        }
        let homes = self.homes(name);
        let home = match &homes[..] {
            [only] => only,
            several => {
                let imported = self.imports.get(&(module.to_owned(), name.to_owned()));
                let meant = imported.map_or(module, String::as_str);
                let found = several.iter().find(|home| **home == meant);
                found.ok_or_else(|| strange("no such message", name))?
            }
        };
        let key = (name.to_owned(), (*home).to_owned());
        let schema = match (self.structs.get(&key), self.enums.get(&key)) {
            (Some(found), _) => self.object(found)?,
            (None, Some(found)) => self.choice(found)?,
            (None, None) => return Err(strange("no such message", name)),
        };
        Ok(((*home).to_owned(), schema))
    }

    /// The modules that have a type of this name.
    fn homes(&self, name: &str) -> Vec<&str> {
        let keys = self.structs.keys().chain(self.enums.keys());
        keys.filter(|(own, _)| own == name).map(|(_, home)| home.as_str()).collect()
    }

    fn read_folder(&mut self, folder: &Path) -> Result<(), OpenApiError> {
        let io = |error| OpenApiError::Io(folder.to_owned(), error);
        for entry in fs::read_dir(folder).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.is_dir() {
                self.read_folder(&path)?;
            } else if !path.ends_with("tests.rs") {
                self.read_file(&path)?;
            }
        }
        Ok(())
    }

    fn read_file(&mut self, path: &Path) -> Result<(), OpenApiError> {
        let text = fs::read_to_string(path).map_err(|e| OpenApiError::Io(path.to_owned(), e))?;
        let file = syn::parse_file(&text)?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for item in file.items {
            match item {
                Item::Struct(item) if is_read_by_serde(&item.attrs) => {
                    self.structs.insert((item.ident.to_string(), stem.clone()), item);
                }
                Item::Enum(item) if is_read_by_serde(&item.attrs) => {
                    self.enums.insert((item.ident.to_string(), stem.clone()), item);
                }
                Item::Use(item) => self.import(&stem, "", &item.tree),
                Item::Const(item) => {
                    if let Expr::Lit(literal) = &*item.expr
                        && let Lit::Int(number) = &literal.lit
                    {
                        let key = (stem.clone(), item.ident.to_string());
                        self.numbers.insert(key, number.base10_parse()?);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn import(&mut self, file: &str, from: &str, tree: &UseTree) {
        match tree {
            UseTree::Path(path) => self.import(file, &path.ident.to_string(), &path.tree),
            UseTree::Name(name) => {
                let key = (file.to_owned(), name.ident.to_string());
                self.imports.insert(key, from.to_owned());
            }
            UseTree::Group(group) => {
                group.items.iter().for_each(|one| self.import(file, from, one))
            }
            UseTree::Rename(_) | UseTree::Glob(_) => {}
        }
    }

    fn number(&self, file: &str, name: &str) -> Result<u64, OpenApiError> {
        let found = self.numbers.get(&(file.to_owned(), name.to_owned()));
        found.copied().ok_or_else(|| strange("no such number", name))
    }

    fn object(&self, item: &ItemStruct) -> Result<Value, OpenApiError> {
        let Fields::Named(fields) = &item.fields else {
            return Err(strange("no members", item.ident.to_string()));
        };
        let container = Container::of(&item.attrs)?;
        let members = self.members(fields.named.iter(), container.camel_case)?;
        Ok(described(object(members, container.closed), &item.attrs))
    }

    fn members<'a>(
        &self,
        fields: impl Iterator<Item = &'a Field>,
        camel_case: bool,
    ) -> Result<Vec<Member>, OpenApiError> {
        fields.map(|field| self.member(field, camel_case)).collect()
    }

    fn member(&self, field: &Field, camel_case: bool) -> Result<Member, OpenApiError> {
        let ident = field.ident.as_ref().ok_or_else(|| strange("a member", "without name"))?;
        let name = ident.to_string().trim_start_matches("r#").to_owned();
        let reading = Reading::of(&field.attrs)?;
        let schema = match &reading.reader {
            Some(reader) => self.read_by(reader, &field.ty)?,
            None => self.plain(&field.ty)?,
        };
        let absent = reading.default || (reading.reader.is_none() && is_option(&field.ty));
        let name = reading.renamed.unwrap_or(if camel_case { camel(&name) } else { name });
        Ok((name, described(schema, &field.attrs), !absent))
    }

    /// The schema of a member that a function or module of `zmon_wire` reads.
    fn read_by(&self, reader: &str, ty: &Type) -> Result<Value, OpenApiError> {
        let (word, words) = (self.number("text", "WORD_MAX"), self.number("text", "WORDS_MAX"));
        Ok(match reader.trim_start_matches("crate::") {
            "text" => reference(&named(ty)?),
            "text::option" => or_null(reference(&named(inner(ty)?)?)),
            "text::list" => list(reference(&named(inner(ty)?)?)),
            "text::unix_seconds" => forms::unix_seconds(),
            "text::sync_interval" => forms::sync_interval(),
            "text::sync_interval_option" => or_null(forms::sync_interval()),
            "text::hash" => forms::hash(),
            "text::hash_option" => or_null(forms::hash()),
            "text::word" => forms::plain(word?),
            "text::word_option" => or_null(forms::plain(word?)),
            "text::word_list" => list(forms::plain(word?)),
            "text::words" => forms::plain(words?),
            "text::words_option" => or_null(forms::plain(words?)),
            "b64::array" => forms::bytes(length(ty)?),
            "b64::array_option" => forms::bytes(length(inner(ty)?)?),
            "b64::url" => forms::base64url(self.number("b64", "MEMBER_MAX")?),
            "b64::url_option" => or_null(forms::base64url(self.number("b64", "MEMBER_MAX")?)),
            "jws::compact" => forms::compact(self.number("jws", "COMPACT_MAX")?),
            "jws::compact_option" => or_null(forms::compact(self.number("jws", "COMPACT_MAX")?)),
            "secret::code" => forms::bounded(self.number("secret", "CODE_MAX")?),
            "secret::token" => forms::token(self.number("secret", "TOKEN_MAX")?),
            "secret::token_option" => or_null(forms::token(self.number("secret", "TOKEN_MAX")?)),
            "secret::password" => password(),
            "secret::password_option" => or_null(password()),
            "secret::key_option" => or_null(forms::bounded(self.number("secret", "KEY_MAX")?)),
            other => return Err(strange("a reader", other)),
        })
    }

    /// The schema of a member that serde reads by its type.
    fn plain(&self, ty: &Type) -> Result<Value, OpenApiError> {
        let name = named(ty)?;
        Ok(match name.as_str() {
            "bool" => json!({ "type": "boolean" }),
            "True" => json!({ "const": true }),
            "False" => json!({ "const": false }),
            "V1" => json!({ "const": 1 }),
            "u8" => whole(0, u64::from(u8::MAX)),
            "u16" => whole(0, u64::from(u16::MAX)),
            "u32" => whole(0, u64::from(u32::MAX)),
            "u64" => whole(0, u64::MAX),
            "NonZeroU16" => whole(1, u64::from(u16::MAX)),
            "NonZeroU32" => whole(1, u64::from(u32::MAX)),
            "i32" => json!({ "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX }),
            "i64" => json!({ "type": "integer", "minimum": i64::MIN, "maximum": i64::MAX }),
            "Suite" => {
                json!({ "enum": Suite::ALL.iter().map(|suite| suite.number()).collect::<Vec<_>>() })
            }
            "Method" => {
                json!({ "enum": Method::ALL.iter().map(|way| way.number()).collect::<Vec<_>>() })
            }
            "PemBase64" => forms::pem(self.number("pem", "TEXT_MAX")?),
            "Option" => or_null(self.plain(inner(ty)?)?),
            "Vec" => list(self.plain(inner(ty)?)?),
            "BTreeMap" => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
            message if !self.homes(message).is_empty() => reference(message),
            other => return Err(strange("a type", other)),
        })
    }

    /// Words, or one member named as the variant.
    fn choice(&self, item: &ItemEnum) -> Result<Value, OpenApiError> {
        let container = Container::of(&item.attrs)?;
        if !container.camel_case {
            return Err(strange("variants that keep their case", item.ident.to_string()));
        }
        let schema = if item.variants.iter().all(|variant| variant.fields.is_empty_unit()) {
            let word = |variant: &Variant| lower_first(&variant.ident.to_string());
            json!({ "type": "string", "enum": item.variants.iter().map(word).collect::<Vec<_>>() })
        } else {
            let variants = item.variants.iter().map(|variant| self.variant(variant, &container));
            json!({ "oneOf": variants.collect::<Result<Vec<_>, _>>()? })
        };
        Ok(described(schema, &item.attrs))
    }

    fn variant(&self, variant: &Variant, container: &Container) -> Result<Value, OpenApiError> {
        let name = lower_first(&variant.ident.to_string());
        let inside = match &variant.fields {
            Fields::Named(fields) => {
                let members = self.members(fields.named.iter(), container.fields_camel_case)?;
                object(members, container.closed)
            }
            Fields::Unnamed(fields) => match fields.unnamed.iter().collect::<Vec<_>>()[..] {
                [one] => self.plain(&one.ty)?,
                _ => return Err(strange("a variant", name)),
            },
            Fields::Unit => return Err(strange("a variant", name)),
        };
        Ok(described(object(vec![(name, inside, true)], true), &variant.attrs))
    }
}

trait IsUnit {
    fn is_empty_unit(&self) -> bool;
}

impl IsUnit for Fields {
    fn is_empty_unit(&self) -> bool {
        matches!(self, Self::Unit)
    }
}

/// How serde reads a type.
#[derive(Default)]
struct Container {
    camel_case: bool,
    fields_camel_case: bool,
    closed: bool,
}

impl Container {
    fn of(attributes: &[Attribute]) -> Result<Self, OpenApiError> {
        let mut container = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
            attribute.parse_nested_meta(|meta| {
                let camel_case = |text: LitStr| {
                    let known = text.value() == "camelCase";
                    if known { Ok(true) } else { Err(meta.error("another case")) }
                };
                if meta.path.is_ident("rename_all") {
                    container.camel_case = camel_case(meta.value()?.parse()?)?;
                } else if meta.path.is_ident("rename_all_fields") {
                    container.fields_camel_case = camel_case(meta.value()?.parse()?)?;
                } else if meta.path.is_ident("deny_unknown_fields") {
                    container.closed = true;
                } else {
                    return Err(meta.error("an attribute that is not understood"));
                }
                Ok(())
            })?;
        }
        Ok(container)
    }
}

/// How serde reads a member.
#[derive(Default)]
struct Reading {
    default: bool,
    reader: Option<String>,
    renamed: Option<String>,
}

impl Reading {
    fn of(attributes: &[Attribute]) -> Result<Self, OpenApiError> {
        let mut reading = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("default") {
                    reading.default = true;
                } else if meta.path.is_ident("with") || meta.path.is_ident("deserialize_with") {
                    reading.reader = Some(meta.value()?.parse::<LitStr>()?.value());
                } else if meta.path.is_ident("rename") {
                    reading.renamed = Some(meta.value()?.parse::<LitStr>()?.value());
                } else if meta.path.is_ident("skip_serializing_if") {
                    let _condition: LitStr = meta.value()?.parse()?;
                } else {
                    return Err(meta.error("an attribute that is not understood"));
                }
                Ok(())
            })?;
        }
        Ok(reading)
    }
}

fn is_read_by_serde(attributes: &[Attribute]) -> bool {
    let mut found = false;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("derive")) {
        let derived = attribute.parse_nested_meta(|meta| {
            found |= meta.path.is_ident("Deserialize");
            Ok(())
        });
        found &= derived.is_ok();
    }
    found
}

/// A schema with what the source says about it.
fn described(schema: Value, attributes: &[Attribute]) -> Value {
    let line = |attribute: &Attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    let text = attributes.iter().filter_map(line).collect::<Vec<_>>().join(" ");
    let mut schema = schema;
    if let Some(schema) = schema.as_object_mut().filter(|_| !text.is_empty()) {
        schema.insert("description".to_owned(), Value::from(without_links(&text)));
    }
    schema
}

/// Text without the brackets by which rustdoc makes links; those of clauses stay.
fn without_links(text: &str) -> String {
    text.replace("[`", "`").replace("`]", "`")
}

fn object(members: Vec<Member>, closed: bool) -> Value {
    let required: Vec<_> =
        members.iter().filter(|(_, _, must)| *must).map(|(name, _, _)| name.clone()).collect();
    let properties: Map<_, _> =
        members.into_iter().map(|(name, schema, _)| (name, schema)).collect();
    let mut schema = json!({ "type": "object", "properties": properties });
    if let Some(schema) = schema.as_object_mut() {
        if !required.is_empty() {
            schema.insert("required".to_owned(), Value::from(required));
        }
        if closed {
            schema.insert("additionalProperties".to_owned(), Value::from(false));
        }
    }
    schema
}

/// A reference to a component of the document.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn or_null(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

/// An array of such elements.
pub(super) fn list(schema: Value) -> Value {
    json!({ "type": "array", "items": schema })
}

/// A whole number in this range.
pub(super) fn whole(least: u64, most: u64) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most })
}

fn password() -> Value {
    let longest = u64::try_from(zmon_domain::limits::PASSWORD_MAX.default).unwrap_or(u64::MAX);
    forms::bounded(longest)
}

/// The last part of a type's path.
fn named(ty: &Type) -> Result<String, OpenApiError> {
    let last = match ty {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        _ => None,
    };
    last.ok_or_else(|| strange("a type", "without a path"))
}

/// The type in the angle brackets of another.
fn inner(ty: &Type) -> Result<&Type, OpenApiError> {
    let last = match ty {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    };
    let found = last.and_then(|segment| match &segment.arguments {
        PathArguments::AngleBracketed(inside) => match inside.args.first() {
            Some(GenericArgument::Type(ty)) => Some(ty),
            _ => None,
        },
        _ => None,
    });
    found.ok_or_else(|| strange("a type", "without another inside"))
}

fn length(ty: &Type) -> Result<usize, OpenApiError> {
    match ty {
        Type::Array(array) => match &array.len {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Int(count) => Ok(count.base10_parse()?),
                _ => Err(strange("a length", "that is no number")),
            },
            _ => Err(strange("a length", "that is no number")),
        },
        _ => Err(strange("a type", "that is no array")),
    }
}

fn is_option(ty: &Type) -> bool {
    named(ty).is_ok_and(|name| name == "Option")
}

/// `device_id` as `deviceId`.
fn camel(name: &str) -> String {
    let mut parts = name.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |camel, part| {
        let mut characters = part.chars();
        let upper = characters.next().map(|first| first.to_ascii_uppercase());
        upper.into_iter().fold(camel, |camel, first| format!("{camel}{first}"))
            + characters.as_str()
    })
}

fn lower_first(name: &str) -> String {
    let mut characters = name.chars();
    let first = characters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(characters).collect()
}

fn strange(what: &'static str, name: impl Into<String>) -> OpenApiError {
    OpenApiError::Strange(what, name.into())
}
