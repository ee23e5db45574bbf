//! Reads what the platform answers: tolerant of what is unknown, strict where a mistake would cost an
//! agent its place. Pure.

use std::fmt;
use std::time::Duration;

use http::header::{HeaderName, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use shared::secret::Secret;

use super::budget::Told;
use super::config::{is_name, token};
use super::transport::Lost;

/// Without a word on how long, a call over the limit waits so long.
const LIMITED: Duration = Duration::from_secs(10);
/// The longest that one waits, whatever the platform says: its window is a minute.
const LIMITED_MAX: Duration = Duration::from_secs(300);
/// The most workspaces that a list may have: many times what one platform runs.
const ROWS_MAX: usize = 50_000;
/// Characters of the platform's own words that are shown.
const WORDS_MAX: usize = 200;
/// Characters of a status that are kept: the longest known has 14.
const STATUS_MAX: usize = 64;

/// What went wrong with a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The request was not sent.
    #[error("The platform cannot be reached: {0}.")]
    Unreachable(String),
    /// The request was sent; whether it was carried out is unknown.
    #[error("The platform gave no whole answer: {0}.")]
    NoAnswer(String),
    /// 401 or 403.
    #[error("The platform refuses the credential ({0}).")]
    Unauthorized(u16),
    /// 404 without a word: a hosted platform answers so when it is not told whose it is.
    #[error(
        "The platform answers 404 without a word: it is hosted for many, and needs \
         RELAY_PLATFORM_ORG, the organisation's id."
    )]
    OrgMissing,
    /// 404 in the platform's own words.
    #[error("The platform does not know it (404).")]
    NotFound,
    /// 410.
    #[error("The platform says that it is gone (410).")]
    Gone,
    /// 429.
    #[error("The platform's rate limit is reached; next try in {} s.", .0.as_secs())]
    RateLimited(Duration),
    /// 5xx.
    #[error("The platform is in trouble ({0}).")]
    Trouble(u16),
    /// It leads elsewhere, which is not followed.
    #[error("The platform answers with a redirect ({0}), which is never followed; check its URL.")]
    Redirect(u16),
    /// Another refusal, with the platform's words.
    #[error("The platform refuses it ({0}): {1}")]
    Refused(u16, String),
    /// An answer that is none.
    #[error("The platform's answer ({0}) cannot be understood: {1}.")]
    Strange(u16, &'static str),
}

impl CallError {
    /// The status that came, if one did.
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Unreachable(_) | Self::NoAnswer(_) => None,
            Self::OrgMissing | Self::NotFound => Some(404),
            Self::Gone => Some(410),
            Self::RateLimited(_) => Some(429),
            Self::Unauthorized(status)
            | Self::Trouble(status)
            | Self::Redirect(status)
            | Self::Refused(status, _)
            | Self::Strange(status, _) => Some(*status),
        }
    }

    /// A word for it in metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::NoAnswer(_) => "no_answer",
            Self::Unauthorized(_) => "unauthorized",
            Self::OrgMissing => "org_missing",
            Self::NotFound | Self::Gone => "gone",
            Self::RateLimited(_) => "rate_limited",
            Self::Trouble(_) => "trouble",
            Self::Redirect(_) => "redirect",
            Self::Refused(..) => "refused",
            Self::Strange(..) => "strange",
        }
    }

    /// Whether it may be the platform as a whole that does not answer.
    pub const fn is_silence(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::NoAnswer(_) | Self::Trouble(_))
    }

    /// Whether the call may have been carried out all the same.
    pub const fn may_be_done(&self) -> bool {
        matches!(self, Self::NoAnswer(_) | Self::Trouble(_) | Self::Strange(200..=299, _))
    }
}

impl From<Lost> for CallError {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::NotSent(why) => Self::Unreachable(why),
            Lost::NoAnswer(why) => Self::NoAnswer(why),
        }
    }
}

/// The JSON of an answer that went well, or what went wrong.
pub fn judge(status: StatusCode, fields: &HeaderMap, body: &[u8]) -> Result<Value, CallError> {
    judge_status(status, fields, body)?;
    let json = serde_json::from_slice::<Value>(body).ok();
    json.filter(|json| json.is_object() || json.is_array())
        .ok_or(CallError::Strange(status.as_u16(), "its body is no JSON of the API"))
}

/// What went wrong with a call, if its answer says so.
pub fn judge_status(status: StatusCode, fields: &HeaderMap, body: &[u8]) -> Result<(), CallError> {
    let number = status.as_u16();
    let json = || serde_json::from_slice::<Value>(body).ok();
    match number {
        200..=299 => Ok(()),
        300..=399 => Err(CallError::Redirect(number)),
        401 | 403 => Err(CallError::Unauthorized(number)),
        404 if body.is_empty() => Err(CallError::OrgMissing),
        // A web page says nothing of a workspace.
        404 if !json().is_some_and(|json| json.is_object()) => {
            Err(CallError::Strange(number, "it is a page, and not of the API"))
        }
        404 => Err(CallError::NotFound),
        410 => Err(CallError::Gone),
        429 => Err(CallError::RateLimited(told(status, fields).limited.unwrap_or(LIMITED))),
        500..=599 => Err(CallError::Trouble(number)),
        _ => Err(CallError::Refused(number, words(json().as_ref()))),
    }
}

