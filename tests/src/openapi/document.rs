//! Operations and messages put together as an OpenAPI 3.1 document.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use zmon_domain::error::ErrorCode;
use zmon_domain::limits;
use zmon_transport::contract::{Content, Form, Operation, Parameter, Proof, Reply, Shape};
use zmon_transport::server::ServerLimits;
use zmon_wire::problem;

use super::OpenApiError;
use super::messages::{Sources, list, reference, whole};
use crate::documents;

/// What a document says about itself.
pub(super) struct About {
    title: &'static str,
    description: String,
    host: &'static str,
}

impl About {
    /// A Central Station.
    pub(super) fn station() -> Self {
        let (operators, devices) = (ServerLimits::operators(), ServerLimits::devices());
        let description = format!(
            "What operators, their pages and programs, and monitors ask of a Central Station. \
             `docs/PROTOCOL.md` says what the messages mean, `docs/api.md` how a client is made from this document. \
             Where `GET` is answered `HEAD` is too; another method is 405 with `Allow`, a path that nobody serves \
             404. `Accept` is not looked at: each address has one form. A request's head has at most {} bytes and {} \
             headers (431) and must arrive within {} s; a request is answered within {} s on the operators' listener \
             and {} s on the devices' (504), but for streams. One address holds at most {} of the {} connections to \
             the operators' listener at a time. Without a login every request but those that need none gets the \
             same 401.",
            ServerLimits::HEAD_BYTES,
            ServerLimits::HEADERS,
            operators.head.as_secs(),
            operators.request.as_secs(),
            devices.request.as_secs(),
            operators.per_source,
            operators.connections,
        );
        Self { title: "Z Monitor Central Station", description, host: "station.example:8443" }
    }

    /// A monitor's provisioning listener.
    pub(super) fn device() -> Self {
        let description = "What a Central Station asks of a monitor while its window or session is open. \
            `docs/PROTOCOL.md` says what the messages mean. Before a valid claim on the same connection every \
            refusal is the same 403, whatever the path, the method and the body (D24).";
        let title = "Z Monitor provisioning listener";
        Self { title, description: description.to_owned(), host: "192.0.2.10:8443" }
    }
}

/// Collects operations and the messages that they name.
pub(super) struct Builder {
    sources: Sources,
    examples: BTreeMap<String, Value>,
    paths: BTreeMap<&'static str, Map<String, Value>>,
    listeners: BTreeSet<&'static str>,
    statuses: BTreeSet<u16>,
    schemas: BTreeMap<String, Value>,
    /// The modules of the schemas.
    homes: BTreeMap<String, String>,
}

impl Builder {
    pub(super) fn new() -> Result<Self, OpenApiError> {
        Ok(Self {
            sources: Sources::read()?,
            examples: examples()?,
            paths: BTreeMap::new(),
            listeners: BTreeSet::new(),
            statuses: BTreeSet::new(),
            schemas: BTreeMap::new(),
            homes: BTreeMap::new(),
        })
    }

    /// Adds an operation of a listener. Another listener's of the same path and method is the same.
    pub(super) fn add(
        &mut self,
        listener: &'static str,
        operation: &Operation,
    ) -> Result<(), OpenApiError> {
        self.listeners.insert(listener);
        let made = self.operation(listener, operation)?;
        let method = operation.method.as_str().to_ascii_lowercase();
        let methods = self.paths.entry(operation.path).or_default();
        match methods.get_mut(&method) {
            Some(before) => join(before, made),
            None => drop(methods.insert(method, made)),
        }
        Ok(())
    }

    pub(super) fn finish(mut self, about: About) -> Result<Value, OpenApiError> {
        self.need("problem", "Problem")?;
        let responses: Map<_, _> =
            self.statuses.iter().map(|status| (refused_name(*status), refused(*status))).collect();
        let tags: Vec<_> = self.listeners.iter().map(|name| tag(name)).collect();
        let mut document = json!({
            "openapi": "3.1.0",
            "info": {
                "title": about.title,
                "version": env!("CARGO_PKG_VERSION"),
                "description": about.description,
                "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
            },
            "servers": [{ "url": "https://{host}", "variables": { "host": { "default": about.host } } }],
            "tags": tags,
            "paths": self.paths,
            "components": {
                "schemas": self.schemas,
                "responses": responses,
                "headers": headers(),
                "securitySchemes": schemes(),
            },
        });
        let (referred, shown) = (references(&document), shown(&document));
        keep(&mut document, "headers", &referred);
        keep(&mut document, "securitySchemes", &shown);
        Ok(document)
    }

