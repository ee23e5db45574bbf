//! Tests of the canvas: who gets in, how, and what a web page elsewhere gets.

use http::header::{AUTHORIZATION, COOKIE, HOST, HeaderName, ORIGIN, SET_COOKIE};
use http_body_util::Full;
use serde_json::Value;

use super::*;
use crate::admin::testing::{TOKEN, api, echo};

const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("content-type", "application/json");
const OWN: (&str, &str) = ("origin", "http://localhost:8081");

struct Desk {
    canvas: Arc<Canvas>,
    _folder: tempfile::TempDir,
}

impl Desk {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let api = Arc::new(api(folder.path()));
        let feed = Arc::new(Feed::new(Arc::clone(&api)));
        Self { canvas: Arc::new(Canvas::new(api, feed, echo())), _folder: folder }
    }

    async fn send(
        &self,
        call: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Result<Response<AnyBody>, Problem> {
        let (method, path) = call.split_once(' ').unwrap();
        let mut request =
            Request::builder().method(method).uri(path).header(HOST, "localhost:8081");
        for (name, value) in fields {
            request = request.header(name.parse::<HeaderName>().unwrap(), *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        self.canvas.answer(request, SOURCE).await
    }

    /// The status of the answer, problem or not.
    async fn status(&self, call: &str, fields: &[(&str, &str)], body: &str) -> u16 {
        match self.send(call, fields, body).await {
            Ok(response) => response.status().as_u16(),
            Err(problem) => problem.kind().0.as_u16(),
        }
    }

    /// Logs in; the cookie that a browser would send.
    async fn login(&self) -> String {
        let form = format!("token={TOKEN}");
        let response = self.send("POST /login", &[FORM, OWN], &form).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["location"]),
            (303, &"/".parse().unwrap())
        );
        let cookie = response.headers()[SET_COOKIE].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }
}

