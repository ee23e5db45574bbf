//! The platform's API as calls: each typed, with its credential, its limit and its place in the budget.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, ORIGIN, USER_AGENT,
};
use http::{Method, Request, Response};
use memchr::memmem;
use serde_json::{Value, json};
use shared::secret::Secret;

use super::answer::{self, CallError, Created, Row};
use super::budget::{Budget, Purpose};
use super::config::PlatformConfig;
use super::transport::{ANSWER_TIMEOUT, Transport};
use super::url::PlatformUrl;

/// The longest list of workspaces, bytes: thousands of them with their cards.
const LIST_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The longest other answer, bytes: one row with a large card.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// What the relay calls itself.
const SOFTWARE: &str = concat!("relay/", env!("CARGO_PKG_VERSION"));

static X_ORG: HeaderName = HeaderName::from_static("x-molecule-org-id");

/// A platform's API. Clones are the same client, with the same connections and the same budget.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    transport: Transport,
    url: PlatformUrl,
    host: HeaderValue,
    origin: HeaderValue,
    org: Option<HeaderValue>,
    admin: HeaderValue,
    budget: Mutex<Budget>,
}

/// Who calls.
#[derive(Debug, Clone, Copy)]
pub enum As<'t> {
    /// The operator of the platform, or an organisation.
    Admin,
    /// A workspace.
    Workspace(&'t Secret),
    /// Nobody: what anyone may ask.
    Nobody,
}

/// A workspace to be made on the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUpstream {
    /// What people call it.
    pub name: String,
    /// What it is for, with the mark by which it is found again.
    pub role: String,
}

/// A text that cannot stand in a header, though it should.
fn header(text: &str, what: &str) -> Result<HeaderValue, String> {
    HeaderValue::try_from(text).map_err(|_| format!("{what} cannot stand in a header."))
}