    fn operation(&mut self, listener: &str, op: &Operation) -> Result<Value, OpenApiError> {
        let mut parameters = Vec::new();
        for name in op.path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
            let schema = self.value(Form::Type(path_type(name)?))?;
            parameters
                .push(json!({ "name": name, "in": "path", "required": true, "schema": schema }));
        }
        for Parameter { name, form, required, .. } in &op.query {
            let schema = self.value(form.clone())?;
            parameters.push(
                json!({ "name": name, "in": "query", "required": required, "schema": schema }),
            );
        }
        let conditions = [(op.tagged, "If-None-Match"), (op.conditional, "If-Match")];
        for (_, name) in conditions.into_iter().filter(|(looked_at, _)| *looked_at) {
            // Whatever names no tag of ours matches none.
            let schema = json!({ "type": "string" });
            parameters.push(json!({ "name": name, "in": "header", "schema": schema }));
        }
        let mut made = json!({
            "operationId": operation_id(op),
            "summary": op.summary,
            "tags": [listener],
            "security": security(op),
            "responses": self.responses(op)?,
        });
        if let Some(made) = made.as_object_mut() {
            if !parameters.is_empty() {
                made.insert("parameters".to_owned(), Value::from(parameters));
            }
            if let Some(body) = &op.body {
                made.insert("requestBody".to_owned(), self.body(body, !op.body_optional)?);
            }
        }
        Ok(made)
    }

    fn responses(&mut self, op: &Operation) -> Result<Value, OpenApiError> {
        let mut responses = Map::new();
        for reply in &op.answers {
            responses.insert(reply.status.to_string(), self.answer(op, reply)?);
        }
        if op.tagged {
            let headers = json!({ "ETag": header("ETag"), "X-Request-Id": header("X-Request-Id") });
            let text = "What `If-None-Match` names is what there is.";
            responses.insert("304".to_owned(), json!({ "description": text, "headers": headers }));
        }
        for status in &op.refusals {
            // Where an answer of this status has its own form, that stands beside a problem document.
            self.statuses.insert(*status);
            let refused =
                json!({ "$ref": format!("#/components/responses/{}", refused_name(*status)) });
            match responses.get_mut(&status.to_string()) {
                None => drop(responses.insert(status.to_string(), refused)),
                Some(answer) => {
                    if let Some(content) = answer.get_mut("content").and_then(Value::as_object_mut)
                    {
                        content.insert(problem::MEDIA_TYPE.to_owned(), problem_content());
                    }
                }
            }
        }
        Ok(Value::from(responses))
    }

    fn answer(&mut self, op: &Operation, reply: &Reply) -> Result<Value, OpenApiError> {
        let mut headers = json!({
            "Cache-Control": header("Cache-Control"),
            "X-Request-Id": header("X-Request-Id"),
        });
        if let Some(headers) = headers.as_object_mut() {
            let more = [(op.tagged, "ETag"), (op.cookie, "Set-Cookie")];
            for (_, name) in more.into_iter().filter(|(has, _)| *has) {
                headers.insert(name.to_owned(), header(name));
            }
        }
        let content = self.content(reply.media_type, reply.shape, false)?;
        let reason = StatusCode::from_u16(reply.status).ok().and_then(|s| s.canonical_reason());
        Ok(json!({
            "description": reason.unwrap_or_default(),
            "headers": headers,
            "content": { reply.media_type: content },
        }))
    }

    fn body(&mut self, body: &Content, required: bool) -> Result<Value, OpenApiError> {
        let content = self.content(body.media_type, body.shape, body.many)?;
        Ok(json!({
            "description": format!("At most {} bytes (413).", body.limit),
            "required": required,
            "content": { body.media_type: content },
        }))
    }

    fn content(
        &mut self,
        media_type: &str,
        shape: Option<Shape>,
        many: bool,
    ) -> Result<Value, OpenApiError> {
        let Some(shape) = shape else {
            return Ok(match media_type {
                "application/octet-stream" => json!({}),
                "application/json" => json!({ "schema": { "type": "object" } }),
                _ => json!({ "schema": { "type": "string" } }),
            });
        };
        let name = shape.name();
        self.need(shape.module(), name)?;
        Ok(match media_type {
            // A stream is text whose events hold messages; 3.1 cannot say so but in words.
            "text/event-stream" => json!({ "schema": {
                "description": format!("Events (HTML, 9.2) whose data are `{name}`."),
                "properties": { "data": {
                    "type": "string",
                    "contentMediaType": "application/json",
                    "contentSchema": reference(name),
                } },
            } }),
            _ if many => {
                let most = limits::MANIFEST_ROWS.default;
                let mut rows = list(reference(name));
                if let Some(rows) = rows.as_object_mut() {
                    let text = "An array, or one such object a line.";
                    rows.insert("maxItems".to_owned(), Value::from(most));
                    rows.insert("description".to_owned(), Value::from(text));
                }
                json!({ "schema": rows })
            }
            _ => json!({ "schema": reference(name) }),
        })
    }

    fn value(&mut self, form: Form) -> Result<Value, OpenApiError> {
        Ok(match form {
            Form::Number(least, most) => whole(least, most),
            Form::Text(most) => json!({ "type": "string", "maxLength": most }),
            Form::Words(words) => json!({ "type": "string", "enum": words }),
            Form::Type(shape) => {
                self.need(shape.module(), shape.name())?;
                reference(shape.name())
            }
        })
    }

    /// Adds the schema of a message of this module, and those that it refers to.
    fn need(&mut self, module: &str, name: &str) -> Result<(), OpenApiError> {
        let (home, mut schema) = self.sources.schema(module, name)?;
        if let Some(before) = self.homes.insert(name.to_owned(), home.clone()) {
            let is_same = before == home;
            return if is_same {
                Ok(())
            } else {
                Err(OpenApiError::Strange("two messages", name.to_owned()))
            };
        }
        if let (Some(schema), Some(example)) = (schema.as_object_mut(), self.examples.get(name)) {
            schema.insert("examples".to_owned(), json!([example]));
        }
        let referred = references(&schema);
        self.schemas.insert(name.to_owned(), schema);
        referred.iter().try_for_each(|name| self.need(&home, name))
    }
}

