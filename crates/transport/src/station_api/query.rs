//! Query strings: known names, each once, each with its rule.

use core::str::FromStr;

use axum::extract::Query;
use http::Uri;
use zmon_domain::error::FieldError;
use zmon_domain::limits;
use zmon_station::ports::Page;

use super::answer::Refused;

/// The values of a query string by name; anything else in it is refused.
pub(super) fn values<const N: usize>(
    uri: &Uri,
    names: [&'static str; N],
) -> Result<[Option<Value>; N], Refused> {
    let unreadable = FieldError::new("query", "must be pairs of names and values");
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| unreadable)?;
    let mut found = [const { None }; N];
    for (name, text) in pairs {
        let known = names.iter().zip(&mut found).find(|(known, _)| **known == name);
        let Some((name, slot)) = known else {
            return Err(FieldError::new("query", "must hold known names only").into());
        };
        if slot.is_some() {
            return Err(FieldError::new(name, "must not be repeated").into());
        }
        *slot = Some(Value { name, text });
    }
    Ok(found)
}

/// One value.
#[derive(Debug)]
pub(super) struct Value {
    name: &'static str,
    text: String,
}

impl Value {
    /// Reads it as a domain value; the error names it.
    pub(super) fn parse<T: FromStr<Err = FieldError>>(&self) -> Result<T, FieldError> {
        self.text.parse().map_err(|error: FieldError| error.at(self.name))
    }

    /// Reads it as a number.
    pub(super) fn number(&self) -> Result<u64, FieldError> {
        let digits = self.text.bytes().all(|byte| byte.is_ascii_digit());
        let number = self.text.parse().ok().filter(|_| digits);
        number.ok_or(FieldError::new(self.name, "must be one whole number"))
    }
}

/// A value that may be left out.
pub(super) fn optional<T: FromStr<Err = FieldError>>(
    value: Option<Value>,
) -> Result<Option<T>, FieldError> {
    value.map(|value| value.parse()).transpose()
}

/// Numbers of a query string by name; anything else in it is refused.
pub(super) fn numbers<const N: usize>(
    uri: &Uri,
    names: [&'static str; N],
) -> Result<[Option<u64>; N], Refused> {
    let mut found = [None; N];
    for (slot, value) in found.iter_mut().zip(values(uri, names)?) {
        *slot = value.map(|value| value.number()).transpose()?;
    }
    Ok(found)
}

/// A page from its two values.
pub(super) fn page(offset: Option<Value>, limit: Option<Value>) -> Result<Page, FieldError> {
    let number = |value: Option<Value>| value.map(|value| value.number()).transpose();
    Ok(Page { offset: number(offset)?.unwrap_or(0), limit: page_rows(number(limit)?) })
}

/// How many rows a page has, when so many were asked for.
pub(super) fn page_rows(asked: Option<u64>) -> u32 {
    let most = u32::try_from(limits::PAGE_ROWS.max).unwrap_or(u32::MAX);
    let usual = u32::try_from(limits::PAGE_ROWS.default).unwrap_or(most);
    asked.map_or(usual, |rows| u32::try_from(rows).unwrap_or(most).clamp(1, most))
}

#[cfg(test)]
mod tests {
    use zmon_station::FleetState;

    use super::*;

    fn uri(query: &str) -> Uri {
        format!("/x?{query}").parse().unwrap()
    }

    #[test]
    fn queries_are_strict() {
        let read = |query| numbers(&uri(query), ["after", "limit"]).ok();
        assert_eq!(read(""), Some([None, None]));
        assert_eq!(read("limit=5&after=7"), Some([Some(7), Some(5)]));
        for bad in ["x=1", "after", "after=", "after=-1", "after=+1", "after=1&after=2", "limit=a"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(numbers::<1>(&Uri::from_static("/x"), ["after"]).ok(), Some([None]));
    }

    #[test]
    fn texts_are_decoded_and_errors_name_them() {
        let [text, none] = values(&uri("text=ICU%203%C3%A4+b"), ["text", "state"]).ok().unwrap();
        assert_eq!((text.unwrap().text.as_str(), none.is_none()), ("ICU 3ä b", true));
        let [state] = values(&uri("state=asleep"), ["state"]).ok().unwrap();
        let error = state.unwrap().parse::<FleetState>().unwrap_err();
        assert_eq!(error.field(), "state");
        assert!(values(&uri("text=a&text=b"), ["text"]).is_err());
    }

    #[test]
    fn pages_have_an_end() {
        assert_eq!(page_rows(None), 100);
        assert_eq!(page_rows(Some(0)), 1);
        assert_eq!(page_rows(Some(u64::MAX)), 1000);
        assert_eq!(page(None, None).ok(), Some(Page { offset: 0, limit: 100 }));
    }
}
