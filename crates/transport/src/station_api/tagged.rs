//! Answers with a tag, so that who asks again gets them again only when they have changed (RFC 9110
//! §8.8.3, §13.1.2).

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use zmon_crypto::sha256;
use zmon_domain::error::{ErrorCode, ErrorReport, FieldError};
use zmon_domain::hex;
use zmon_wire::strict;

use super::Api;
use super::answer::{Answer, Refused};
use super::gate::Caller;
use crate::client::JSON;

/// What a test compares with the operations; see `docs/api.md`.
const DOCUMENT: &[u8] = include_bytes!("openapi.json");

/// `GET /api/openapi.json`: for whoever has a login. It holds nothing that is not in the sources, but who
/// has proved nothing gets one answer whatever the path (D24).
pub(super) async fn document(State(api): State<Api>, request: Request) -> Answer {
    drop(Caller::of(&request).operator(&api).await?);
    Ok(bytes(request.headers(), DOCUMENT.to_vec()))
}

/// 200 with a JSON body and its tag, or 304 to who has that.
pub(super) fn tagged<T: Serialize>(asked: &HeaderMap, value: &T) -> Answer {
    let body = strict::to_vec(value).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written");
        Refused::from(ErrorReport::from(ErrorCode::Internal))
    })?;
    Ok(bytes(asked, body))
}

/// What a change asks of that which it changes: `If-Match` (RFC 9110 §13.1.1).
pub(super) struct Precondition(Option<Vec<String>>);

impl Precondition {
    /// That of a request; one without the header asks nothing.
    ///
    /// # Errors
    /// `If-Match` that is no text.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, FieldError> {
        let mut tags = None;
        for value in headers.get_all(IF_MATCH) {
            let text = value.to_str().map_err(|_| FieldError::new("if-match", "must be tags"))?;
            let named = text.split(',').map(|tag| tag.trim().to_owned());
            tags.get_or_insert_with(Vec::new).extend(named);
        }
        Ok(Self(tags))
    }

    /// Whether the present state is one of those that are named, by strong comparison.
    pub(super) fn holds<T: Serialize>(&self, present: &T) -> bool {
        let Some(tags) = &self.0 else { return true };
        // What cannot be written matches nothing.
        let present = strict::to_vec(present).map(|body| tag(&body));
        let matches = |named: &String| {
            named == "*" || present.as_ref().is_ok_and(|tag| tag.as_bytes() == named.as_bytes())
        };
        tags.iter().any(matches)
    }
}

fn bytes(asked: &HeaderMap, body: Vec<u8>) -> Response {
    let tag = tag(&body);
    let known = names(asked, &IF_NONE_MATCH, &tag);
    let no_store = HeaderValue::from_static("no-store");
    let head = [(ETAG, tag), (CACHE_CONTROL, no_store)];
    if known {
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    (head, [(CONTENT_TYPE, HeaderValue::from_static(JSON))], body).into_response()
}

/// The strong tag of a body: half its hash.
fn tag(body: &[u8]) -> HeaderValue {
    let hash = sha256(body);
    let text = format!("\"{}\"", hex::encode(hash.get(..16).unwrap_or(&hash)));
    // Hexadecimal between quotes is a header's value; the other tag is nobody's.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Whether a list of tags has this one. `W/` makes no difference to who asks whether something changed
/// (RFC 9110 §8.8.3.2).
fn names(headers: &HeaderMap, list: &HeaderName, tag: &HeaderValue) -> bool {
    let lists = headers.get_all(list).iter().filter_map(|value| value.to_str().ok());
    let mut tags = lists.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|named| {
        named == "*" || named.strip_prefix("W/").unwrap_or(named).as_bytes() == tag.as_bytes()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_that_of_its_bytes_and_found_in_lists() {
        let (one, other) = (tag(b"one"), tag(b"other"));
        assert_ne!(one, other);
        assert_eq!(one.len(), 34);
        let one = one.to_str().unwrap();
        let known = |values: &[String]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(IF_NONE_MATCH, HeaderValue::from_str(value).unwrap());
            }
            names(&headers, &IF_NONE_MATCH, &tag(b"one"))
        };
        assert!(known(&[one.to_owned()]));
        assert!(known(&[format!("W/{one}")]));
        assert!(known(&[format!("\"a\" , {one}")]));
        assert!(known(&["\"a\"".to_owned(), one.to_owned()]));
        assert!(known(&["*".to_owned()]));
        for bad in ["", "\"\"", one.trim_matches('"'), &one.to_uppercase()] {
            assert!(!known(&[bad.to_owned()]), "{bad}");
        }
        assert!(!known(&[]));
    }

    #[test]
    fn a_change_is_bound_to_the_tags_it_names() {
        let body = strict::to_vec(&1).unwrap();
        let tag = tag(&body);
        let tag = tag.to_str().unwrap();
        let holds = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(IF_MATCH, HeaderValue::from_str(value).unwrap());
            }
            Precondition::of(&headers).unwrap().holds(&1)
        };
        assert!(holds(&[]) && holds(&["*"]) && holds(&[tag]));
        assert!(holds(&[&format!("\"a\",{tag}")]) && holds(&["\"a\"", tag]));
        assert!(!holds(&[""]) && !holds(&["\"a\""]));
        // Strong comparison: a weak tag is nobody's.
        assert!(!holds(&[&format!("W/{tag}")]));
        let mut bytes = HeaderMap::new();
        bytes.insert(IF_MATCH, HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(Precondition::of(&bytes).err().unwrap().field(), "if-match");
    }
}