/// One operation that two listeners serve.
fn join(before: &mut Value, mut also: Value) {
    let tags = (before.get_mut("tags"), also.get_mut("tags").map(Value::take));
    if let (Some(Value::Array(tags)), Some(Value::Array(more))) = tags {
        tags.extend(more);
    }
    let responses = (before.get_mut("responses"), also.get_mut("responses").map(Value::take));
    if let (Some(Value::Object(responses)), Some(Value::Object(more))) = responses {
        responses.extend(more);
    }
}

/// Takes away components of a kind that nothing names.
fn keep(document: &mut Value, kind: &str, named: &BTreeSet<String>) {
    let all = document.pointer_mut(&format!("/components/{kind}")).and_then(Value::as_object_mut);
    if let Some(all) = all {
        all.retain(|name, _| named.contains(name));
    }
}

/// The names in every list of what a request shows.
fn shown(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if let Some(lists) = value.get("security").and_then(Value::as_array) {
        let names = lists.iter().filter_map(Value::as_object).flat_map(Map::keys);
        found.extend(names.cloned());
    }
    match value {
        Value::Object(members) => members.values().for_each(|inside| found.extend(shown(inside))),
        Value::Array(elements) => elements.iter().for_each(|inside| found.extend(shown(inside))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    found
}

/// The names of components that a schema refers to.
fn references(schema: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    match schema {
        Value::Object(members) => {
            let target = members.get("$ref").and_then(Value::as_str);
            found.extend(target.and_then(|target| target.rsplit('/').next()).map(str::to_owned));
            let inside = members.iter().filter(|(name, _)| *name != "examples");
            inside.for_each(|(_, value)| found.extend(references(value)));
        }
        Value::Array(elements) => elements.iter().for_each(|e| found.extend(references(e))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    found
}

/// The first golden file of each message.
fn examples() -> Result<BTreeMap<String, Value>, OpenApiError> {
    let mut examples = BTreeMap::new();
    for (file, name) in goldens()? {
        if let Entry::Vacant(first) = examples.entry(name) {
            let golden = read(&format!("crates/wire/tests/golden/{file}.json"))?;
            first.insert(serde_json::from_str(&golden)?);
        }
    }
    Ok(examples)
}

/// Every golden file by its name, with the type of its message.
///
/// # Errors
/// [`OpenApiError::Document`].
pub fn goldens() -> Result<Vec<(String, String)>, OpenApiError> {
    let source = read("crates/wire/tests/messages/list.rs")?;
    let rows = source.split_once("goldens! {").map(|(_, rows)| rows).unwrap_or_default();
    let mut goldens = Vec::new();
    for (path, files) in rows.split(';').filter_map(|row| row.split_once(": \"")) {
        let name = path.rsplit("::").next().unwrap_or(path);
        // Every other part between quotes is a file's name.
        goldens.extend(files.split('"').step_by(2).map(|file| (file.to_owned(), name.to_owned())));
    }
    Ok(goldens.into_iter().filter(|(file, _)| !file.is_empty()).collect())
}

fn read(path: &str) -> Result<String, OpenApiError> {
    documents::read(path).map_err(|error| OpenApiError::Document(error.to_string()))
}

/// What the variable part of a path is called by, and the type of its text.
fn path_type(name: &str) -> Result<Shape, OpenApiError> {
    use zmon_domain::ids::{BatchId, BedId, DeviceId, OperatorId, Serial, SessionId};
    Ok(match name {
        "sessionId" => Shape::of::<SessionId>(),
        "deviceId" => Shape::of::<DeviceId>(),
        "bedId" => Shape::of::<BedId>(),
        "batchId" => Shape::of::<BatchId>(),
        "operator" => Shape::of::<OperatorId>(),
        "serial" => Shape::of::<Serial>(),
        other => return Err(OpenApiError::Strange("a part of a path", other.to_owned())),
    })
}

/// `getRegistryDevicesByDeviceId`.
fn operation_id(op: &Operation) -> String {
    let mut id = op.method.as_str().to_ascii_lowercase();
    for part in op.path.trim_start_matches("/api/").split(['/', '-', '.']) {
        let variable = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        id.push_str(if variable.is_some() { "By" } else { "" });
        let mut characters = variable.unwrap_or(part).chars();
        id.extend(characters.next().map(|first| first.to_ascii_uppercase()));
        id.push_str(characters.as_str());
    }
    id
}

fn security(op: &Operation) -> Value {
    let cookie = match op.method {
        Method::GET => json!({ "cookie": [] }),
        _ => json!({ "cookie": [], "page": [] }),
    };
    match op.proof {
        Proof::Nobody | Proof::Signature | Proof::Window => json!([]),
        Proof::Page => json!([{ "page": [] }]),
        Proof::Login => json!([{ "bearer": [] }, cookie]),
        Proof::LoginOrScraper => json!([{ "bearer": [] }, cookie, { "scraper": [] }]),
        Proof::Maybe => json!([{}, { "bearer": [] }, cookie]),
        Proof::Certificate => json!([{ "certificate": [] }]),
    }
}

fn schemes() -> Value {
    json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "The `token` of `POST /api/auth/login`.",
        },
        "cookie": {
            "type": "apiKey",
            "in": "cookie",
            "name": "__Host-zmon",
            "description": "What `POST /api/auth/session` sets; no script sees it.",
        },
        "page": {
            "type": "apiKey",
            "in": "header",
            "name": "X-Zmon-Page",
            "description": "With the cookie, a change needs this header and the station's own `Origin`.",
        },
        "scraper": {
            "type": "http",
            "scheme": "bearer",
            "description": "The token of the monitoring system, which opens nothing else.",
        },
        "certificate": {
            "type": "mutualTLS",
            "description": "A monitor's certificate from its pairing.",
        },
    })
}

fn tag(listener: &str) -> Value {
    let text = match listener {
        "operators" => "Operators' listener.",
        "devices" => "Devices' listener, with a client certificate: where `serverUrl` points.",
        "outcome" => {
            "Devices' listener under the ALPN name `zmon-outcome/1`, without a certificate."
        }
        "recovery" => {
            "Devices' listener under the ALPN name `zmon-recovery/1`, without a certificate."
        }
        "pull" => "Devices' listener under the ALPN name `zmon-pull/1`, without a certificate.",
        _ => "The monitor's listener, whose self-signed certificate the pairing token names.",
    };
    json!({ "name": listener, "description": text })
}

fn header(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{name}") })
}

fn headers() -> Value {
    let text =
        |description: &str| json!({ "description": description, "schema": { "type": "string" } });
    json!({
        "Cache-Control": { "description": "Nothing is kept.", "schema": { "const": "no-store" } },
        "ETag": text("Names these very bytes (RFC 9110 §8.8.3)."),
        "Retry-After": {
            "description": "Whole seconds to wait, where the station knows them.",
            "schema": { "type": "string", "pattern": "^[0-9]+$" },
        },
        "Set-Cookie": text("The login of a page, or its end."),
        "WWW-Authenticate": { "description": "How to log in.", "schema": { "const": "Bearer" } },
        "X-Request-Id": {
            "description": "Counts the requests of this run.",
            "schema": { "type": "string", "pattern": "^[0-9]+$" },
        },
    })
}

fn refused_name(status: u16) -> String {
    format!("Refused{status}")
}

/// A problem document of one status, with the codes that have it.
fn refused(status: u16) -> Value {
    let codes = ErrorCode::ALL.iter().filter(|code| code.http_status() == status);
    let codes: Vec<_> = codes.map(|code| format!("`{code}`")).collect();
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let listed = match status {
        421 => "`request_malformed`: the host is not one of the server's names".to_owned(),
        403 => format!("{}, or `request_malformed`: a page of a foreign origin", codes.join(", ")),
        _ => codes.join(", "),
    };
    let mut names = vec!["Cache-Control", "X-Request-Id"];
    match status {
        401 => names.push("WWW-Authenticate"),
        409 | 429 => names.push("Retry-After"),
        _ => {}
    }
    let headers: Map<_, _> =
        names.into_iter().map(|name| (name.to_owned(), header(name))).collect();
    json!({
        "description": format!("{}: {listed}.", reason.unwrap_or_default()),
        "headers": headers,
        "content": { problem::MEDIA_TYPE: problem_content() },
    })
}

fn problem_content() -> Value {
    json!({ "schema": reference("Problem") })
}