/// What the answer says of the rate limit.
pub fn told(status: StatusCode, fields: &HeaderMap) -> Told {
    let number = |name: &str| {
        let name = HeaderName::try_from(name).ok()?;
        let text = fields.get(name)?.to_str().ok()?.trim().parse::<u64>();
        text.ok()
    };
    let after = number(RETRY_AFTER.as_str()).map(Duration::from_secs);
    // A moment, or seconds from now: both are in use.
    let reset = number("x-ratelimit-reset").map(|reset| match reset {
        0..1_000_000_000 => Duration::from_secs(reset),
        moment => {
            let now = u64::try_from(crate::clock::unix_ms() / 1000).unwrap_or_default();
            Duration::from_secs(moment.saturating_sub(now))
        }
    });
    let limited = status == StatusCode::TOO_MANY_REQUESTS;
    Told {
        remaining: number("x-ratelimit-remaining").map(|n| u32::try_from(n).unwrap_or(u32::MAX)),
        reset,
        limited: limited.then(|| after.or(reset).unwrap_or(LIMITED).min(LIMITED_MAX)),
    }
}

/// The platform's own sentence, without what could deceive whoever reads it in a terminal.
fn words(json: Option<&Value>) -> String {
    let said = json.and_then(|json| json.get("error")).and_then(Value::as_str);
    plain(said.unwrap_or("it does not say why"), WORDS_MAX)
}

fn plain(text: &str, chars_max: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(chars_max).collect()
}

/// A workspace as the platform has it. What is missing or of another type is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// Its id; empty if it is none that can be used.
    pub id: String,
    /// What the platform thinks of it.
    pub status: String,
    /// Where the platform calls it.
    pub url: String,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub role: String,
}

impl Row {
    /// Reads a row.
    pub fn read(json: &Value) -> Self {
        let text = |field| json.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let id = text("id");
        Self {
            id: if is_name(&id) { id } else { String::new() },
            status: plain(&text("status"), STATUS_MAX),
            url: text("url"),
            name: text("name"),
            role: text("role"),
        }
    }
}

/// Every row of a list, as it is read: no more of it is held than the rows themselves.
#[derive(Debug, Default)]
struct Rows(Vec<Row>);

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RowsVisitor)
    }
}

struct RowsVisitor;

impl<'de> Visitor<'de> for RowsVisitor {
    type Value = Rows;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {ROWS_MAX} workspaces")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Rows, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = list.next_element::<Value>()? {
            if rows.len() == ROWS_MAX {
                return Err(A::Error::invalid_length(ROWS_MAX + 1, &self));
            }
            rows.push(Row::read(&row));
        }
        Ok(Rows(rows))
    }

    /// A page of later versions may hold the list as one of its fields.
    fn visit_map<A: MapAccess<'de>>(self, mut page: A) -> Result<Rows, A::Error> {
        let mut rows = None;
        while let Some(field) = page.next_key::<String>()? {
            match field == "workspaces" {
                true => rows = Some(page.next_value()?),
                false => drop(page.next_value::<IgnoredAny>()?),
            }
        }
        rows.ok_or_else(|| A::Error::missing_field("workspaces"))
    }
}

/// Reads a list of workspaces.
pub fn read_rows(body: &[u8]) -> Result<Vec<Row>, CallError> {
    let strange = |_| CallError::Strange(200, "it is no list of workspaces, or a list without end");
    serde_json::from_slice(body).map(|Rows(rows)| rows).map_err(strange)
}

/// What a creation answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// The new workspace's id.
    pub id: String,
    /// Its token, if there was one that can be used.
    pub token: Option<Secret>,
}

/// Reads what a creation answers.
pub fn read_created(json: &Value) -> Result<Created, CallError> {
    let id = json.get("id").and_then(Value::as_str).filter(|id| is_name(id));
    let id = id.ok_or(CallError::Strange(201, "it names no id that can be used"))?;
    let token = json.get("connection").and_then(read_token);
    Ok(Created { id: id.to_owned(), token })
}