fn secret_header(secret: &Secret) -> Result<HeaderValue, CallError> {
    let value = HeaderValue::try_from(format!("Bearer {}", secret.reveal()));
    let mut value = value.map_err(|_| CallError::Unauthorized(401))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Takes a credential out of a refusal that repeats it: refusals are shown, logged and passed on.
fn hide(body: &mut Bytes, shown: &HeaderValue) {
    let shown = shown.as_bytes();
    let token = shown.strip_prefix(b"Bearer ").unwrap_or(shown);
    if token.is_empty() || memmem::find(body, token).is_none() {
        return;
    }
    let (mut without, mut from) = (Vec::with_capacity(body.len()), 0);
    for at in memmem::find_iter(body, token) {
        without.extend_from_slice(body.get(from..at).unwrap_or_default());
        without.extend_from_slice("…".as_bytes());
        from = at + token.len();
    }
    without.extend_from_slice(body.get(from..).unwrap_or_default());
    *body = without.into();
}

impl Client {
    /// A client for the platform of `config`, with the operator's `token`. The error is a sentence.
    pub fn new(config: &PlatformConfig, token: &Secret) -> Result<Self, String> {
        let url = config.url.clone();
        let org = config.org.as_deref().map(|org| header(org, "--platform-org")).transpose()?;
        let admin = secret_header(token)
            .map_err(|_| "The platform's token cannot stand in a header.".to_owned())?;
        Ok(Self {
            inner: Arc::new(Inner {
                host: header(url.authority().as_str(), "--platform-url")?,
                origin: header(&url.origin(), "--platform-url")?,
                transport: Transport::new(url.clone()),
                url,
                org,
                admin,
                budget: Mutex::new(Budget::new(config.pace.per_minute, Instant::now())),
            }),
        })
    }

    /// The platform's URL, without a final slash.
    pub fn url(&self) -> &PlatformUrl {
        &self.inner.url
    }

    /// Takes a place for one call out of the budget, or tells after how long to ask again.
    pub fn take(&self, purpose: Purpose) -> Result<(), Duration> {
        self.budget().take(purpose, Instant::now())
    }

    /// How many requests the platform last said were left, and for how much longer it holds all back.
    pub fn limits(&self) -> (Option<u32>, Option<Duration>) {
        let budget = self.budget();
        (budget.remaining(), budget.held(Instant::now()))
    }

    /// Whether it is there at all.
    pub async fn health(&self) -> Result<(), CallError> {
        let request = self.request(Method::GET, "/health", As::Nobody, None)?;
        let answer = self.send(request, ANSWER_BYTES_MAX, false).await?;
        // What it says in detail differs between versions.
        match answer.status().is_success() {
            true => Ok(()),
            false => answer::judge(answer.status(), answer.headers(), answer.body()).map(drop),
        }
    }

    /// Makes a workspace, without a URL: so its token comes with the answer. Sent once.
    pub async fn create(&self, new: &NewUpstream) -> Result<Created, CallError> {
        // With one of the two alone the platform's row would be of another kind.
        let body = json!({
            "name": new.name, "role": new.role, "runtime": "external", "external": true,
        });
        let request = self.request(Method::POST, "/workspaces", As::Admin, Some(&body))?;
        answer::read_created(&self.call(request, ANSWER_BYTES_MAX, true).await?)
    }

    /// Every workspace.
    pub async fn list(&self) -> Result<Vec<Row>, CallError> {
        let request = self.request(Method::GET, "/workspaces", As::Admin, None)?;
        let answer = self.send(request, LIST_BYTES_MAX, false).await?;
        answer::judge_status(answer.status(), answer.headers(), answer.body())?;
        answer::read_rows(answer.body())
    }

    /// One workspace. Whoever asks needs no credential, so none is shown.
    pub async fn row(&self, id: &str) -> Result<Row, CallError> {
        let path = format!("/workspaces/{id}");
        let request = self.request(Method::GET, &path, As::Nobody, None)?;
        let row = Row::read(&self.call(request, ANSWER_BYTES_MAX, false).await?);
        match row.status.is_empty() {
            true => Err(CallError::Strange(200, "it is no workspace")),
            false => Ok(row),
        }
    }

    /// Tells the platform where an agent is. Answers a token if the platform had none on file.
    pub async fn register(
        &self,
        id: &str,
        url: &str,
        card: &Value,
        token: &Secret,
    ) -> Result<Option<Secret>, CallError> {
        let body = json!({ "id": id, "url": url, "agent_card": card });
        let who = As::Workspace(token);
        let request = self.request(Method::POST, "/registry/register", who, Some(&body))?;
        Ok(answer::read_token(&self.call(request, ANSWER_BYTES_MAX, false).await?))
    }

    /// Says that an agent is alive; `report` is whole, with its `workspace_id`.
    pub async fn heartbeat(&self, report: &Value, token: &Secret) -> Result<(), CallError> {
        let who = As::Workspace(token);
        let request = self.request(Method::POST, "/registry/heartbeat", who, Some(report))?;
        self.call(request, ANSWER_BYTES_MAX, false).await.map(drop)
    }

    /// Puts a card in the place of the agent's.
    pub async fn update_card(
        &self,
        id: &str,
        card: &Value,
        token: &Secret,
    ) -> Result<(), CallError> {
        let body = json!({ "workspace_id": id, "agent_card": card });
        let who = As::Workspace(token);
        let request = self.request(Method::POST, "/registry/update-card", who, Some(&body))?;
        self.call(request, ANSWER_BYTES_MAX, false).await.map(drop)
    }

    /// Makes another token for a workspace. Sent once.
    pub async fn mint(&self, id: &str) -> Result<Secret, CallError> {
        let path = format!("/workspaces/{id}/tokens");
        let request = self.request(Method::POST, &path, As::Admin, None)?;
        let answer = self.call(request, ANSWER_BYTES_MAX, true).await?;
        answer::read_token(&answer).ok_or(CallError::Strange(201, "it holds no usable token"))
    }

    /// Deletes a workspace, unless others were made under it.
    pub async fn delete(&self, id: &str) -> Result<(), CallError> {
        let path = format!("/workspaces/{id}");
        let request = self.request(Method::DELETE, &path, As::Admin, None)?;
        self.call(request, ANSWER_BYTES_MAX, false).await.map(drop)
    }

    /// A request of the API, for whoever has more to say than the calls above. `path` begins with a
    /// slash and is put behind that of the platform's URL.
    pub fn request(
        &self,
        method: Method,
        path: &str,
        who: As<'_>,
        json: Option<&Value>,
    ) -> Result<Request<Bytes>, CallError> {
        let body = json.map(|json| Bytes::from(json.to_string())).unwrap_or_default();
        let bodiless = method == Method::GET || method == Method::DELETE;
        let made =
            Request::builder().method(method).uri(format!("{}{path}", self.inner.url.path()));
        let made = made.body(body);
        let mut made = made.map_err(|_| CallError::Unreachable("its path is no path".into()))?;
        let fields = made.headers_mut();
        fields.insert(HOST, self.inner.host.clone());
        fields.insert(ORIGIN, self.inner.origin.clone());
        fields.insert(ACCEPT, HeaderValue::from_static("application/json"));
        fields.insert(USER_AGENT, HeaderValue::from_static(SOFTWARE));
        if let Some(org) = &self.inner.org {
            fields.insert(X_ORG.clone(), org.clone());
        }
        if !bodiless {
            fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        match who {
            As::Admin => drop(fields.insert(AUTHORIZATION, self.inner.admin.clone())),
            As::Workspace(token) => drop(fields.insert(AUTHORIZATION, secret_header(token)?)),
            As::Nobody => {}
        }
        Ok(made)
    }

    /// Sends a request and reads its whole answer, whatever it is, of at most `bytes_max`; `once` is
    /// for what must not be done twice. The caller has taken a place in the budget.
    pub async fn send(
        &self,
        request: Request<Bytes>,
        bytes_max: usize,
        once: bool,
    ) -> Result<Response<Bytes>, CallError> {
        self.send_for(request, bytes_max, once, ANSWER_TIMEOUT).await
    }

    /// The same, for an answer that may take so long.
    pub async fn send_for(
        &self,
        request: Request<Bytes>,
        bytes_max: usize,
        once: bool,
        patience: Duration,
    ) -> Result<Response<Bytes>, CallError> {
        let shown = request.headers().get(AUTHORIZATION).cloned();
        let mut answer = self.inner.transport.exchange(request, bytes_max, once, patience).await?;
        let told = answer::told(answer.status(), answer.headers());
        self.budget().hear(told, Instant::now());
        if let Some(shown) = shown.filter(|_| !answer.status().is_success()) {
            hide(answer.body_mut(), &shown);
        }
        Ok(answer)
    }

    async fn call(
        &self,
        request: Request<Bytes>,
        bytes_max: usize,
        once: bool,
    ) -> Result<Value, CallError> {
        let answer = self.send(request, bytes_max, once).await?;
        answer::judge(answer.status(), answer.headers(), answer.body())
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.inner.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_repeats_a_credential_is_shown_without_it() {
        let shown = HeaderValue::from_static("Bearer s3cret");
        for (said, expected) in [
            ("{\"error\":\"s3cret is no token: s3cret\"}", "{\"error\":\"… is no token: …\"}"),
            ("s3cret", "…"),
            ("no token", "no token"),
            ("", ""),
        ] {
            let mut body = Bytes::from(said);
            hide(&mut body, &shown);
            assert_eq!(body, expected);
        }
    }
}
