//! What the HTTP interfaces take and answer, as data: the OpenAPI documents are made from it, and a
//! station compares each answer with it in builds for development.

use core::any::type_name;

use http::Method;
use zmon_wire::problem;

use crate::client::{JSON, OCTETS};

/// The media type of events that are sent as they happen.
pub const EVENT_STREAM: &str = "text/event-stream";

/// One method of one path.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Operation {
    /// The method. Where it is `GET`, `HEAD` is answered too.
    pub method: Method,
    /// The path, variable parts in braces.
    pub path: &'static str,
    /// What it is for, in one sentence.
    pub summary: &'static str,
    /// Who may ask.
    pub proof: Proof,
    /// The names of a query string that are known.
    pub query: Vec<Parameter>,
    /// The body of a request.
    pub body: Option<Content>,
    /// Whether that body may be left out.
    pub body_optional: bool,
    /// The answers that are none of a failure.
    pub answers: Vec<Reply>,
    /// The statuses of problem documents.
    pub refusals: Vec<u16>,
    /// Whether answers have an `ETag` and `If-None-Match` is looked at.
    pub tagged: bool,
    /// Whether `If-Match` is looked at.
    pub conditional: bool,
    /// Whether an answer sets or clears the cookie of a page.
    pub cookie: bool,
}

/// What a request shows about who sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Nothing.
    Nobody,
    /// A login: a bearer token, or a page's cookie.
    Login,
    /// A login, or the token of a monitoring system.
    LoginOrScraper,
    /// That it comes from a page of the station's own.
    Page,
    /// A login is looked at if there is one.
    Maybe,
    /// A client certificate.
    Certificate,
    /// A signature in the body, by the device's identity key.
    Signature,
    /// What the window of a device has shown.
    Window,
}

/// One name of a query string.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Parameter {
    /// The name.
    pub name: &'static str,
    /// What its value may be.
    pub form: Form,
    /// Whether it must be there.
    pub required: bool,
}

/// What a value may be.
#[derive(Debug, Clone)]
pub enum Form {
    /// A whole number in this range.
    Number(u64, u64),
    /// Text of at most so many bytes without control characters.
    Text(usize),
    /// One of these words.
    Words(Vec<&'static str>),
    /// The text of a type.
    Type(Shape),
}

/// A body.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Content {
    /// Its media type.
    pub media_type: &'static str,
    /// The message in it; none for text and bytes.
    pub shape: Option<Shape>,
    /// Whether it is a list of such messages, one a line or in an array: a manifest.
    pub many: bool,
    /// Most bytes of it.
    pub limit: usize,
}

/// An answer.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Its media type.
    pub media_type: &'static str,
    /// The message in it, or in each event of a stream.
    pub shape: Option<Shape>,
}

/// The type of a message or value, by the name that the compiler has for it.
#[derive(Debug, Clone, Copy)]
pub struct Shape(fn() -> &'static str);

impl Shape {
    /// That of `T`.
    pub const fn of<T>() -> Self {
        Self(type_name::<T>)
    }

    /// The part of the type's path before the last.
    pub fn module(self) -> &'static str {
        (self.0)().rsplit("::").nth(1).unwrap_or_default()
    }

    /// The last part of the type's path.
    pub fn name(self) -> &'static str {
        let path = (self.0)();
        path.rsplit("::").next().unwrap_or(path)
    }
}

#[cfg_attr(
    not(all(feature = "device", feature = "station")),
    expect(dead_code, reason = "each side has forms of its own")
)]
impl Operation {
    pub(crate) fn get(path: &'static str, summary: &'static str) -> Self {
        Self {
            method: Method::GET,
            path,
            summary,
            proof: Proof::Login,
            query: Vec::new(),
            body: None,
            body_optional: false,
            answers: Vec::new(),
            refusals: Vec::new(),
            tagged: false,
            conditional: false,
            cookie: false,
        }
    }

    pub(crate) fn post(path: &'static str, summary: &'static str) -> Self {
        Self { method: Method::POST, ..Self::get(path, summary) }
    }

    pub(crate) fn proved_by(self, proof: Proof) -> Self {
        Self { proof, ..self }
    }

    /// Takes a JSON body, whose refusals do not say what is wrong with it.
    pub(crate) fn takes_claim<T>(self, limit: usize) -> Self {
        let shape = Some(Shape::of::<T>());
        let body = Content { media_type: JSON, shape, many: false, limit };
        Self { body: Some(body), ..self }
    }

    /// Takes a JSON body, which can be refused for what it is.
    pub(crate) fn takes<T>(self, limit: usize) -> Self {
        self.takes_claim::<T>(limit).refuses(&[400, 413, 415])
    }

    pub(crate) fn takes_if_any<T>(self, limit: usize) -> Self {
        Self { body_optional: true, ..self.takes::<T>(limit) }
    }

    pub(crate) fn takes_many<T>(self, limit: usize) -> Self {
        let mut taken = self.takes::<T>(limit);
        if let Some(body) = &mut taken.body {
            body.many = true;
        }
        taken
    }

    pub(crate) fn takes_bytes(self, limit: usize) -> Self {
        let body = Content { media_type: OCTETS, shape: None, many: false, limit };
        Self { body: Some(body), ..self }
    }

    /// Answers 200 with a message.
    pub(crate) fn answers<T>(self) -> Self {
        self.answers_with::<T>(200)
    }

    pub(crate) fn answers_with<T>(self, status: u16) -> Self {
        self.reply(Reply { status, media_type: JSON, shape: Some(Shape::of::<T>()) })
    }

    pub(crate) fn answers_events<T>(self) -> Self {
        let shape = Some(Shape::of::<T>());
        self.reply(Reply { status: 200, media_type: EVENT_STREAM, shape })
    }

    pub(crate) fn answers_bytes(self) -> Self {
        self.answers_text(OCTETS)
    }

    pub(crate) fn answers_text(self, media_type: &'static str) -> Self {
        self.reply(Reply { status: 200, media_type, shape: None })
    }

    fn reply(mut self, reply: Reply) -> Self {
        self.answers.push(reply);
        self
    }

    pub(crate) fn refuses(mut self, statuses: &[u16]) -> Self {
        self.refusals.extend(statuses);
        self.refusals.sort_unstable();
        self.refusals.dedup();
        self
    }

    pub(crate) fn asks(mut self, name: &'static str, form: Form) -> Self {
        self.query.push(Parameter { name, form, required: false });
        self
    }

    pub(crate) fn asks_always(mut self, name: &'static str, form: Form) -> Self {
        self.query.push(Parameter { name, form, required: true });
        self
    }

    pub(crate) fn tagged(self) -> Self {
        Self { tagged: true, ..self }
    }

    pub(crate) fn conditional(self) -> Self {
        Self { conditional: true, ..self }.refuses(&[400, 412])
    }

    pub(crate) fn sets_cookie(self) -> Self {
        Self { cookie: true, ..self }
    }

    /// Whether it may answer with this status in this media type; none is an answer without a body.
    pub fn allows(&self, status: u16, media_type: Option<&str>) -> bool {
        if status == 304 {
            return self.tagged && media_type.is_none();
        }
        let answer = |reply: &Reply| reply.status == status && Some(reply.media_type) == media_type;
        let refusal = self.refusals.contains(&status) && media_type == Some(problem::MEDIA_TYPE);
        refusal || self.answers.iter().any(answer)
    }
}