/// The `auth_token` of an object, if it is one that can be used.
pub fn read_token(json: &Value) -> Option<Secret> {
    token(json.get("auth_token")?.as_str()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judged(status: u16, body: &str) -> Result<Value, CallError> {
        judge(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn every_answer_is_something() {
        let page = "<!doctype html><title>Not found</title>";
        for (status, body, label) in [
            (200, "", "strange"),
            (200, page, "strange"),
            (200, "\"ok\"", "strange"),
            (301, "", "redirect"),
            (307, "{}", "redirect"),
            (400, "{\"error\":\"invalid request body\"}", "refused"),
            (400, "[[[", "refused"),
            (401, "", "unauthorized"),
            (403, "{}", "unauthorized"),
            (404, "", "org_missing"),
            (404, page, "strange"),
            (404, "{\"error\":\"workspace not found\"}", "gone"),
            (410, "", "gone"),
            (429, "{}", "rate_limited"),
            (500, page, "trouble"),
            (503, "{\"code\":\"platform_unavailable\"}", "trouble"),
        ] {
            let error = judged(status, body).unwrap_err();
            assert_eq!(error.label(), label, "{status} {body}");
            assert_eq!(error.status(), Some(status));
            assert!(error.to_string().contains(&status.to_string()) || status == 429, "{error}");
        }
        assert_eq!(judged(200, "{\"status\":\"ok\"}").unwrap(), json!({"status": "ok"}));
    }

    #[test]
    fn the_platforms_words_are_plain_and_short() {
        let body = json!({ "error": format!("\u{1b}[31m{}", "x".repeat(9_999)) }).to_string();
        let CallError::Refused(400, words) = judged(400, &body).unwrap_err() else { panic!() };
        assert_eq!(words.chars().count(), WORDS_MAX);
        assert!(words.starts_with(" [31mxx"));
        let nothing = judged(400, "{\"error\":{\"a\":1}}").unwrap_err();
        assert!(nothing.to_string().contains("does not say why"));
    }

    #[test]
    fn wrong_types_are_empty_and_unusable_ids_are_none() {
        let row = json!({"id": 7, "status": null, "url": ["x"], "name": {}, "extra": 1});
        assert_eq!(Row::read(&row), Row::default());
        assert_eq!(Row::read(&json!("row")), Row::default());
        assert_eq!(Row::read(&json!({"id": "../x"})).id, "");
        let long = json!({ "status": format!("on\u{1b}line{}", "e".repeat(9_999)) });
        let status = Row::read(&long).status;
        assert!(status.starts_with("on linee") && status.len() == STATUS_MAX, "{status}");
        for (list, rows) in [
            ("[]", Some(0)),
            ("[{\"id\":\"u-1\"},7,[]]", Some(3)),
            ("{\"next\":{},\"workspaces\":[{}]}", Some(1)),
            ("{\"rows\":1}", None),
            ("{\"workspaces\":{\"workspaces\":7}}", None),
            ("\"list\"", None),
            ("[{}", None),
        ] {
            assert_eq!(read_rows(list.as_bytes()).ok().map(|rows| rows.len()), rows, "{list}");
        }
        let endless = format!("[{}{{}}]", "{},".repeat(ROWS_MAX));
        assert!(read_rows(endless.as_bytes()).is_err());
        for id in [json!(null), json!(""), json!("../.."), json!("a b"), json!(3)] {
            assert!(read_created(&json!({ "id": id })).is_err(), "{id}");
        }
        for odd in [json!("a\r\nX: y"), json!(""), json!(5), json!(null)] {
            let created = json!({"id": "u-1", "connection": {"auth_token": odd}});
            assert_eq!(read_created(&created).unwrap().token, None, "{odd}");
        }
    }

    #[test]
    fn what_is_said_of_the_limit_is_read() {
        let mut fields = HeaderMap::new();
        for (name, value) in
            [("x-ratelimit-remaining", "17"), ("x-ratelimit-reset", "42"), ("retry-after", "9")]
        {
            fields.insert(name, value.parse().unwrap());
        }
        let seconds = |s| Some(Duration::from_secs(s));
        let ok = told(StatusCode::OK, &fields);
        assert_eq!(ok, Told { remaining: Some(17), reset: seconds(42), limited: None });
        assert_eq!(told(StatusCode::TOO_MANY_REQUESTS, &fields).limited, seconds(9));
        for word in ["9999999999", "18446744073709551615"] {
            fields.insert("retry-after", word.parse().unwrap());
            let told = told(StatusCode::TOO_MANY_REQUESTS, &fields);
            assert_eq!(told.limited, Some(LIMITED_MAX), "no word is for ever");
        }
        fields.insert("retry-after", "soon".parse().unwrap());
        assert_eq!(told(StatusCode::TOO_MANY_REQUESTS, &fields).limited, seconds(42));
        let moment = crate::clock::unix_ms() / 1000 + 30;
        fields.insert("x-ratelimit-reset", moment.to_string().parse().unwrap());
        assert!(told(StatusCode::OK, &fields).reset <= seconds(30));
        fields.insert("x-ratelimit-remaining", "-4".parse().unwrap());
        assert_eq!(told(StatusCode::OK, &fields).remaining, None);
    }
}