async fn body(response: Response<AnyBody>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_admin_token_opens_the_page_and_a_wrong_one_does_not() {
    let desk = Desk::open();
    let page = body(desk.send("GET /", &[], "").await.unwrap()).await;
    assert!(page.contains("name=\"token\"") && !page.contains("{{"), "{page}");
    let wrong = desk.send("POST /login", &[FORM, OWN], "token=radm_wrong").await.unwrap();
    assert_eq!(wrong.status(), 401);
    assert!(wrong.headers().get(SET_COOKIE).is_none());
    assert!(body(wrong).await.contains("not this relay"));
    let cookie = desk.login().await;
    let page = body(desk.send("GET /", &[("cookie", &cookie)], "").await.unwrap()).await;
    assert!(page.contains("/assets/main.js") && !page.contains("name=\"token\""), "{page}");

    let logout = desk.send("POST /logout", &[OWN, ("cookie", &cookie)], "").await.unwrap();
    assert!(logout.headers()[SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(desk.status("GET /api/relay", &[("cookie", &cookie)], "").await, 401);
}

#[tokio::test(start_paused = true)]
async fn who_guesses_is_slowed_down_and_then_refused() {
    let desk = Desk::open();
    let begun = tokio::time::Instant::now();
    assert_eq!(desk.status("POST /login", &[FORM], "token=x").await, 401);
    assert!(begun.elapsed() >= Duration::from_millis(400));
    let guess = [("authorization", "Bearer radm_guess")];
    assert_eq!(desk.status("GET /api/relay", &guess, "").await, 401);
    // Used up in the future, so that nothing is given back until then.
    let use_up = || {
        let later = Instant::now() + Duration::from_secs(60);
        while desk.canvas.guesses.allow(SOURCE, later) {}
    };
    use_up();
    assert_eq!(desk.status("GET /api/relay", &guess, "").await, 429);
    use_up();
    assert_eq!(desk.status("POST /login", &[FORM], "token=x").await, 429);
    desk.login().await;
}

#[tokio::test]
async fn the_api_is_for_the_operator_alone() {
    let desk = Desk::open();
    let cookie = desk.login().await;
    let cookie = ("cookie", cookie.as_str());
    let bearer = format!("Bearer {TOKEN}");
    let token = ("authorization", bearer.as_str());
    let site = |site: &'static str| ("sec-fetch-site", site);
    let made = "{\"name\":\"a\"}";
    for (case, call, fields, expected) in [
        ("nobody", "GET /api/workspaces", &[][..], 401),
        ("nobody, elsewhere", "GET /api/nothing", &[], 401),
        ("nobody's post", "POST /api/workspaces", &[JSON, OWN], 401),
        ("a cookie of another", "GET /api/workspaces", &[("cookie", "relay_session=x")], 401),
        ("session", "GET /api/workspaces", &[cookie], 200),
        ("session, own page", "GET /api/relay", &[cookie, OWN, site("same-origin")], 200),
        ("session, another port", "GET /api/relay", &[cookie, site("same-site")], 403),
        ("session, another site", "GET /api/feed", &[cookie, site("cross-site")], 403),
        ("session, unsaid", "POST /api/workspaces", &[cookie, JSON], 403),
        ("session, typed", "POST /api/workspaces", &[cookie, JSON, site("none")], 403),
        ("session, a form", "POST /api/workspaces", &[cookie, FORM, OWN], 415),
        ("session, no type", "POST /api/workspaces", &[cookie, OWN], 415),
        ("session, by origin", "POST /api/workspaces", &[cookie, JSON, OWN], 201),
        ("session, by site", "POST /api/workspaces", &[cookie, JSON, site("same-origin")], 201),
        ("token", "POST /api/workspaces", &[token, JSON], 201),
        ("wrong token, session", "GET /api/relay", &[cookie, ("authorization", "Bearer x")], 401),
        ("no such call", "GET /api/nothing", &[token], 404),
        ("not a reader", "POST /api/relay", &[token], 405),
        ("not a writer", "POST /api/feed", &[token], 405),
    ] {
        assert_eq!(desk.status(call, fields, made).await, expected, "{case}");
    }
    let large = "x".repeat(BODY_BYTES_MAX + 1);
    assert_eq!(desk.status("POST /api/workspaces", &[token, JSON], &large).await, 413);
    let form = "x".repeat(FORM_BYTES_MAX + 1);
    assert_eq!(desk.status("POST /login", &[FORM], &form).await, 413);
    assert_eq!(desk.status("POST /login", &[JSON], "{}").await, 415);
    assert_eq!(desk.status("POST /logout", &[cookie], "").await, 403);
}

#[tokio::test]
async fn the_relay_tells_about_itself_and_follows_its_workspaces() {
    let desk = Desk::open();
    let bearer = format!("Bearer {TOKEN}");
    let token = [(AUTHORIZATION.as_str(), bearer.as_str()), JSON];
    let made = desk.send("POST /api/workspaces", &token, "{\"name\":\"a\"}").await.unwrap();
    let made: Value = serde_json::from_str(&body(made).await).unwrap();
    let about = body(desk.send("GET /api/relay", &token, "").await.unwrap()).await;
    let about: Value = serde_json::from_str(&about).unwrap();
    assert_eq!((&about["workspaces"], &about["statuses"]["provisioning"]), (&1.into(), &1.into()));
    assert_eq!(about["tunnel"][0], "127.0.0.1:4433");
    for field in ["version", "public_url", "relay_ca", "org_id"] {
        assert!(about[field].is_string(), "{field} in {about}");
    }
    let chat = format!("POST /api/workspaces/{}/chat", made["id"].as_str().unwrap());
    assert_eq!(desk.status(&chat, &token, "{}").await, 200);
    let nobody = "POST /api/workspaces/ws_01ARZ3NDEKTSV4RRFFQ69G5FAV/chat";
    assert_eq!(desk.status(nobody, &token, "{}").await, 404);
}

#[tokio::test(start_paused = true)]
async fn a_feed_ends_with_its_session() {
    let desk = Desk::open();
    let cookie = desk.login().await;
    let follow = desk.send("GET /api/feed", &[(COOKIE.as_str(), &cookie)], "").await.unwrap();
    assert_eq!(follow.headers()[CONTENT_TYPE], "text/event-stream");
    let mut feed = follow.into_body();
    let read = async {
        let first = feed.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(first.starts_with(b"event: ready\n"), "{first:?}");
        let fields = HeaderMap::from_iter([
            (COOKIE, cookie.parse().unwrap()),
            (ORIGIN, OWN.1.parse().unwrap()),
        ]);
        desk.canvas.sessions.end(&fields);
        assert!(feed.frame().await.is_none());
    };
    tokio::select! {
        () = desk.canvas.feed.run() => unreachable!("it runs for ever"),
        () = read => {}
    }
}
