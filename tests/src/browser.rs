//! A headless Chromium with one page, driven over the pipe of its DevTools protocol.
//!
//! Where there is none on the `PATH`, the stories that need it say so and are skipped; with
//! `HARNESS_REQUIRE_BROWSER` set, which CI does, they fail instead.

use crate::until;
use data_encoding::BASE64;
use serde_json::{Value, json};
use std::{path::Path, process::Stdio, time::Duration};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::{sync::Mutex, time::timeout};

/// Names of Chromium.
const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// Patience for one command, and for a fact of the page.
const SOON: Duration = Duration::from_secs(20);

/// The two ends of DevTools: file descriptors 3 and 4 of the browser, which the shell makes of the
/// pipes on its own input and output.
const SCRIPT: &str = "exec \"$0\" --headless=new --no-sandbox --disable-gpu \
    --disable-dev-shm-usage --disable-quic --disable-background-networking \
    --disable-component-update --disable-sync --no-first-run --user-data-dir=\"$1\" --remote-debugging-pipe \
    about:blank 3<&0 4>&1 </dev/null >/dev/null 2>&1";

/// A browser; it ends with this value.
pub struct Browser {
    devtools: Mutex<DevTools>,
    _process: Child,
    _profile: TempDir,
}

struct DevTools {
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Option<String>,
    commands: u64,
    complaints: Vec<String>,
}

impl Browser {
    /// Starts one; `None`, having said why, where there is none.
    ///
    /// # Panics
    /// When it is there and does not start, or is not there and required.
    pub async fn start() -> Option<Browser> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = PROGRAMS
            .iter()
            .find(|program| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
        let Some(program) = found else {
            let required = std::env::var_os("HARNESS_REQUIRE_BROWSER").is_some();
            assert!(!required, "a browser is required here: install chromium");
            eprintln!("SKIPPED: no browser (none of {PROGRAMS:?} is on the PATH)");
            return None;
        };
        let profile = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, program]).arg(profile.path()).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("a shell");
        let to = process.stdin.take().expect("its input");
        let from = BufReader::new(process.stdout.take().expect("its output"));
        let mut devtools =
            DevTools { to, from, session: None, commands: 0, complaints: Vec::new() };
        let blank = json!({"url": "about:blank"});
        let target = devtools.call("Target.createTarget", blank).await.expect("a page");
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = devtools.call("Target.attachToTarget", attach).await.expect("a session");
        devtools.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            devtools.call(domain, json!({})).await.expect("a domain");
        }
        Some(Browser { devtools: Mutex::new(devtools), _process: process, _profile: profile })
    }

    /// Leads the page somewhere, and waits until it is there.
    pub async fn open(&self, url: &str) {
        self.call("Page.navigate", json!({"url": url})).await;
        self.until("the page is loaded", "document.readyState === 'complete'").await;
    }

    /// What a script answers, awaited.
    ///
    /// # Panics
    /// With what the script throws.
    pub async fn eval(&self, script: &str) -> Value {
        self.try_eval(script).await.unwrap_or_else(|no| panic!("{script}: {no}"))
    }

    /// As [`Browser::eval`]; `Err` when the page went elsewhere meanwhile.
    async fn try_eval(&self, script: &str) -> Result<Value, Value> {
        let params = json!({"expression": script, "awaitPromise": true, "returnByValue": true});
        let mut answer = self.devtools.lock().await.call("Runtime.evaluate", params).await?;
        assert!(answer["exceptionDetails"].is_null(), "{script}: {answer}");
        Ok(answer["result"]["value"].take())
    }

    /// Waits until a script says true.
    pub async fn until(&self, fact: &str, script: &str) {
        let script = format!("Boolean({script})");
        until(fact, SOON, async || self.try_eval(&script).await == Ok(true.into())).await;
    }

    /// Clicks with the mouse on the element that a script finds, once it is there and nothing
    /// covers it.
    pub async fn click(&self, element: &str) {
        let script = format!(
            "(() => {{ const e = {element}; if (!e) return null; \
             e.scrollIntoView({{block: 'nearest'}}); const r = e.getBoundingClientRect(); \
             const at = [r.x + r.width / 2, r.y + r.height / 2]; \
             const top = document.elementFromPoint(...at); \
             return top && (e.contains(top) || top.contains(e)) ? at : null; }})()"
        );
        let at = until(&format!("{element} can be clicked"), SOON, async || {
            self.try_eval(&script).await.ok().filter(Value::is_array)
        })
        .await;
        for kind in ["mousePressed", "mouseReleased"] {
            let params = json!({
                "type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1,
            });
            self.call("Input.dispatchMouseEvent", params).await;
        }
    }

    /// Types a text where the keyboard is.
    pub async fn write(&self, text: &str) {
        self.call("Input.insertText", json!({"text": text})).await;
    }

    /// Presses a key: `Enter`, `Escape` or `Tab`.
    pub async fn press(&self, key: &str) {
        let code = match key {
            "Enter" => 13,
            "Escape" => 27,
            _ => 9,
        };
        for kind in ["keyDown", "keyUp"] {
            let mut params = json!({"type": kind, "key": key, "windowsVirtualKeyCode": code});
            if key == "Enter" && kind == "keyDown" {
                params["text"] = "\r".into();
            }
            self.call("Input.dispatchKeyEvent", params).await;
        }
    }

    /// Makes the window this wide and high, and the colours `light` or `dark`.
    pub async fn look(&self, width: u32, height: u32, colours: &str) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false,
        });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
        let features = json!([{"name": "prefers-color-scheme", "value": colours}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features})).await;
    }

    /// Keeps a picture of the window.
    pub async fn picture(&self, file: &Path) {
        let shot = self.call("Page.captureScreenshot", json!({"format": "png"})).await;
        let png = BASE64.decode(shot["data"].as_str().expect("a picture").as_bytes());
        std::fs::write(file, png.expect("base64")).expect("a file");
    }

    /// What the page threw, and what the browser refused it, so far.
    pub async fn complaints(&self) -> Vec<String> {
        self.eval("0").await;
        self.devtools.lock().await.complaints.clone()
    }

    async fn call(&self, method: &str, params: Value) -> Value {
        let answer = self.devtools.lock().await.call(method, params).await;
        answer.unwrap_or_else(|no| panic!("{method}: {no}"))
    }
}

impl DevTools {
    /// Sends a command and reads on until it is answered; `Err` is the browser's no.
    async fn call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        self.commands += 1;
        let mut command = json!({"id": self.commands, "method": method, "params": params});
        if let Some(session) = &self.session {
            command["sessionId"] = session.as_str().into();
        }
        let exchange = async {
            self.to.write_all(format!("{command}\0").as_bytes()).await.expect("a browser");
            loop {
                let mut message = Vec::new();
                self.from.read_until(0, &mut message).await.expect("a browser");
                message.pop();
                let mut message: Value = serde_json::from_slice(&message)
                    .unwrap_or_else(|e| panic!("the browser ended at {method}: {e}"));
                if message["id"] == self.commands {
                    let no = message["error"].take();
                    return if no.is_null() { Ok(message["result"].take()) } else { Err(no) };
                }
                self.notice(&message);
            }
        };
        timeout(SOON, exchange).await.unwrap_or_else(|_| panic!("{method} is not answered"))
    }

    fn notice(&mut self, event: &Value) {
        match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => {
                self.complaints.push(event["params"]["exceptionDetails"].to_string());
            }
            Some("Log.entryAdded") if event["params"]["entry"]["level"] == "error" => {
                self.complaints.push(event["params"]["entry"].to_string());
            }
            _ => {}
        }
    }
}
